"""systemd on a host, behind the programs that ask it: one object for `lab.hosts.host`."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from lab.clock import Clock
from lab.hosts.boot_timers import wanted_timers
from lab.hosts.execution import Executor
from lab.hosts.journal import Journal
from lab.hosts.logger import run_logger
from lab.hosts.node_service import NodeService
from lab.hosts.stand_ins import Reply, ToolCall
from lab.hosts.systemctl import Systemctl
from lab.hosts.systemd_run import TransientUnits
from lab.hosts.units import Units

SYSTEM_PROGRAMS = ("systemctl", "systemd-run", "journalctl", "logger", "reboot")


class System:
    """Units, transient units and the journal of one host."""

    def __init__(
        self,
        root: Path,
        clock: Clock,
        journal: Journal,
        services: Mapping[str, NodeService],
        report: Callable[[str, str], None],
        reboot: Callable[[], Awaitable[None]],
    ) -> None:
        """Know one host; `report` is told jobs and timers, `reboot` is what `reboot` does."""
        self._root = root
        self._journal = journal
        self._transient = TransientUnits(clock, journal, report)
        units = Units(root, services, self._transient)
        self._systemctl = Systemctl(root, units, journal, report, reboot)

    def switch_on(self, executor: Executor) -> None:
        """Run commands with `executor` from now on."""
        self._transient.executor = executor

    def boot(self) -> None:
        """Start the timers that the host's unit files want at boot."""
        self._transient.boot(wanted_timers(self._root))

    async def switch_off(self) -> None:
        """End what `systemd-run` has made, as a power cut does."""
        await self._transient.close()

    async def run(self, call: ToolCall, *, root: bool) -> Reply:
        """Answer one of SYSTEM_PROGRAMS."""
        if call.tool == "systemd-run":
            return await self._transient.run(call, root=root)
        if call.tool == "journalctl":
            return self._journal.journalctl(call.arguments, root=root)
        if call.tool == "logger":
            return await run_logger(call, self._journal, self._transient.unit_of(call))
        arguments = ["reboot"] if call.tool == "reboot" else call.arguments
        return await self._systemctl.run(arguments, root=root)
