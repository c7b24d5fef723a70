"""`systemd-run` on a host, and the transient units that it has made.

Words and exit codes as systemd 252.
"""

import asyncio
import re
import uuid
from collections.abc import Callable

from lab.clock import Clock
from lab.hosts.arguments import Arguments, UsageError
from lab.hosts.execution import Executor
from lab.hosts.folder import USER_ID
from lab.hosts.journal import Journal
from lab.hosts.stand_ins import Reply, ToolCall
from lab.hosts.transient_unit import Order, TransientUnit

_SPANS = {
    "": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 0.001, "msec": 0.001,
    "m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0,
    "hour": 3600.0, "hours": 3600.0, "d": 86400.0, "day": 86400.0, "days": 86400.0,
}  # fmt: skip
_VALUES = {
    "--unit": "unit", "-u": "unit", "--on-active": "active", "--timer-property": "timer",
    "--property": "property", "-p": "property", "--description": "description",
    "--setenv": "environment", "-E": "environment", "--working-directory": "folder",
    "--uid": "user", "--gid": "group", "--slice": "slice", "--service-type": "type",
    "--nice": "nice",
}  # fmt: skip
_FLAGS = {
    "--collect": "collect", "-G": "collect", "--quiet": "quiet", "-q": "quiet",
    "--no-block": "no-block", "--no-ask-password": "no-ask", "--wait": "wait", "--system": "system",
    "-d": "same-folder", "--same-dir": "same-folder", "--remain-after-exit": "remain",
}  # fmt: skip
Audit = Callable[[str, str], None]


class TransientUnits:
    """The transient units of one host. Attribute to set before use: `executor`."""

    executor: Executor

    def __init__(self, clock: Clock, journal: Journal, audit: Audit) -> None:
        """Start with none; `audit` is told each new one."""
        self._clock = clock
        self._journal = journal
        self._audit = audit
        self._made: dict[str, TransientUnit] = {}

    @property
    def loaded(self) -> dict[str, TransientUnit]:
        """Return the units that systemd still knows, by the name without its ending."""
        return {name: unit for name, unit in self._made.items() if unit.is_loaded}

    def find(self, unit: str) -> TransientUnit | None:
        """Return the transient unit behind NAME.service or NAME.timer, if it is loaded."""
        name, _, ending = unit.rpartition(".")
        found = self.loaded.get(name)
        if found and ending == "timer" and found.timer.active != "active":
            return None
        return found

    def unit_of(self, call: ToolCall) -> str:
        """Return the service in which a program runs; "" when it is none of ours."""
        invocation = call.environment.get("INVOCATION_ID", "")
        for unit in self._made.values():
            if invocation and unit.service.invocation == invocation:
                return unit.service_name
        return ""

    async def close(self) -> None:
        """End them all, as a power cut does."""
        for unit in self._made.values():
            await unit.close()
        self._made.clear()

    async def run(self, call: ToolCall, *, root: bool) -> Reply:
        """Answer `systemd-run ...`."""
        try:
            asked = Arguments(call.arguments, _VALUES, _FLAGS, stop_at_word=True)
            order = _order(asked, call)
        except (UsageError, ValueError) as error:
            return Reply(stderr=f"systemd-run: {error}\n", exit=1)
        timed = order.delay is not None
        kind, ending = ("timer", "timer") if timed else ("service", "service")
        failed = f"Failed to start transient {kind} unit: "
        if not root:
            return Reply(stderr=f"{failed}Interactive authentication required.\n", exit=1)
        if order.name in self.loaded:
            words = f"Unit {order.name}.{ending} was already loaded or has a fragment file."
            return Reply(stderr=f"{failed}{words}\n", exit=1)
        unit = TransientUnit(order, self.executor, self._clock, self._journal)
        self._made[order.name] = unit
        self._audit("systemd-run", f"{order.name}.{ending}")
        said = await self._begin(unit, wait=asked.has("wait"))
        return Reply(stderr="" if asked.has("quiet") else said, exit=_status(unit, asked))

    def boot(self, orders: list[Order]) -> None:
        """Arm the timers that unit files describe."""
        for order in orders:
            self._made[order.name] = TransientUnit(order, self.executor, self._clock, self._journal)
            self._made[order.name].arm()

    @staticmethod
    async def _begin(unit: TransientUnit, *, wait: bool) -> str:
        if unit.order.delay is not None:
            unit.arm()
            return (
                f"Running timer as unit: {unit.timer_name}\n"
                f"Will run service as unit: {unit.service_name}\n"
            )
        await unit.start()
        if wait and unit.ended:
            await asyncio.wait([unit.ended])
        return f"Running as unit: {unit.service_name}\n"


def _status(unit: TransientUnit, asked: Arguments) -> int:
    return unit.service.exec_main_status if asked.has("wait") else 0


def _order(asked: Arguments, call: ToolCall) -> Order:
    if not asked.words:
        raise UsageError("Command line to execute required.")
    for value in (*asked.all("property"), *asked.all("timer")):
        if "=" not in value:
            raise UsageError(f"Not an assignment: {value}")
    given = asked.last("active")
    environment = dict(pair.partition("=")[::2] for pair in asked.all("environment"))
    name = asked.last("unit") or f"run-r{uuid.uuid4().hex}"
    return Order(
        re.sub(r"\.(service|timer)$", "", name),
        tuple(asked.words),
        None if given is None else seconds_of(given),
        asked.last("description") or " ".join(asked.words),
        environment,
        call.folder if asked.has("same-folder") else asked.last("folder") or "/",
        0 if asked.last("user") in (None, "root", "0") else USER_ID,
        asked.has("collect"),
    )


def seconds_of(text: str) -> float:
    """Read a time span as systemd.time(7) writes it: `300`, `5min`, `1h 30s`.

    Raises:
        ValueError: It is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text)
    whole = re.sub(r"\s", "", "".join(number + unit for number, unit in parts))
    if not parts or whole != re.sub(r"\s", "", text) or any(u not in _SPANS for _, u in parts):
        raise ValueError(f"Failed to parse timer value: {text}")
    return sum(float(number) * _SPANS[unit] for number, unit in parts)
