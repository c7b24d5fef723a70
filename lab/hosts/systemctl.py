"""`systemctl` on a host, for its K3s service and a few units that every host has.

Exit codes and words as systemd 252-255: 5 for a unit that does not exist when a job is asked for,
4 for its status, 3 for one that does not run, 1 without the right to change it.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from lab.hosts.arguments import Arguments, UsageError
from lab.hosts.journal import Journal
from lab.hosts.k3s_service import K3sService
from lab.hosts.stand_ins import Reply
from lab.hosts.unit_file import find_unit_file, read_command

_ALWAYS_RUNNING = ("ssh.service", "sshd.service", "systemd-journald.service", "dbus.service")
_JOBS = ("restart", "start", "stop", "reload-or-restart", "try-restart")
_TIMES = (
    "ExecMainStart",
    "StateChange",
    "InactiveExit",
    "ActiveEnter",
    "ActiveExit",
    "InactiveEnter",
)
Audit = Callable[[str, str], None]


class Systemctl:
    """Answers `systemctl`."""

    def __init__(self, root: Path, service: K3sService | None, journal: Journal, audit: Audit):
        """Know one host's service; `audit` is told each job and its unit."""
        self._root = root
        self._service = service
        self._journal = journal
        self._audit = audit
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
            return await self._jobs(verb, [_unit(name) for name in names], root=root, wait=wait)
        simple = {
            "daemon-reload": self._daemon_reload,
            "is-system-running": self._is_system_running,
            "reset-failed": self._daemon_reload,
        }
        if verb in simple:
            return simple[verb](root)
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
        return _join([answers[verb](_unit(name), asked) for name in names], asked, verb)

    async def _jobs(self, verb: str, units: list[str], *, root: bool, wait: bool) -> Reply:
        for unit in units:
            refused = self._refusal(verb, unit, root=root)
            if refused or not self._is_ours(unit):
                reply = refused or Reply()
            else:
                reply = await self._job(verb, unit, wait=wait)
            if reply.exit:
                return reply
        return Reply()

    def _refusal(self, verb: str, unit: str, *, root: bool) -> Reply | None:
        failed = f"Failed to {verb} {unit}: "
        if not self._is_known(unit):
            return Reply(stderr=f"{failed}Unit {unit} not found.\n", exit=5)
        if not root:
            advice = f"See system logs and 'systemctl status {unit}' for details.\n"
            return Reply(stderr=f"{failed}Interactive authentication required.\n{advice}", exit=1)
        return None

    async def _job(self, verb: str, unit: str, *, wait: bool) -> Reply:
        """Queue a job; it goes on when the program that waits for it is killed."""
        action = verb if verb in ("start", "stop") else "restart"
        self._audit(action, unit)
        job = asyncio.create_task(self._run_job(action))
        self._running_jobs.add(job)
        job.add_done_callback(self._running_jobs.discard)
        if not wait:
            return Reply()
        return Reply() if await asyncio.shield(job) else _job_failed(unit)

    async def _run_job(self, action: str) -> bool:
        if self._service is None:
            return False
        if action == "stop":
            await self._service.stop()
            return True
        return await (self._service.start() if action == "start" else self._service.restart())

    def _daemon_reload(self, root: bool) -> Reply:
        if root:
            return Reply()
        text = "Failed to reload daemon: Interactive authentication required.\n"
        return Reply(stderr=text, exit=1)

    def _is_system_running(self, root: bool) -> Reply:
        return Reply("running\n")

    def _is_known(self, unit: str) -> bool:
        return unit in _ALWAYS_RUNNING or find_unit_file(self._root, unit) is not None

    def _is_ours(self, unit: str) -> bool:
        return self._service is not None and unit == self._service.unit

    def _active_and_sub(self, unit: str) -> tuple[str, str]:
        if self._service is not None and unit == self._service.unit:
            return self._service.state.active, self._service.state.sub
        return ("active", "running") if unit in _ALWAYS_RUNNING else ("inactive", "dead")

    def _is_active(self, unit: str, asked: Arguments) -> Reply:
        active, _ = self._active_and_sub(unit)
        if not self._is_known(unit):
            return Reply("inactive\n", exit=4)
        return Reply(f"{active}\n", exit=0 if active in ("active", "reloading") else 3)

    def _is_failed(self, unit: str, asked: Arguments) -> Reply:
        active, _ = self._active_and_sub(unit)
        return Reply(f"{active}\n", exit=0 if active == "failed" else 1)

    def _is_enabled(self, unit: str, asked: Arguments) -> Reply:
        if self._is_known(unit):
            return Reply("enabled\n")
        text = f"Failed to get unit file state for {unit}: No such file or directory\n"
        return Reply(stderr=text, exit=1)

    def _cat(self, unit: str, asked: Arguments) -> Reply:
        path = find_unit_file(self._root, unit)
        if path is None:
            return Reply(stderr=f"No files found for {unit}.\n", exit=1)
        return Reply(f"# /etc/systemd/system/{unit}\n{path.read_text()}")

    def _status(self, unit: str, asked: Arguments) -> Reply:
        if not self._is_known(unit):
            return Reply(stderr=f"Unit {unit} could not be found.\n", exit=4)
        active, sub = self._active_and_sub(unit)
        shown = self._properties(unit)
        text = (
            f"{'●' if active == 'active' else '○'} {unit} - {shown['Description']}\n"
            f"     Loaded: loaded ({shown['FragmentPath']}; enabled; preset: enabled)\n"
            f"     Active: {active} ({sub}) since {shown['StateChangeTimestamp']}\n"
            f"   Main PID: {shown['MainPID']} (k3s)\n\n"
        )
        tail = self._journal.journalctl(
            ["-u", unit, "-n", asked.last("--lines") or "10"], root=True
        )
        return Reply(text + tail.stdout, exit=0 if active == "active" else 3)

    def _show(self, unit: str, asked: Arguments) -> Reply:
        wanted = [name for value in asked.all("--property") for name in value.split(",")]
        shown = self._properties(unit)
        if asked.last("--timestamp") == "unix" and self._is_ours(unit):
            shown |= {f"{name}Timestamp": self._time(name, "unix") for name in _TIMES}
        lines = []
        for name, value in shown.items():
            if not wanted or name in wanted:
                lines.append(value if asked.has("--value") else f"{name}={value}")
        return Reply("".join(f"{line}\n" for line in lines))

    def _properties(self, unit: str) -> dict[str, str]:
        """Return the properties in systemd's own order, whatever order was asked for."""
        known, file = self._is_known(unit), find_unit_file(self._root, unit)
        active, sub = self._active_and_sub(unit)
        state = self._service.state if self._service and self._is_ours(unit) else None
        agent = bool(self._service and self._service.is_agent)
        shown = {
            "Type": "exec" if agent else "notify" if state else "simple",
            "Restart": "always" if state else "no",
            "RestartUSec": "5s" if state else "100ms",
            "MainPID": str(state.main_pid if state else 0),
            "Result": state.result if state else "success",
            "NRestarts": str(state.restarts if state else 0),
            "ExecStart": _show_command(read_command(self._root, unit)),
            "ExecMainStatus": str(state.exec_main_status if state else 0),
            "Id": unit,
            "Names": unit,
            "Description": "Lightweight Kubernetes" if state else unit,
            "LoadState": "loaded" if known else "not-found",
            "ActiveState": active,
            "SubState": sub,
            "FragmentPath": f"/etc/systemd/system/{unit}" if file else "",
            "UnitFileState": "enabled" if known else "",
        }
        for name in _TIMES:
            shown[f"{name}Timestamp"] = self._time(name, "pretty") if state else ""
            shown[f"{name}TimestampMonotonic"] = self._time(name, "monotonic") if state else "0"
        shown["InvocationID"] = state.invocation if state else ""
        return shown

    def _time(self, name: str, form: str) -> str:
        times = self._service.state.times if self._service else {}
        if name not in times:
            return "0" if form == "monotonic" else ""
        moment, monotonic = times[name]
        if form == "monotonic":
            return str(monotonic)
        return f"@{int(moment.timestamp())}" if form == "unix" else _pretty(moment)


