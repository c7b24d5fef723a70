"""What offboarding takes away: values that are shown and approved before any of them is applied."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fleet.access_changes import ChangeScopeMap
from fleet.errors import RemovalNotApprovedError
from fleet.node_changes import NodeChange
from fleet.outcomes import Action, Outcome

FOREIGN = "it was not made by acrfleet for this site"


@dataclass(frozen=True, slots=True)
class ChangeNode:
    """Take the site's registry out of a node's files."""

    change: NodeChange


@dataclass(frozen=True, slots=True)
class DetachPullSecret:
    """Take the pull secret from a service account; the entries of others stay."""

    namespace: str
    account: str
    secret: str


@dataclass(frozen=True, slots=True)
class DeleteSecret:
    """Delete a Secret."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class UninstallChart:
    """Uninstall the Helm release; `by_helm`: by helm from here, else its HelmChart is deleted."""

    namespace: str
    release: str
    by_helm: bool


@dataclass(frozen=True, slots=True)
class DeleteLease:
    """Delete the Lease that keeps two rotations apart."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class DeleteNamespace:
    """Delete a namespace with everything in it, the registry's volume too."""

    name: str


@dataclass(frozen=True, slots=True)
class ForgetClientToken:
    """Let a connected registry accept all its client tokens but ours; `others` are IDs."""

    connected_registry: str
    token: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deactivate:
    """Take a connected registry from the installation that holds it."""

    connected_registry: str


@dataclass(frozen=True, slots=True)
class DeleteConnectedRegistry:
    """Delete a connected registry."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteToken:
    """Delete a token and its passwords."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteScopeMap:
    """Delete a scope map."""

    name: str


SiteChange = (
    ChangeNode | DetachPullSecret | DeleteSecret | UninstallChart | DeleteLease | DeleteNamespace
)
CloudChange = (
    ForgetClientToken
    | Deactivate
    | DeleteConnectedRegistry
    | DeleteToken
    | DeleteScopeMap
    | ChangeScopeMap
)


C = TypeVar("C")
EVERYTHING = "*"
"""Approves whatever the plan turns out to be."""


@dataclass(frozen=True, slots=True)
class Removal(Generic[C]):
    """What happens to one object, and the write it takes; None: it is left alone, and why."""

    outcome: Outcome
    change: C | None = None

    @property
    def key(self) -> str:
        """Return what is approved: which object, not in which state it was."""
        return f"{self.outcome.kind} {self.outcome.name}"


def removed(kind: str, name: str, change: C, detail: str = "") -> Removal[C]:
    """Return the removal of a whole object."""
    return Removal(Outcome(kind=kind, name=name, action=Action.DELETED, detail=detail), change)


def changed(kind: str, name: str, change: C, detail: str = "") -> Removal[C]:
    """Return a change that takes something out of an object that stays."""
    return Removal(Outcome(kind=kind, name=name, action=Action.CHANGED, detail=detail), change)


def left_alone(kind: str, name: str, why: str) -> Removal[Any]:
    """Return that an object stays as it is."""
    return Removal(Outcome(kind=kind, name=name, action=Action.UNCHANGED, detail=why))


def due(removals: Iterable[Removal[C]]) -> tuple[Removal[C], ...]:
    """Return those that write something."""
    return tuple(one for one in removals if one.change is not None)


def as_plan(removals: Iterable[Removal[Any]]) -> tuple[Outcome, ...]:
    """Return the outcomes as they are shown before anything was done."""
    words = {Action.DELETED: Action.TO_DELETE, Action.CHANGED: Action.TO_CHANGE}
    return tuple(
        one.outcome.model_copy(update={"action": words.get(one.outcome.action, Action.UNCHANGED)})
        for one in removals
    )


def require_approval(site: str, removals: Iterable[Removal[Any]], approved: Iterable[str]) -> None:
    """Refuse to take away more than somebody has seen and agreed to.

    Raises:
        RemovalNotApprovedError: What is new since the plan was shown.
    """
    known = set(approved)
    if EVERYTHING in known:
        return
    new = [one.key for one in due(removals) if one.key not in known]
    if new:
        raise RemovalNotApprovedError(site, new)
