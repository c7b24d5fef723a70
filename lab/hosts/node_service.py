"""A service of a host, k3s or rke2-agent or containerd: systemd's view of it, and its own start.

Operation for faults: `k3s start` (`rke2 start`, `containerd start`), a line break, then the text of
registries.yaml (of containerd: config.toml), so that a match such as `k3s start*10.43.0.9*` hits
only while the file contains that string. Kinds, whatever the distribution:
    k3s-broken    dies at start with a fatal error; systemd starts it again and again
    k3s-hang      starts, never becomes ready (TimeoutStartSec=0: systemd waits for ever)
    latency       takes `seconds` longer
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from lab.clock import Clock
from lab.faults import Fault
from lab.hosts.distributions import Unit
from lab.hosts.journal import Journal
from lab.hosts.unit_state import UnitState

_RESTART_PAUSE = timedelta(seconds=5)
_SHORTEST_PAUSE = 0.05
_FATAL_AFTER = 0.03
_FIRST_PROCESS = 2137
_BOOT_WAIT = 0.5


class FatalError(Exception):
    """The program does not start; the text is what it logs."""


class NodeService:
    """One service under systemd, with Restart=always."""

    def __init__(
        self,
        kind: Unit,
        *,
        clock: Clock,
        journal: Journal,
        read_configuration: Callable[[], list[Fault]],
        restart_seconds: float,
    ) -> None:
        """Make a stopped service.

        Args:
            kind: The unit.
            clock: The lab's clock.
            journal: Where systemd and the program write.
            read_configuration: Reads the program's files and renders its own, returns the faults
                that hit this start; raises FatalError.
            restart_seconds: How long a good start takes.
        """
        self.kind = kind
        self.unit = kind.name
        self.state = UnitState()
        self.restart_seconds = restart_seconds
        self.on_running: list[Callable[[bool], None]] = []
        self.is_running = False
        self._clock = clock
        self._journal = journal
        self._read_configuration = read_configuration
        self._keeper: asyncio.Task[None] | None = None
        self._job: asyncio.Future[bool] | None = None
        self._turn = asyncio.Lock()
        self._next_process = _FIRST_PROCESS

    async def start(self) -> bool:
        """Start as `systemctl start` does; return whether the job succeeded.

        With Type=notify the job ends when the program is ready or dead, else when it runs at all.
        """
        async with self._turn:
            job = self._begin_job()
        return await asyncio.shield(job)

    async def restart(self) -> bool:
        """Stop and start; return whether the job succeeded."""
        async with self._turn:
            await self._end()
            job = self._begin_job()
        return await asyncio.shield(job)

    async def stop(self) -> None:
        """Stop the service, whatever it is doing."""
        async with self._turn:
            await self._end()

    async def boot(self) -> None:
        """Be as after the machine's boot: running, or on the way there when that fails."""
        usual, self.restart_seconds = self.restart_seconds, 0.0
        starting = asyncio.ensure_future(self.start())
        await asyncio.wait([starting], timeout=_BOOT_WAIT)
        starting.cancel()
        self.restart_seconds = usual

    def _begin_job(self) -> asyncio.Future[bool]:
        if self._keeper is None or self._job is None:
            self.state.restarts = 0
            self._job = asyncio.get_running_loop().create_future()
            self._keeper = asyncio.create_task(self._keep_running(self._job))
        return self._job

    async def _end(self) -> None:
        if self._keeper is None:
            return
        keeper, self._keeper = self._keeper, None
        self._journal.write(self.unit, f"Stopping {self.unit} - {self.kind.description}...")
        keeper.cancel()
        await asyncio.wait([keeper])
        _settle(self._job, succeeded=False)
        self._tell(running=False)
        self._enter("inactive", "dead")
        self.state.main_pid = 0
        self._journal.write(self.unit, f"{self.unit}: Deactivated successfully.")

    async def _keep_running(self, job: asyncio.Future[bool]) -> None:
        while True:
            try:
                await self._run_once(job)
            except FatalError as error:
                self._die(str(error))
            _settle(job, succeeded=False)
            self._enter("activating", "auto-restart")
            pause = self._clock.real_seconds(_RESTART_PAUSE)
            await asyncio.sleep(max(pause, _SHORTEST_PAUSE))
            self.state.restarts += 1
            self._journal.write(
                self.unit,
                f"{self.unit}: Scheduled restart job, restart counter is at {self.state.restarts}.",
            )

    async def _run_once(self, job: asyncio.Future[bool]) -> None:
        self._begin()
        if self.kind.type != "notify":
            self._enter("active", "running")
            _settle(job, succeeded=True)
        await asyncio.sleep(min(_FATAL_AFTER, self.restart_seconds))
        extra = 0.0
        for fault in self._read_configuration():
            if fault.kind == "k3s-hang":
                await asyncio.Event().wait()
            if fault.kind == "k3s-broken":
                raise FatalError("starting kubernetes: preparing server: ordered by the lab")
            extra += fault.seconds if fault.kind == "latency" else 0
        await asyncio.sleep(max(0, self.restart_seconds - _FATAL_AFTER) + extra)
        self._enter("active", "running")
        self._log("info", self.kind.words[1])
        self._tell(running=True)
        _settle(job, succeeded=True)
        await asyncio.Event().wait()

    def _begin(self) -> None:
        self._next_process += 1
        self.state.begin(self._next_process)
        self._enter("activating", "start")
        self.state.times["ExecMainStart"] = self.state.times["StateChange"]
        self._journal.write(self.unit, f"Starting {self.unit} - {self.kind.description}...")
        self._log("info", self.kind.words[0])

    def _die(self, message: str) -> None:
        self._log("fatal", message)
        self.state.exec_main_status = 1
        self.state.result = "exit-code"
        self.state.main_pid = 0
        for text in (
            f"{self.unit}: Main process exited, code=exited, status=1/FAILURE",
            f"{self.unit}: Failed with result 'exit-code'.",
            *(
                []
                if self.kind.type != "notify"
                else [f"Failed to start {self.unit} - {self.kind.description}."]
            ),
        ):
            self._journal.write(self.unit, text)

    def _enter(self, active: str, sub: str) -> None:
        self.state.enter(active, sub, self._clock)

    def _log(self, level: str, message: str) -> None:
        quoted = message.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        when = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f'time="{when}" level={level} msg="{quoted}"'
        self._journal.write(self.unit, text, source=self.kind.program, process=self.state.main_pid)

    def _tell(self, *, running: bool) -> None:
        if self.is_running != running:
            self.is_running = running
            for callback in self.on_running:
                callback(running)


def _settle(job: asyncio.Future[bool] | None, *, succeeded: bool) -> None:
    if job and not job.done():
        job.set_result(succeeded)