def _show_command(words: list[str]) -> str:
    if not words:
        return ""
    line = " ".join(words)
    return (
        f"{{ path={words[0]} ; argv[]={line} ; ignore_errors=no ; start_time=[n/a] ; "
        "stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }"
    )


def _pretty(moment: datetime) -> str:
    return f"{moment:%a %Y-%m-%d %H:%M:%S} UTC"


def _unit(name: str) -> str:
    return name if name.rpartition(".")[2] in ("service", "target", "timer") else f"{name}.service"


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
    worst = max(reply.exit for reply in replies)
    if verb == "is-active" and any(reply.exit == 0 for reply in replies):
        worst = 0
    return Reply(stdout, "".join(reply.stderr for reply in replies), worst)


_VALUES = {
    "-p": "--property", "--property": "--property", "-n": "--lines", "--lines": "--lines",
    "--timestamp": "--timestamp", "-o": "--output", "--output": "--output", "-t": "--type",
}  # fmt: skip
_FLAGS = {
    "--value": "--value", "--no-pager": "--no-pager", "-q": "--quiet", "--quiet": "--quiet",
    "--no-block": "--no-block", "--no-ask-password": "--no-ask-password", "-l": "--full",
    "--full": "--full", "-a": "--all", "--all": "--all", "--now": "--now",
}  # fmt: skip
