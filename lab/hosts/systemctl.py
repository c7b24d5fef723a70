"""`systemctl` on a host.

Exit codes and words as systemd 252: 5 for a unit that does not exist when a job is asked for, 4 for
its status, 3 for one that does not run, 1 without the right to change it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from pathlib import Path

from lab.hosts.arguments import Arguments, UsageError
from lab.hosts.folder import resolve
from lab.hosts.journal import Journal
from lab.hosts.stand_ins import Reply
from lab.hosts.unit_properties import properties
from lab.hosts.units import Units

_JOBS = ("restart", "start", "stop", "reload-or-restart", "try-restart")
Audit = Callable[[str, str], None]


class Systemctl:
    """Answers `systemctl`."""

    def __init__(
        self,
        root: Path,
        units: Units,
        journal: Journal,
        audit: Audit,
        reboot: Callable[[], Awaitable[None]],
    ) -> None:
        """Know one host's units; `audit` is told each job and its unit."""
        self._root = root
        self._units = units
        self._journal = journal
        self._audit = audit
        self._reboot = reboot
        self._running_jobs: set[asyncio.Task[bool]] = set()

    async def run(self, arguments: list[str], *, root: bool) -> Reply:
        """Run one command line."""
        try:
            asked = Arguments(arguments, _VALUES, _FLAGS)
        except UsageError as error:
            return Reply(stderr=f"systemctl: {error}\n", exit=1)
        verb, *names = asked.words or ["list-units"]
        if verb in _JOBS:
            wait = not asked.has("--no-block")
            return await self._jobs(verb, names, root=root, wait=wait)
        if verb == "reboot":
            return await self._order_reboot(root)
        if verb in ("daemon-reload", "reset-failed", "is-system-running"):
            return self._whole_system(verb, names, root=root)
        if verb in ("list-units", "list-timers"):
            return self._list(verb, names, asked)
        return self._answer(verb, names, asked)

    def _answer(self, verb: str, names: list[str], asked: Arguments) -> Reply:
        answers = {
            "show": self._show,
            "is-active": self._is_active,
            "is-enabled": self._is_enabled,
            "is-failed": self._is_failed,
            "status": self._status,
            "cat": self._cat,
        }
        if verb not in answers:
            return Reply(stderr=f"Unknown command verb '{verb}'.\n", exit=1)
        if not names:
            return Reply(stderr="Too few arguments.\n", exit=1)
        units = self._units.expand(names)
        return _join([answers[verb](unit, asked) for unit in units], asked, verb)

    async def _order_reboot(self, root: bool) -> Reply:
        if not root:
            text = "Failed to set wall message, ignoring: Interactive authentication required.\n"
            return Reply(stderr=text, exit=1)
        await self._reboot()
        return Reply()

    async def _jobs(self, verb: str, names: list[str], *, root: bool, wait: bool) -> Reply:
        """Queue all jobs, then wait for all: as systemctl does, one refusal stops no other."""
        if not names:
            return Reply(stderr="Too few arguments.\n", exit=1)
        refused: list[Reply] = []
        begun: list[tuple[str, asyncio.Task[bool]]] = []
        for unit in self._units.expand(names):
            refusal = self._refusal(verb, unit, root=root)
            if refusal:
                refused.append(refusal)
            else:
                begun.append((unit, self._begin(verb, unit)))
        failed = [unit for unit, job in begun if wait and not await asyncio.shield(job)]
        replies = [*refused, *(_job_failed(unit) for unit in failed)]
        return Reply(
            stderr="".join(reply.stderr for reply in replies),
            exit=replies[-1].exit if replies else 0,
        )

    def _refusal(self, verb: str, unit: str, *, root: bool) -> Reply | None:
        failed = f"Failed to {verb} {unit}: "
        if self._units.find(unit) is None:
            missing = "not loaded" if verb in ("stop", "try-restart") else "not found"
            return Reply(stderr=f"{failed}Unit {unit} {missing}.\n", exit=5)
        if not root:
            advice = f"See system logs and 'systemctl status {unit}' for details.\n"
            return Reply(stderr=f"{failed}Interactive authentication required.\n{advice}", exit=1)
        return None

    def _begin(self, verb: str, unit: str) -> asyncio.Task[bool]:
        """Queue a job; it goes on when the program that waits for it is killed."""
        action = verb if verb in ("start", "stop") else "restart"
        self._audit(action, unit)
        job = asyncio.create_task(self._units.run_job(action, unit))
        self._running_jobs.add(job)
        job.add_done_callback(self._running_jobs.discard)
        return job

    def _whole_system(self, verb: str, names: list[str], *, root: bool) -> Reply:
        if verb == "is-system-running":
            return Reply("running\n")
        if not root:
            what = "reload daemon" if verb == "daemon-reload" else "reset failed state"
            text = f"Failed to {what}: Interactive authentication required.\n"
            return Reply(stderr=text, exit=1)
        words, known = "Failed to reset failed state of unit", verb == "reset-failed"
        units = self._units.expand(names or ["*"]) if known else []
        missing = [unit for unit in units if not self._units.reset_failed(unit)]
        text = "".join(f"{words} {unit}: Unit {unit} not loaded.\n" for unit in missing)
        return Reply(stderr=text, exit=1 if missing else 0)

    def _list(self, verb: str, patterns: list[str], asked: Arguments) -> Reply:
        """List units as `--plain` does, with the head and foot that `--no-legend` leaves out."""
        kind = "timer" if verb == "list-timers" else asked.last("--type")
        rows = []
        for name in self._units.loaded():
            wanted = not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
            unit = self._units.find(name)
            shown = unit and (unit.active != "inactive" or asked.has("--all"))
            if unit and shown and wanted and (not kind or name.endswith(f".{kind}")):
                rows.append(f"{name} loaded {unit.active} {unit.sub} {unit.description}\n")
        if asked.has("--no-legend"):
            return Reply("".join(rows))
        head = "UNIT LOAD ACTIVE SUB DESCRIPTION\n"
        return Reply(f"{head}{''.join(rows)}\n{len(rows)} loaded units listed.\n")

    def _is_active(self, unit: str, asked: Arguments) -> Reply:
        found = self._units.find(unit)
        if found is None:
            return Reply("inactive\n", exit=3)
        return Reply(f"{found.active}\n", exit=0 if found.active in ("active", "reloading") else 3)

    def _is_failed(self, unit: str, asked: Arguments) -> Reply:
        found = self._units.find(unit)
        active = found.active if found else "inactive"
        return Reply(f"{active}\n", exit=0 if active == "failed" else 1)

    def _is_enabled(self, unit: str, asked: Arguments) -> Reply:
        found = self._units.find(unit)
        if found:
            return Reply(f"{found.file_state}\n", exit=1 if found.file_state == "disabled" else 0)
        text = f"Failed to get unit file state for {unit}: No such file or directory\n"
        return Reply(stderr=text, exit=1)

    def _cat(self, unit: str, asked: Arguments) -> Reply:
        found = self._units.find(unit)
        if found is None or not found.fragment or found.file_state == "transient":
            return Reply(stderr=f"No files found for {unit}.\n", exit=1)
        text = resolve(self._root, found.fragment).read_text()
        return Reply(f"# {found.fragment}\n{text}")

    def _status(self, unit: str, asked: Arguments) -> Reply:
        found = self._units.find(unit)
        if found is None:
            return Reply(stderr=f"Unit {unit} could not be found.\n", exit=4)
        shown = properties(unit, found)
        text = (
            f"{'●' if found.active == 'active' else '○'} {unit} - {shown['Description']}\n"
            f"     Loaded: loaded ({shown['FragmentPath']}; {found.file_state}; preset: enabled)\n"
            f"     Active: {found.active} ({found.sub}) since {shown['StateChangeTimestamp']}\n"
            f"   Main PID: {shown.get('MainPID', '0')}\n\n"
        )
        tail = self._journal.journalctl(
            ["-u", unit, "-n", asked.last("--lines") or "10"], root=True
        )
        return Reply(text + tail.stdout, exit=0 if found.active == "active" else 3)

    def _show(self, unit: str, asked: Arguments) -> Reply:
        wanted = [name for value in asked.all("--property") for name in value.split(",")]
        form = "unix" if asked.last("--timestamp") == "unix" else "pretty"
        lines = []
        for name, value in properties(unit, self._units.find(unit), form).items():
            if name in wanted or (not wanted and (value or asked.has("--all"))):
                lines.append(value if asked.has("--value") else f"{name}={value}")
        return Reply("".join(f"{line}\n" for line in lines))


