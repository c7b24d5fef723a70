"""The crash matrix: a rotation is killed at each of its points, looked at, and run to its end.

The points are those of a whole run, as the lab's audit log shows them: before and after each write.
Several sites share them out, since a run mostly waits.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, product
from typing import Protocol

import pytest

from tests.tasks.rotation_runs import Effect, Rotations

KINDS = ("hang", "hang-after")


class Rolled(Protocol):
    """A site whose password is rolled."""

    rotations: Rotations

    def in_use(self) -> str:
        """Return the password in use."""

    def slots(self) -> set[str]:
        """Return which slots hold a password in Azure."""

    def assert_safe(self) -> None:
        """See that what is in use works at this moment."""

    def assert_at_rest(self) -> None:
        """See that a rotation has come to its end."""


def kill_at_every_point(sites: Sequence[Rolled]) -> list[str]:
    """Kill a rotation at each point, look, run again until idle; return a line for each point.

    Raises:
        AssertionError: At one of them something is not as it should be.
    """
    with ThreadPoolExecutor(len(sites)) as pool:
        effects = list(pool.map(_effects, sites))
        assert len({len(found) for found in effects}) == 1, effects
        points = list(product(range(len(effects[0])), KINDS))
        shares = [points[first :: len(sites)] for first in range(len(sites))]
        lines = chain(*pool.map(_work_off, sites, effects, shares))
    return [line for _, line in sorted(lines)]


def killed_around(what: str, lines: list[str]) -> bool:
    """Return whether runs died both before and after an effect."""
    return {line.split()[1] for line in lines if what in line} == {"before", "after"}


def tell(capsys: pytest.CaptureFixture[str], title: str, lines: list[str]) -> None:
    """Print the list of points: it is what the test is for."""
    with capsys.disabled():
        print(f"\n{title}; killed at:", *lines, sep="\n")  # noqa: T201


def _effects(site: Rolled) -> list[Effect]:
    _roll(site)  # the first one creates the Lease; later ones find it
    effects = site.rotations.effects(lambda: _roll(site))
    site.assert_at_rest()
    return effects


def _roll(site: Rolled) -> None:
    said = site.rotations.run(asked=True)
    assert said.startswith("done"), said


def _work_off(
    site: Rolled, effects: list[Effect], share: list[tuple[int, str]]
) -> list[tuple[tuple[int, int], str]]:
    lines = []
    for number, kind in share:
        line = f"{number + 1:3} {_die(site, effects[number], kind)}"
        print(line)  # noqa: T201 - shown where a later point fails
        lines.append(((number, KINDS.index(kind)), line))
    return lines


def _die(site: Rolled, effect: Effect, kind: str) -> str:
    before, began = site.in_use(), time.monotonic()
    site.rotations.kill_at(effect, kind)
    site.assert_safe()
    slots = site.slots()
    again = site.rotations.run()
    assert again.startswith("done"), (effect, kind, again)
    site.assert_at_rest()
    site.assert_safe()
    rolled = "rolled" if site.in_use() != before else "not begun"
    when, took = ("before" if kind == "hang" else "after"), time.monotonic() - began
    return f"{when:6} {effect!s:66} slots {'+'.join(sorted(slots))}, then {rolled} ({took:.1f} s)"
