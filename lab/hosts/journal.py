"""A host's journal: lines per unit, and `journalctl` on them."""

import json
import re
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from lab.clock import Clock
from lab.hosts.arguments import Arguments, UsageError
from lab.hosts.stand_ins import Reply

_KEPT = 2000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_HINT = """\
Hint: You are currently not seeing messages from other users and the system.
      Users in groups 'adm', 'systemd-journal' can see all messages.
      Pass -q to turn off this notice.
"""


@dataclass(frozen=True)
class Line:
    """One journal entry."""

    time: datetime
    unit: str
    source: str
    process: int
    text: str
    boot: int = 0


class Journal:
    """Keeps the newest lines."""

    def __init__(self, clock: Clock, hostname: str) -> None:
        """Start empty."""
        self._clock = clock
        self._hostname = hostname
        self.boot = 0
        self.lines: deque[Line] = deque(maxlen=_KEPT)

    def write(self, unit: str, text: str, *, source: str = "systemd", process: int = 1) -> None:
        """Append a line of `unit`, written by `source`."""
        self.lines.append(Line(self._clock.now(), unit, source, process, text, self.boot))

    def journalctl(self, arguments: list[str], *, root: bool) -> Reply:
        """Answer `journalctl` with these arguments."""
        try:
            asked = Arguments(arguments, _VALUES, _FLAGS)
            since = self._moment(asked.last("--since"))
            until = self._moment(asked.last("--until"))
            count = int(asked.last("--lines") or _KEPT)
        except (UsageError, ValueError) as error:
            return Reply(stderr=f"{error}\n", exit=1)
        if not root:
            return Reply("-- No entries --\n", "" if asked.has("--quiet") else _HINT, 0)
        units = {_unit_name(unit) for unit in asked.all("--unit")}
        tags = set(asked.all("--identifier"))
        lines = [
            line
            for line in self.lines
            if (not units or any(fnmatchcase(line.unit, unit) for unit in units))
            and (not tags or line.source in tags)
            and line.boot >= (self.boot if asked.has("--boot") else 0)
            and (since is None or line.time >= since)
            and (until is None or line.time <= until)
        ]
        lines = lines[-count:] if count else []
        if asked.has("--reverse"):
            lines.reverse()
        shown = [self._show(line, asked.last("--output") or "short") for line in lines]
        return Reply("".join(shown) or "-- No entries --\n")

    def _show(self, line: Line, form: str) -> str:
        if form == "cat":
            return f"{line.text}\n"
        if form == "json":
            return json.dumps(self._fields(line)) + "\n"
        if form.startswith("short-iso"):
            when = line.time.isoformat(timespec="seconds")
        elif form == "short-unix":
            when = f"{line.time.timestamp():.6f}"
        else:
            when = f"{line.time:%b %d %H:%M:%S}"
        return f"{when} {self._hostname} {line.source}[{line.process}]: {line.text}\n"

    def _fields(self, line: Line) -> dict[str, str]:
        owner = "UNIT" if line.source == "systemd" else "_SYSTEMD_UNIT"
        return {
            "__REALTIME_TIMESTAMP": str(int(line.time.timestamp() * 1e6)),
            "_HOSTNAME": self._hostname,
            "SYSLOG_IDENTIFIER": line.source,
            "_PID": str(line.process),
            owner: line.unit,
            "MESSAGE": line.text,
        }

    def _moment(self, text: str | None) -> datetime | None:
        """Read a time as systemd.time(7) writes it, as far as operators and scripts use it."""
        if text is None:
            return None
        now = self._clock.now()
        if text in ("now", "today", "yesterday"):
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            return {"now": now, "today": midnight}.get(text, midnight - timedelta(days=1))
        if text.startswith("@"):
            return datetime.fromtimestamp(float(text[1:]), UTC)
        ago = re.fullmatch(r"-?\s*(\d+)\s*(s|m|h|d|w)\w*(?:\s+ago)?", text)
        if ago and (text.startswith("-") or text.endswith("ago")):
            return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        try:
            moment = datetime.fromisoformat(text.removesuffix(" UTC").strip())
        except ValueError:
            raise ValueError(f"Failed to parse timestamp: {text}") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _unit_name(name: str) -> str:
    return name if "." in name else f"{name}.service"


_VALUES = {
    "-u": "--unit", "--unit": "--unit", "-S": "--since", "--since": "--since", "-U": "--until",
    "--until": "--until", "-n": "--lines", "--lines": "--lines", "-o": "--output",
    "--output": "--output", "-p": "--priority", "--priority": "--priority",
    "-t": "--identifier", "--identifier": "--identifier",
}  # fmt: skip
_FLAGS = {
    "--no-pager": "--no-pager", "-q": "--quiet", "--quiet": "--quiet", "--utc": "--utc",
    "-r": "--reverse", "--reverse": "--reverse", "-b": "--boot", "--boot": "--boot",
    "-x": "--catalog", "-e": "--pager-end", "-a": "--all", "--all": "--all",
    "--no-hostname": "--no-hostname",
}  # fmt: skip
