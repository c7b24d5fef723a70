"""What the run of a shard tells the run that dispatched it: one JSON document, written anew."""

from fleet.results import SiteResult
from fleet.strict import Strict


class ShardOrder(Strict):
    """What a run says to all of its shards; a shard that cannot read it has another storage."""

    fleet: str
    fingerprint: str


class ShardReport(Strict):
    """A sign of life, and the result of every site that has ended so far.

    `beat` grows with every writing: no clock of another machine has to be right.
    """

    beat: int
    results: tuple[SiteResult, ...] = ()


def order_key(run: str) -> str:
    """Return the storage key of the order of a dispatching run."""
    return f"shards/{run}/order.json"


def report_key(run: str) -> str:
    """Return the storage key of what a shard's run reports."""
    return f"shards/{run}/report.json"
