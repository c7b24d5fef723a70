"""A service that `systemd-run` or a boot made, with or without a timer that starts it.

It runs its command for real. A timer counts real seconds, and a jump of the lab's clock counts as
time that has passed: a dead-man of five minutes goes off at once after `clock.jump`. As systemd
does, the timer is gone once it has gone off, the service once it has ended well; a failed one stays
until `reset-failed`.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from lab.clock import Clock
from lab.hosts.descriptors import read_some
from lab.hosts.execution import Executor
from lab.hosts.folder import resolve
from lab.hosts.journal import Journal
from lab.hosts.shells import Command, Running
from lab.hosts.unit_state import UnitState

_LOOK = 0.05
_GRACE = 2.0


@dataclass(frozen=True)
class Order:
    """What `systemd-run` was asked for; `delay` is in seconds, None means no timer.

    A timer that a unit file describes is the same, made at boot; `needs` is its service's
    ConditionPathExists.
    """

    name: str
    argv: tuple[str, ...]
    delay: float | None = None
    description: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: int = 0
    collect: bool = False
    folder_of_unit: str = "/run/systemd/transient"
    needs: str | None = None


class TransientUnit:
    """One transient service and its timer."""

    def __init__(self, order: Order, executor: Executor, clock: Clock, journal: Journal) -> None:
        """Make it; nothing runs until `arm` or `start`."""
        self.order = order
        self.service = UnitState()
        self.timer = UnitState()
        self.service_name = f"{order.name}.service"
        self.timer_name = f"{order.name}.timer"
        self.deadline: float | None = None
        self._executor = executor
        self._clock = clock
        self._journal = journal
        self._waiting: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._running: Running | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_loaded(self) -> bool:
        """Return whether systemd still knows it."""
        kept = self.service.active == "failed" and not self.order.collect
        return kept or self.timer.active == "active" or self.service.active == "active"

    @property
    def ended(self) -> asyncio.Task[None] | None:
        """Return what ends with the service's command; None before its start."""
        return self._keeping

    def arm(self) -> None:
        """Start the timer; without a delay it goes off at once."""
        self.timer.enter("active", "waiting", self._clock)
        self.deadline = self._passed() + (self.order.delay or 0)
        self._say(self.timer_name, f"Started {self.timer_name} - {self.order.description}.")
        self._waiting = asyncio.create_task(self._wait(self.deadline))

    async def start(self) -> bool:
        """Run the command, and return once it runs; nothing happens while it runs already."""
        if self.order.needs and not resolve(self._executor.root, self.order.needs).exists():
            words = "was skipped because of an unmet condition check (ConditionPathExists="
            self._say(self.service_name, f"{self.service_name} {words}{self.order.needs}).")
            return True
        if self.service.active != "active":
            started = asyncio.get_running_loop().create_future()
            self._keeping = asyncio.create_task(self._keep(started.set_result))
            return bool(await started)
        return True

    async def stop_timer(self) -> None:
        """Disarm: the command never starts by itself."""
        if self._waiting:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])
        if self.timer.active == "active":
            self.timer.enter("inactive", "dead", self._clock)
            self._say(self.timer_name, f"{self.timer_name}: Deactivated successfully.")
            self._say(self.timer_name, f"Stopped {self.timer_name} - {self.order.description}.")

    async def stop_service(self) -> None:
        """End the command: SIGTERM, then SIGKILL."""
        if self._running is None or self._keeping is None or self._keeping.done():
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            await self._executor.signal(self._running, number)
            done, _ = await asyncio.wait([self._keeping], timeout=_GRACE)
            if done:
                return

    def reset_failed(self) -> None:
        """Forget a failure."""
        if self.service.active == "failed":
            self.service.enter("inactive", "dead", self._clock)
            self.service.result = "success"

    async def close(self) -> None:
        """Be gone, as after a power cut: nothing more is logged or started."""
        for task in (self._waiting, self._keeping, self._reading):
            if task:
                task.cancel()
                await asyncio.wait([task])
        if self._running and not self._running.status.done():
            await self._executor.signal(self._running, signal.SIGKILL)
        self.timer.enter("inactive", "dead", self._clock)
        self.service.enter("inactive", "dead", self._clock)

    def _passed(self) -> float:
        return time.monotonic() + self._clock.offset / timedelta(seconds=1)

    async def _wait(self, deadline: float) -> None:
        while (left := deadline - self._passed()) > 0:
            await asyncio.sleep(min(left, _LOOK))
        self.timer.enter("active", "running", self._clock)
        await self.start()
        if self._keeping:
            await asyncio.wait([self._keeping])
        self.timer.enter("inactive", "dead", self._clock)

    async def _keep(self, tell: Callable[[bool], None]) -> None:
        """Run the command to its end, with its output in the journal."""
        read, write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read, False)
        self.service.begin(process=0)
        command = self._command()
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            self._running = await self._executor.run(command, [nothing, write, write])
        finally:
            os.close(write)
            os.close(nothing)
        self.service.main_pid = 4000 + self._running.number
        self.service.enter("active", "running", self._clock)
        self.service.times["ExecMainStart"] = self.service.times["StateChange"]
        self._say(self.service_name, f"Started {self.service_name} - {self.order.description}.")
        tell(True)
        await self._log_output(read, self._running)
        self._end(await asyncio.shield(self._running.status))

    def _command(self) -> Command:
        order = self.order
        environment = {
            "LANG": "C.UTF-8",
            "PATH": self._executor.search_path(
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            ),
            "INVOCATION_ID": self.service.invocation,
            **order.environment,
        }
        return Command(
            order.argv, environment, uid=order.user, gid=order.user, folder=order.folder,
            not_found=f"{order.argv[0]}: No such file or directory\n", not_found_exit=203,
        )  # fmt: skip

    async def _log_output(self, read: int, running: Running) -> None:
        """Log lines until the command has ended; what it left behind may still hold the pipe."""
        self._reading = asyncio.create_task(self._log_lines(read))
        await asyncio.wait([running.status])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._reading, _LOOK)

    async def _log_lines(self, read: int) -> None:
        source, rest = os.path.basename(self.order.argv[0]), b""  # noqa: PTH119 - a host's path
        try:
            while data := await read_some(read):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._say(self.service_name, line.decode(errors="replace"), source)
            if rest:
                self._say(self.service_name, rest.decode(errors="replace"), source)
        finally:
            os.close(read)

    def _end(self, status: int) -> None:
        self.service.main_pid = 0
        self.service.exec_main_status = abs(status)
        well = status in (0, -signal.SIGTERM)
        name = self.service_name
        if well:
            self.service.enter("inactive", "dead", self._clock)
            self._say(name, f"{name}: Deactivated successfully.")
            return
        self.service.result = "exit-code" if status > 0 else "signal"
        self.service.enter("failed", "failed", self._clock)
        how = f"exited, status={status}/n/a" if status > 0 else f"killed, status={-status}"
        self._say(name, f"{name}: Main process exited, code={how}")
        self._say(name, f"{name}: Failed with result '{self.service.result}'.")

    def _say(self, unit: str, text: str, source: str = "systemd") -> None:
        process = 1 if source == "systemd" else self.service.main_pid
        self._journal.write(unit, text, source=source, process=process)
