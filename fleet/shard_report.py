"""What the run of a shard tells the run that dispatched it: one JSON document, written anew."""

from fleet.fleet_plan import plan_digest
from fleet.results import SiteResult
from fleet.site_plan import FleetPlan
from fleet.strict import Strict

FOLDER = "shards"
"""Where orders and reports are in the storage for results."""


class ShardOrder(Strict):
    """What a run says to all of its shards; a shard that cannot read it has another storage.

    Attributes:
        fleet: The fleet's name.
        fingerprint: Of the fleet file that the run has, see `fleet.shards.fingerprint`.
        plan: What is to be done, where the run applies a plan: its file is not on every machine.
    """

    fleet: str
    fingerprint: str
    plan: FleetPlan | None = None


class ShardReport(Strict):
    """A sign of life, and the result of every site that has ended so far.

    `beat` grows with every writing: no clock of another machine has to be right.
    """

    beat: int
    results: tuple[SiteResult, ...] = ()


def mark_of(order: ShardOrder) -> str:
    """Return what tells shards of one order from those of another: its fleet file and its plan."""
    if order.plan is None:
        return order.fingerprint
    return f"{order.fingerprint}-{plan_digest(order.plan)}"


def order_key(run: str) -> str:
    """Return the storage key of the order of a dispatching run."""
    return f"{FOLDER}/{run}/order.json"


def report_key(run: str) -> str:
    """Return the storage key of what a shard's run reports."""
    return f"{FOLDER}/{run}/report.json"
