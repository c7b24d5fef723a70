"""What a run did to each site, and what that means for the run as a whole."""

from collections.abc import Iterable
from enum import StrEnum

from fleet.outcomes import Outcome
from fleet.sites import Strict


class Status(StrEnum):
    """How a site came out of a run."""

    DONE = "done"
    WAITING = "waiting"
    FAILED = "failed"
    STOPPED = "stopped"


class SiteResult(Strict):
    """One site's result; `message` is what an operator needs to read and holds no secret."""

    site: str
    verb: str
    status: Status
    message: str = ""
    error: str | None = None
    outcomes: tuple[Outcome, ...] = ()
    seconds: float = 0.0

    @property
    def changes(self) -> int:
        """Return how many objects were written."""
        return sum(outcome.is_change for outcome in self.outcomes)


class FleetReport(Strict):
    """The results of all sites of one run, failures first."""

    verb: str
    fleet: str
    results: tuple[SiteResult, ...]

    @classmethod
    def of(cls, verb: str, fleet: str, results: Iterable[SiteResult]) -> "FleetReport":
        """Sort the results: what needs a person first, then by name."""
        order = (Status.FAILED, Status.STOPPED, Status.WAITING, Status.DONE)
        ranked = sorted(results, key=lambda result: (order.index(result.status), result.site))
        return cls(verb=verb, fleet=fleet, results=tuple(ranked))

    def having(self, status: Status) -> tuple[SiteResult, ...]:
        """Return the results of one status."""
        return tuple(result for result in self.results if result.status is status)

    @property
    def headline(self) -> str:
        """Count the sites by status, in one line."""
        counts = [(len(self.having(status)), status) for status in Status]
        parts = [f"{count} {status}" for count, status in counts if count]
        return f"{self.verb} {self.fleet}: " + (", ".join(parts) or "no sites")
