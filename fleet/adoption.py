"""Adoption: what becomes of each object of a site that somebody else has set up.

A site that works is not improved by new passwords, so everything is taken as it is where that is
possible, what Azure and the cluster can change is listed before it is changed, and what would cut
the site off is an obstacle (docs/decisions/0014-adoption.md).
"""

from collections.abc import Iterable
from enum import StrEnum

from fleet.strict import Strict


class Fate(StrEnum):
    """What becomes of an object."""

    KEPT = "nothing to do"
    ADOPTED = "adopted as it is"
    CHANGED = "changed"
    CREATED = "created"
    OBSTACLE = "in the way"


class Place(StrEnum):
    """Where an object is, in the order in which tables list them."""

    FILE = "fleet file"
    AZURE = "Azure"
    CLUSTER = "cluster"
    NODES = "nodes"


class Finding(Strict):
    """One object and what becomes of it; `detail` says how it is, or what to do about it."""

    place: Place
    kind: str
    name: str
    fate: Fate
    detail: str = ""

    def __str__(self) -> str:
        """Say it in one line."""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.kind} {self.name}: {self.fate}{detail}"


def in_the_way(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the obstacles."""
    return tuple(one for one in found if one.fate is Fate.OBSTACLE)


def to_write(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return what an adoption writes, marks of ownership included."""
    return tuple(one for one in found if one.fate not in (Fate.KEPT, Fate.OBSTACLE))


def summary(found: Iterable[Finding]) -> str:
    """Count the objects by what becomes of them, obstacles first."""
    listed = list(found)
    order = (Fate.OBSTACLE, Fate.CREATED, Fate.CHANGED, Fate.ADOPTED, Fate.KEPT)
    counts = [(sum(one.fate is fate for one in listed), fate) for fate in order]
    return ", ".join(f"{count} {fate}" for count, fate in counts if count)
