"""A plan as people read it: lines for a terminal, and a page in Markdown for the Prefect UI."""

from collections.abc import Iterator, Mapping

from fleet.fleet_plan import unread_lines
from fleet.site_plan import FleetPlan, SitePlan

_LONGEST = 200_000


def site_lines(plan: SitePlan) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) of one site's plan; kind is created, changed, diff, obstacle or note."""
    for change in plan.changes:
        yield change.action.value, f"  {change}"
        for line in change.diff:
            yield "diff", f"      {line}"
    for text in plan.obstacles:
        yield "obstacle", f"  ! in the way: {_indented(text)}"
    for text in plan.notes:
        yield "note", f"  . {_indented(text)}"


def plan_page(plan: FleetPlan, passed: Mapping[str, str]) -> str:
    """Return the page of a plan; what is too large comes first.

    A page that would be too large for Prefect is cut where a site ends, and says so.

    Args:
        plan: The plan.
        passed: What is larger than the fleet file allows, in words.
    """
    lines = [f"# Plan for {plan.fleet}: {plan.headline}", ""]
    lines += [f"Made {plan.made_at:%Y-%m-%d %H:%M} UTC. Nothing was changed.", ""]
    lines += [f"**Too large:** {words}." for words in passed.values()]
    lines += ["", *map(_unread_line, unread_lines(plan)), "| site | | |", "| --- | --- | --- |"]
    due = [one for one in plan.sites if not one.is_empty]
    lines += [f"| {one.site} | {one.headline} | {_parts(one)} |" for one in due]
    idle = len(plan.sites) - len(due)
    lines += ["", f"{idle} more with nothing to do." if idle else ""]
    length = sum(map(len, lines))
    for number, one in enumerate(due):
        section = ["", f"## {one.site}", "", *_section(one)]
        length += sum(map(len, section))
        if length > _LONGEST:
            return "\n".join([*lines, "", f"{len(due) - number} more sites do not fit here."])
        lines += section
    return "\n".join(lines) + "\n"


def _unread_line(line: str) -> str:
    """Return a line of `unread_lines` as Markdown: what is indented is an item of a list."""
    if not line.startswith("  "):
        return f"**{_plain(line)}**" if line else ""
    return f"- {_plain(line.strip())}"


def _section(plan: SitePlan) -> Iterator[str]:
    for change in plan.changes:
        yield f"- {_plain(str(change))}"
        if change.diff:
            yield from ("", "  ```diff", *(f"  {line}" for line in change.diff), "  ```", "")
    for text in plan.obstacles:
        yield f"- **in the way:** {_plain(_indented(text))}"
    for text in plan.notes:
        yield f"- {_plain(_indented(text))}"


def _parts(plan: SitePlan) -> str:
    return ", ".join(dict.fromkeys(change.part.value for change in plan.changes))


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def _plain(text: str) -> str:
    """Return text as Markdown that shows it as it is."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("<", "\\<")
