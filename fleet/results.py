"""What a run did to each site, and what that means for the run as a whole."""

from collections.abc import Iterable
from enum import StrEnum

from fleet.adoption import Finding
from fleet.outcomes import Outcome
from fleet.site_plan import SitePlan
from fleet.sites import Strict


class Status(StrEnum):
    """How a site came out of a run.

    `NOT_STARTED`: the run went wrong before its wave; `SKIPPED`: done before the run was resumed.
    """

    DONE = "done"
    WAITING = "waiting"
    FAILED = "failed"
    STOPPED = "stopped"
    NOT_STARTED = "not started"
    SKIPPED = "skipped"


_ORDER = (
    Status.FAILED,
    Status.STOPPED,
    Status.NOT_STARTED,
    Status.WAITING,
    Status.DONE,
    Status.SKIPPED,
)


class SiteResult(Strict):
    """One site's result; `message` is what an operator needs to read and holds no secret.

    `cause` is the message without what is this site's alone, `todo` what the operator does next;
    `findings` and `advice` are of an adoption: what becomes of each object, and lines for the fleet
    file. `plan` is of a planning run.
    """

    site: str
    verb: str
    status: Status
    message: str = ""
    error: str | None = None
    cause: str = ""
    todo: str = ""
    outcomes: tuple[Outcome, ...] = ()
    findings: tuple[Finding, ...] = ()
    advice: tuple[str, ...] = ()
    plan: SitePlan | None = None
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
        ranked = sorted(results, key=lambda result: (_ORDER.index(result.status), result.site))
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
