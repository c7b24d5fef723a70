"""The page on blocks, made from their classes: `python -m tests.blocks_page` writes it."""

from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs/reference/blocks.md"
HEAD = """# Blocks

Blocks keep configuration and secrets in Prefect; the fleet file names them.
Register them once with `prefect block register -m blocks`, then make them in the UI (Blocks → Add) or from Python with `.save("NAME")`.
Prefect encrypts secrets at rest with a key that lies in the same database unless the server is given `PREFECT_SERVER_ENCRYPTION_KEY`.
This page is made from the code by `make docs`.
"""  # noqa: E501 - the page's lines are sentences


def blocks_page() -> str:
    """Return what the page has to say."""
    import blocks

    parts = [HEAD]
    for name in blocks.__all__:
        kind = getattr(blocks, name)
        rows = [
            f"| `{field}` | {info.description} | {_kind(info.annotation)} |"
            for field, info in kind.model_fields.items()
        ]
        parts += [
            f"\n## {kind._block_type_name} (`{name}`)\n\n{kind._description}\n",
            "| field | what it is | |",
            "| --- | --- | --- |",
            *rows,
        ]
    return "\n".join(parts) + "\n"


def _kind(annotation: object) -> str:
    return "secret" if "SecretStr" in str(annotation) else ""


if __name__ == "__main__":
    PAGE.write_text(blocks_page())
