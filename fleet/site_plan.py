"""A plan: every change that an onboarding would make to sites, as values that hold no secret.

A plan is made from reads alone, can be kept in a file, and is compared with a later one: what is
done is what somebody has seen. Times and lengths of restarts are for people and never compared.
"""

from datetime import datetime
from enum import StrEnum

from fleet.outcomes import Action
from fleet.strict import Strict


class Part(StrEnum):
    """The part of a site that a change belongs to; a fleet file may name these."""

    ACCESS = "access"
    SCOPE_MAPS = "scope_maps"
    SYNC = "sync"
    PASSWORDS = "passwords"
    CHART = "chart"
    NODES = "nodes"
    PULL_SECRETS = "pull_secrets"


_SIGNS = {Action.CREATED: "+", Action.DELETED: "-"}


class PlannedChange(Strict):
    """One write that an onboarding would make.

    Attributes:
        part: What it belongs to.
        kind: What kind of object, as outcomes name it: `scope map`, `registries.yaml on`.
        name: Which one.
        action: created, changed, adopted or deleted.
        detail: Why or what, in a few words.
        diff: Lines of a difference, each beginning with `+`, `-`, `@` or a space; secrets masked.
        takes_away: Whether something goes that pods or people may be using: repositories, a file.
        restart_seconds: How long a restart that comes with it is expected to take; None: none does.
    """

    part: Part
    kind: str
    name: str
    action: Action
    detail: str = ""
    diff: tuple[str, ...] = ()
    takes_away: bool = False
    restart_seconds: float | None = None

    @property
    def key(self) -> str:
        """Return which object it is about."""
        return f"{self.kind} {self.name}"

    @property
    def restarts(self) -> bool:
        """Return whether a service is restarted."""
        return self.restart_seconds is not None

    @property
    def sign(self) -> str:
        """Return `+`, `-` or `~`."""
        return _SIGNS.get(self.action, "~")

    def __str__(self) -> str:
        """Say it in one line."""
        detail = f": {self.detail}" if self.detail else ""
        restart = f"; about {self.restart_seconds:.0f} s" if self.restart_seconds else ""
        return f"{self.sign} {self.key} {self.action}{detail}{restart}"

    def same_as(self, other: "PlannedChange") -> bool:
        """Return whether both write the same."""
        return self.written == other.written

    @property
    def written(self) -> tuple[object, ...]:
        """Return everything that is compared: which write it is, not how long it takes."""
        return self.key, self.part, self.action, self.detail, self.diff, self.restarts


class SitePlan(Strict):
    """What an onboarding would do to one site.

    Attributes:
        site: The site's name.
        changes: Every write, in the order in which they are made.
        obstacles: Why an onboarding would refuse, each a sentence that says what to do.
        notes: What is only known afterwards, and what it would wait for.
    """

    site: str
    changes: tuple[PlannedChange, ...] = ()
    obstacles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to do and nothing in the way."""
        return not self.changes and not self.obstacles

    @property
    def restarted(self) -> tuple[PlannedChange, ...]:
        """Return the changes that restart a node."""
        return tuple(one for one in self.changes if one.restarts)

    @property
    def takes_away(self) -> bool:
        """Return whether something goes that may be in use."""
        return any(one.takes_away for one in self.changes)

    @property
    def headline(self) -> str:
        """Say in a few words what there is to do."""
        if self.is_empty:
            return "nothing to do"
        words = [_count(len(self.changes), "change")] if self.changes else []
        words += [_count(len(self.restarted), "restart")] if self.restarted else []
        words += [f"{len(self.obstacles)} in the way"] if self.obstacles else []
        return ", ".join(words)


class UnreadSite(Strict):
    """A site that could not be planned.

    Attributes:
        site: The site's name.
        message: Why.
        error: The name of the error's class.
        cause: The message without what belongs to this site alone.
        todo: What the operator does next.
        is_away: It works, as far as we know, and does not answer now: that is no failure.
    """

    site: str
    message: str
    error: str = ""
    cause: str = ""
    todo: str = ""
    is_away: bool = False


class FleetPlan(Strict):
    """The plans of the chosen sites of one fleet.

    Attributes:
        fleet: The fleet's name.
        fleet_digest: Of the fleet file that it was made from, see `fleet.fleet_plan.fleet_digest`.
        made_at: When it was made, UTC.
        sites: The sites that could be read, in the order of their names.
        unread: Those that could not.
    """

    fleet: str
    fleet_digest: str
    made_at: datetime
    sites: tuple[SitePlan, ...] = ()
    unread: tuple[UnreadSite, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to do at any site, and all could be read."""
        return not self.unread and all(one.is_empty for one in self.sites)

    @property
    def has_changes(self) -> bool:
        """Return whether something would be written."""
        return any(one.changes for one in self.sites)

    @property
    def is_blocked(self) -> bool:
        """Return whether a site would refuse or could not be read, though it is not away."""
        failed = any(not one.is_away for one in self.unread)
        return failed or any(one.obstacles for one in self.sites)

    @property
    def is_waiting(self) -> bool:
        """Return whether a site is away."""
        return any(one.is_away for one in self.unread)

    def of(self, site: str) -> SitePlan | None:
        """Return a site's plan."""
        return next((one for one in self.sites if one.site == site), None)

    def missing(self, site: str) -> UnreadSite | None:
        """Return why a site has no plan; None: it has one, or is not of these sites."""
        return next((one for one in self.unread if one.site == site), None)

    @property
    def headline(self) -> str:
        """Count what would be done, in one line."""
        due = [one for one in self.sites if one.changes]
        changes = sum(len(one.changes) for one in due)
        nodes = sum(len(one.restarted) for one in due)
        passwords = sum(c.part is Part.PASSWORDS for one in due for c in one.changes)
        losing = sum(one.takes_away for one in due)
        stuck = sum(bool(one.obstacles) for one in self.sites)
        parts = [
            f"{_count(changes, 'change')} at {_count(len(due), 'site')}" if due else "",
            _count(nodes, "node restart") if nodes else "",
            _count(passwords, "new password") if passwords else "",
            f"{_count(losing, 'site')} with deletions" if losing else "",
            f"{_count(stuck, 'site')} with something in the way" if stuck else "",
            f"{_count(len(self.unread), 'site')} could not be read" if self.unread else "",
        ]
        return "; ".join(filter(None, parts)) or "nothing to do"


def moved_since(planned: FleetPlan, now: SitePlan) -> tuple[str, ...]:
    """Return what an onboarding would do now that the plan does not say, in words; none: go on.

    What was planned and is done already is no difference: nothing else is done because of it, and a
    run that broke off half-way can be taken up with the same plan.

    Args:
        planned: The plan that somebody has seen.
        now: The plan of one of its sites, made again.
    """
    site = planned.of(now.site)
    known: dict[str, list[PlannedChange]] = {}
    for one in site.changes if site else ():
        # Two tokens may each give the same service account a pull secret.
        known.setdefault(one.key, []).append(one)
    words = [f"in the way now: {text}" for text in now.obstacles]
    for change in now.changes:
        before = known.get(change.key, [])
        if not before:
            words.append(f"new: {change}")
        elif not any(change.same_as(one) for one in before):
            words.append(_difference(before[0], change))
    return tuple(words)


def _difference(before: PlannedChange, now: PlannedChange) -> str:
    if str(before) != str(now):
        return f"planned was {before}; now it would be {now}"
    return f"{now.key}: other lines would be written than the plan shows"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
