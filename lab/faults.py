"""Faults to order: each names a part, what it matches, and what goes wrong how often.

Kinds and what a part does with them:
    latency        wait `seconds`, then go on
    status         answer with HTTP `status` (and Retry-After: `retry_after` when set), do nothing
    status-after   do it, then answer with `status` all the same
    drop           close the connection, do nothing
    drop-after     do it, then close the connection
    hang           accept and never answer, do nothing
    hang-after     do it, then never answer
Parts may know further kinds; they document them beside their code.
"""

import asyncio
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml


@dataclass
class Fault:
    """One thing that goes wrong.

    The first `skip` operations that match go well; then `times` counts down, None means always.
    `hanging` tells how many requests hang by it at this moment.
    """

    part: str
    kind: str
    match: str = "*"
    site: str | None = None
    status: int = 503
    retry_after: float | None = None
    seconds: float = 1.0
    times: int | None = None
    skip: int = 0
    hanging: int = field(default=0, init=False)

    async def hang(self) -> None:
        """Never return; for the kinds `hang` and `hang-after`."""
        self.hanging += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.hanging -= 1


class Faults:
    """The faults that are switched on; parts ask before they act."""

    def __init__(self, faults: list[Fault] | None = None) -> None:
        """Start with these faults."""
        self.active = list(faults or [])

    @classmethod
    def load(cls, path: Path) -> "Faults":
        """Read a YAML or JSON list of faults; unknown keys raise TypeError."""
        entries: list[dict[str, Any]] = yaml.safe_load(path.read_text()) or []
        return cls([Fault(**entry) for entry in entries])

    def add(self, **fault: Any) -> Fault:
        """Switch a fault on and return it."""
        self.active.append(Fault(**fault))
        return self.active[-1]

    def clear(self) -> None:
        """Switch every fault off."""
        self.active.clear()

    def take(self, part: str, operation: str, site: str | None = None) -> list[Fault]:
        """Return the faults that hit this operation, and count them as used.

        Args:
            part: The part that asks.
            operation: For example `PUT /registries/acr/tokens/oslo` or `systemctl restart k3s`.
            site: The site it belongs to, if any.
        """
        matching = [
            fault
            for fault in self.active
            if fault.part == part
            and fault.times != 0
            and fault.site in (None, site)
            and fnmatchcase(operation, fault.match)
        ]
        hit = [fault for fault in matching if not fault.skip]
        for fault in matching:
            fault.skip = max(fault.skip - 1, 0)
        for fault in hit:
            if fault.times is not None:
                fault.times -= 1
        return hit
