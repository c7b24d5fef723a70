"""People find a run by its verb and its sites."""

import pytest

from fleet.run_names import run_name, run_tags
from fleet.sites import Fleet, Site
from tests.builders import a_registry, a_site


def a_fleet_of(count: int) -> Fleet:
    return Fleet(name="northsea", registries={"northsea": a_registry()}, sites=tuple(some(count)))


def some(count: int) -> list[Site]:
    return [a_site(f"site-{number}") for number in range(count)]


@pytest.mark.parametrize(
    ("of", "chosen", "name"),
    [
        (40, 1, "rotate site-0"),
        (40, 3, "rotate site-0, site-1, site-2"),
        (40, 4, "rotate northsea, 4 of 40 sites"),
        (40, 40, "rotate northsea, all 40 sites"),
        (2, 2, "rotate site-0, site-1"),
    ],
)
def test_a_few_sites_are_named_many_are_counted(of: int, chosen: int, name: str) -> None:
    fleet = a_fleet_of(of)
    assert run_name("rotate", fleet, fleet.sites[:chosen]) == name


def test_a_run_is_tagged_with_fleet_registry_and_a_few_sites() -> None:
    tags = run_tags(some(20))
    assert {"fleet:northsea", "site:site-0", "site:site-19"} <= tags
    assert [tag for tag in tags if tag.startswith("registry:")]
    assert not [tag for tag in run_tags(some(21)) if tag.startswith("site:")]
