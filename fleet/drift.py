"""How a site differs from the fleet file, and which of that may be mended without asking."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from fleet.cluster_facts import strangers_among
from fleet.cluster_objects import NodeState
from fleet.outcomes import Action, Outcome
from fleet.reconcile_settings import Reconcile
from fleet.site_plan import Part, PlannedChange, SitePlan
from fleet.sites import Site

_DUE = {Action.DELETED: Action.TO_DELETE}
# These generate a password where none at the site works.
_NEED_PASSWORDS = {Part.CHART, Part.PULL_SECRETS}


@dataclass(frozen=True)
class Drift:
    """What a reconciliation found at a site.

    Attributes:
        changes: What an onboarding would write.
        mended: The parts of these that the fleet file allows to be mended.
        beyond: What no onboarding mends, each a sentence that says what to do.
    """

    changes: tuple[PlannedChange, ...]
    mended: frozenset[Part]
    beyond: tuple[Outcome, ...]

    @property
    def left(self) -> tuple[Outcome, ...]:
        """Return what is reported and not mended."""
        kept = (one for one in self.changes if one.part not in self.mended)
        return (*(_due(one) for one in kept), *self.beyond)


def find_drift(
    site: Site, plan: SitePlan, nodes: Sequence[NodeState], ending: Sequence[str], *, mend: bool
) -> Drift:
    """Return how a site differs from the fleet file.

    Args:
        site: The site.
        plan: What an onboarding would write there.
        nodes: The nodes of its cluster.
        ending: Its passwords that end before long, each in a sentence.
        mend: Whether anything may be mended at all.
    """
    beyond = [
        _beyond("node", f"{site.name}/{name}", "not in the fleet file; add it under `nodes`")
        for name in strangers_among(site, nodes)
    ]
    beyond += [_beyond("password of", site.name, words) for words in ending]
    parts = mendable(plan.changes, site.reconcile) if mend else frozenset[Part]()
    return Drift(changes=plan.changes, mended=parts, beyond=tuple(beyond))


def mendable(changes: Iterable[PlannedChange], rules: Reconcile) -> frozenset[Part]:
    """Return the parts that have drifted and may be mended.

    A part is mended as a whole or not at all: one that would take something away stays unless
    deletions are allowed too, and one that would need a new password unless passwords are.
    """
    changes = tuple(changes)
    drifted = {one.part for one in changes}
    parts = drifted & set(rules.mend)
    if not rules.deletions:
        parts -= {one.part for one in changes if one.takes_away}
    if Part.PASSWORDS in drifted and Part.PASSWORDS not in parts:
        parts -= _NEED_PASSWORDS
    if not parts & _NEED_PASSWORDS:
        parts -= {Part.PASSWORDS}
    return frozenset(parts)


def is_adrift(outcomes: Iterable[Outcome]) -> bool:
    """Return whether something has drifted that was not mended."""
    return any(one.action in (Action.TO_CHANGE, Action.TO_DELETE) for one in outcomes)


def is_new(changes: Iterable[PlannedChange]) -> bool:
    """Return whether a site has no connected registry yet: that is no drift."""
    created = (one for one in changes if one.action is Action.CREATED)
    return any(one.kind == "connected registry" for one in created)


def headline(mended: Collection[Outcome], left: Collection[Outcome]) -> str:
    """Say in one line what has drifted, what was mended, and what is left."""
    if not mended and not left:
        return "no drift"
    parts = [f"{len(mended)} mended"] if mended else []
    if left:
        named = [f"{one.kind} {one.name}" for one in left]
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        parts.append(f"{len(left)} drifted: {', '.join(named[:3])}{more}")
    return "; ".join(parts)


def _due(change: PlannedChange) -> Outcome:
    action = _DUE.get(change.action, Action.TO_CHANGE)
    detail = change.detail
    if change.action is Action.CREATED:
        detail = ": ".join(filter(None, ("it is missing", detail)))
    return Outcome(kind=change.kind, name=change.name, action=action, detail=detail)


def _beyond(kind: str, name: str, words: str) -> Outcome:
    return Outcome(kind=kind, name=name, action=Action.TO_CHANGE, detail=words)
