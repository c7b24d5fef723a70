"""What systemd knows of a unit's state: how it is, and since when."""

import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime

from lab.clock import Clock


@dataclass
class UnitState:
    """What `systemctl show` tells of a service or a timer."""

    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    restarts: int = 0
    main_pid: int = 0
    exec_main_status: int = 0
    invocation: str = ""
    times: dict[str, tuple[datetime, int]] = field(default_factory=dict)

    def enter(self, active: str, sub: str, clock: Clock) -> None:
        """Change the state, and note when."""
        now = (clock.now(), time.monotonic_ns() // 1000)
        before, self.active, self.sub = self.active, active, sub
        self.times["StateChange"] = now
        if before != active:
            names = {
                "active": "ActiveEnter",
                "inactive": "InactiveEnter",
                "failed": "InactiveEnter",
            }
            if active in names:
                self.times[names[active]] = now
            left = {"active": "ActiveExit", "inactive": "InactiveExit", "failed": "InactiveExit"}
            if before in left:
                self.times[left[before]] = now

    def begin(self, process: int) -> None:
        """Note a new run of the main process."""
        self.main_pid = process
        self.invocation = uuid.uuid4().hex
        self.exec_main_status = 0
        self.result = "success"