def _job_failed(unit: str) -> Reply:
    text = (
        f"Job for {unit} failed because the control process exited with error code.\n"
        f'See "systemctl status {unit}" and "journalctl -xeu {unit}" for details.\n'
    )
    return Reply(stderr=text, exit=1)


def _join(replies: list[Reply], asked: Arguments, verb: str) -> Reply:
    """Put the answers for several units together: `show` parts them by an empty line."""
    quiet = asked.has("--quiet") and verb != "show"
    between = "\n" if verb in ("show", "status", "cat") else ""
    stdout = "" if quiet else between.join(reply.stdout for reply in replies)
    worst = max((reply.exit for reply in replies), default=0)
    if verb == "is-active" and any(reply.exit == 0 for reply in replies):
        worst = 0
    return Reply(stdout, "".join(reply.stderr for reply in replies), worst)


_VALUES = {
    "-p": "--property", "--property": "--property", "-n": "--lines", "--lines": "--lines",
    "--timestamp": "--timestamp", "-o": "--output", "--output": "--output", "-t": "--type",
    "--type": "--type", "--state": "--state", "--job-mode": "--job-mode",
}  # fmt: skip
_FLAGS = {
    "--value": "--value", "--no-pager": "--no-pager", "-q": "--quiet", "--quiet": "--quiet",
    "--no-block": "--no-block", "--no-ask-password": "--no-ask-password", "-l": "--full",
    "--full": "--full", "-a": "--all", "--all": "--all", "--now": "--now", "--plain": "--plain",
    "--no-legend": "--no-legend", "--wait": "--wait", "-f": "--force", "--force": "--force",
}  # fmt: skip
