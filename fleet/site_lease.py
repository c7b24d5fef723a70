"""Who may roll a site's passwords: a Lease in the site's own cluster.

Prefect keeps two runs of one server apart. Two servers, or a laptop and a server, know nothing of
each other; they meet at the site.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Self

from fleet.strict import Strict

LEASE = "acrfleet-rotation"
LASTS = timedelta(minutes=15)
"""Longer than any step of a rotation takes; it is renewed between steps and while one waits."""
_FRESH = LASTS / 5


class Holder(Strict):
    """A process, as others can tell it apart; `boot` is the machine's boot ID."""

    machine: str
    boot: str
    process: int

    def __str__(self) -> str:
        """Say it in the form that `parse` reads."""
        return f"{self.machine}/{self.boot}/{self.process}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a holder, or None when somebody else wrote it."""
        parts = text.split("/")
        if len(parts) != 3 or not parts[2].isdigit():
            return None
        return cls(machine=parts[0], boot=parts[1], process=int(parts[2]))


class LeaseView(Strict):
    """A Lease: who holds it since when it was last renewed; `version` guards a write."""

    version: str
    holder: str
    renewed: datetime | None

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Read a Lease."""
        spec = item.get("spec") or {}
        renewed = spec.get("renewTime")
        return cls(
            version=str(item["metadata"].get("resourceVersion", "")),
            holder=str(spec.get("holderIdentity") or ""),
            renewed=datetime.fromisoformat(renewed) if renewed else None,
        )

    def is_fresh(self, me: Holder, now: datetime) -> bool:
        """Return whether `me` holds it and has renewed it lately, so that no write is due."""
        if self.holder != str(me) or self.renewed is None:
            return False
        return abs(now - self.renewed) < _FRESH

    def is_free(self, me: Holder, now: datetime, *, is_alive: bool) -> bool:
        """Return whether `me` may take it.

        Args:
            me: This process.
            now: The time by the clock that all holders use.
            is_alive: Whether the holder's process runs, where it is on this machine.
        """
        if not self.holder or self.holder == str(me) or self.renewed is None:
            return True
        other = Holder.parse(self.holder)
        if other and other.machine == me.machine and (other.boot != me.boot or not is_alive):
            return True
        return now - self.renewed > LASTS


def lease_body(me: Holder | None, now: datetime, found: LeaseView | None) -> dict[str, Any]:
    """Return the body that takes, renews or (without `me`) gives up the Lease."""
    metadata: dict[str, Any] = {"name": LEASE}
    if found is not None:
        metadata["resourceVersion"] = found.version
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {
            "holderIdentity": str(me) if me else "",
            "leaseDurationSeconds": int(LASTS.total_seconds()),
            "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }
