"""The page on errors, made from the error classes: `python -m tests.errors_page` writes it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/reference/errors.md"
PACKAGES = ("cli", "flows", "tasks", "blocks", "clients", "fleet")
HEAD = """# Errors and what to do about them

Every error that acrfleet raises on purpose, by name.
The message itself says which site, host, field or object is meant.
A temporary error is tried again before anybody sees it.
This page is made from the code by `make docs`.

| error | what it means and what to do |
| --- | --- |
"""


def error_classes() -> dict[str, str]:
    """Return every error class of the product with the first paragraph of its docstring."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                    text = (ast.get_docstring(node) or "").split("\n\n")[0]
                    found[node.name] = " ".join(text.split())
    return found


def errors_page() -> str:
    """Return what the page has to say."""
    rows = [f"| `{name}` | {text} |" for name, text in sorted(error_classes().items())]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(errors_page())
