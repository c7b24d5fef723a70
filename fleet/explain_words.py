"""An explanation in words: for a terminal on a ship, and as a page for Prefect."""

from collections.abc import Iterator, Sequence

from fleet.explain import Explanation
from fleet.explain_verdicts import Step, Verdict

_MARKS = {
    Verdict.PASSED: "ok",
    Verdict.WARNED: "note",
    Verdict.FAILED: "FAILED",
    Verdict.UNKNOWN: "?",
}
COLUMNS = ("", "rung", "where", "")


def ladder_rows(found: Explanation) -> Iterator[tuple[str, str, str, str]]:
    """Yield the ladder, rung by rung, in the order of `COLUMNS`.

    What holds in several places is one row.
    """
    for rung in dict.fromkeys(step.rung for step in found.steps):
        steps = [step for step in found.steps if step.rung == rung]
        held = [step for step in steps if step.verdict is Verdict.PASSED]
        if len(held) > 1:
            where = ", ".join(dict.fromkeys(step.where for step in held if step.where))
            yield _MARKS[Verdict.PASSED], rung, where, _common(held)
        for step in steps:
            if step not in held or len(held) == 1:
                yield _MARKS[step.verdict], rung, step.where, step.words


def _common(steps: Sequence[Step]) -> str:
    """Return what several rungs say, where they all say the same."""
    words = {step.words for step in steps}
    return words.pop() if len(words) == 1 else ""


def cause_lines(found: Explanation) -> Iterator[str]:
    """Yield the cause in a sentence, what shows it, what to do first, and the command."""
    yield found.headline
    cause = found.cause
    if cause is None:
        return
    if cause.evidence:
        yield ""
        yield "What shows it:"
        for one in cause.evidence:
            first, *rest = one.splitlines() or [""]
            yield f"  - {first}"
            yield from (f"    {line}" for line in rest)
    yield ""
    yield f"What to do: {cause.first}" if cause.first else "What to do:"
    if cause.command:
        yield ""
        yield f"    {cause.command}"


def explanation_page(found: Explanation) -> str:
    """Return the explanation as Markdown."""
    lines = [f"# {found.site}: {found.image}", "", found.headline, ""]
    if found.cause is not None:
        lines += [f"- {one}" for one in found.cause.evidence] + [""]
        lines += [found.cause.first, "", "```sh", found.cause.command, "```", ""]
    lines += ["| | rung | where | |", "| --- | --- | --- | --- |"]
    lines += [_row(step) for step in found.steps]
    return "\n".join(lines) + "\n"


def _row(step: Step) -> str:
    cells = (_MARKS[step.verdict], step.rung, step.where, step.words)
    return "| " + " | ".join(one.replace("|", "\\|").replace("\n", " ") for one in cells) + " |"
