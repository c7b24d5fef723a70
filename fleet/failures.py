"""Sites that came to nothing, grouped by cause: fourteen dead links are one piece of news.

The cause is the error's class and its text without what differs from site to site: names,
addresses, times, sizes.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fleet.errors import FleetError, WaitingError
from fleet.results import SiteResult, Status
from fleet.sites import Site

_FEW = 5
_UNEXPECTED = "Look at the run's log and report it: acrfleet did not expect this."
_LINES = 6
_WORST_FIRST = (Status.FAILED, Status.STOPPED, Status.NOT_STARTED, Status.WAITING)
_VERBS = {
    Status.FAILED: "failed",
    Status.STOPPED: "stopped",
    Status.NOT_STARTED: "not started",
    Status.WAITING: "waiting",
}
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?"
_V4 = r"\d{1,3}(\.\d{1,3}){3}"
_V6 = r"\[?(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}\]?"
_SAME = (
    (re.compile(rf"\b{_TIME}"), "<time>"),
    (re.compile(rf"(?<![\w.])({_V4}|{_V6})(:\d+)?(?![\w.]\w)"), "<address>"),
    (re.compile(r"\bSHA256:[\w+/=]+|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{8,}\b"), "<id>"),
    (re.compile(r"\b\d+(\.\d+)?(?= ?(ms|s|min|h|d|%|[KMGT]i?B|attempts?|times?)(?!\w))"), "<n>"),
    (re.compile(r"\b\d{5,}\b"), "<n>"),
)

_KINDS = {"node": "<node>", "site": "<site>", "name": "<name>", "address": "<address>"}


class FailureGroup(NamedTuple):
    """Sites that came to nothing for one reason.

    `cause` is what their messages have in common, the whole message of a site that is alone;
    `todo` is what the operator does next, as docs/reference/errors.md says.
    """

    status: Status
    error: str
    cause: str
    todo: str
    sites: tuple[str, ...]

    @property
    def headline(self) -> str:
        """Say how many, how and which."""
        number = "1 site" if len(self.sites) == 1 else f"{len(self.sites)} sites"
        error = f": {self.error}" if self.error else ""
        return f"{number} {_VERBS[self.status]}{error}: {some(self.sites)}"


def cause_of(message: str, site: Site) -> str:
    """Return a message without what belongs to this site alone; quoted logs are left out."""
    known = _known_words(site)
    lines: dict[str, None] = {}
    for line in message.splitlines():
        if line.startswith("Log"):
            break
        text = known.sub(lambda found: _KINDS[found.lastgroup or "name"], line.strip())
        for pattern, instead in _SAME:
            text = pattern.sub(instead, text)
        lines[text] = None
    return "\n".join(list(lines)[:_LINES])


def result_of_error(verb: str, site: Site, error: Exception) -> SiteResult:
    """Return the result of a site whose work ended with an error, unexpected ones by type only."""
    known = isinstance(error, FleetError)
    name = type(error).__name__
    message = str(error) if known else f"unexpected {name}; the run's log has more"
    return SiteResult(
        site=site.name,
        verb=verb,
        status=Status.WAITING if isinstance(error, WaitingError) else Status.FAILED,
        message=message,
        error=name,
        cause=cause_of(message, site),
        todo=what_to_do(error) if known else _UNEXPECTED,
    )


def what_to_do(error: Exception) -> str:
    """Return the first paragraph of an error class's docstring, on one line."""
    return " ".join((type(error).__doc__ or "").split("\n\n")[0].split())


def group_failures(results: Iterable[SiteResult]) -> tuple[FailureGroup, ...]:
    """Return all sites that are not done by cause: failures first, large groups first."""
    groups: dict[tuple[Status, str, str], list[SiteResult]] = {}
    for one in results:
        if one.status in _WORST_FIRST:
            key = (one.status, one.error or "", one.cause or one.message)
            groups.setdefault(key, []).append(one)
    found = [_group(*key, members) for key, members in groups.items()]
    return tuple(sorted(found, key=_rank))


def some(names: Sequence[str], most: int = _FEW) -> str:
    """Return the first few names and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def failure_lines(groups: Iterable[FailureGroup]) -> list[str]:
    """Return what people read of the groups: plain lines, an empty one after each."""
    lines: list[str] = []
    for group in groups:
        lines += [group.headline, *(f"  {line}" for line in group.cause.splitlines())]
        lines += [f"  What to do: {group.todo}"] if group.todo else []
        lines.append("")
    return lines


def _group(status: Status, error: str, cause: str, members: list[SiteResult]) -> FailureGroup:
    text = members[0].message if len(members) == 1 else cause
    names = tuple(sorted(one.site for one in members))
    return FailureGroup(status, error, _short(text), members[0].todo, names)


def _short(text: str) -> str:
    lines = text.splitlines()
    return "\n".join([*lines[:_LINES], *["…"] * (len(lines) > _LINES)])


def _rank(group: FailureGroup) -> tuple[int, int, str, str]:
    return _WORST_FIRST.index(group.status), -len(group.sites), group.error, group.cause


def _known_words(site: Site) -> re.Pattern[str]:
    """Return a pattern of everything that the fleet file calls this site's own, longest first."""
    words = dict.fromkeys(site.names.model_dump().values(), "name")
    words |= {site.name: "site"}
    words |= {node.address: "address" for node in site.nodes}
    words |= {node.name: "node" for node in site.nodes}
    parts = {
        kind: "|".join(
            re.escape(word) + (r"(?::\d+)?" if kind == "address" else "")
            for word in sorted(words, key=len, reverse=True)
            if words[word] == kind
        )
        for kind in ("node", "address", "name", "site")
    }
    any_of = "|".join(f"(?P<{kind}>{part})" for kind, part in parts.items() if part)
    return re.compile(rf"(?<![\w.-])(?:{any_of})(?![\w-]|\.\w)")
