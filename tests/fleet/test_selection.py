"""Choosing sites: names, globs, tags and labels, and what a choice that takes nothing says."""

import pytest

from fleet.selection import NoSuchSiteError, select_site, select_sites
from fleet.sites import Fleet
from tests.builders import a_registry, a_site

FLEET = Fleet(
    name="northsea",
    registries={"northsea": a_registry()},
    sites=(
        a_site("oslo", tags=("pilot", "ship"), labels={"vessel": "Fjordkraft", "region": "north"}),
        a_site("bergen", tags=("ship",), labels={"vessel": "Havila", "region": "north"}),
        a_site("rotterdam", tags=("port",), labels={"region": "south"}),
    ),
)


@pytest.mark.parametrize(
    ("names", "tags", "labels", "chosen"),
    [
        ((), (), (), "oslo bergen rotterdam"),
        (("oslo",), (), (), "oslo"),
        (("*r*e*",), (), (), "bergen rotterdam"),
        (("oslo", "rotter*"), (), (), "oslo rotterdam"),
        ((), ("ship",), (), "oslo bergen"),
        ((), ("p*",), (), "oslo rotterdam"),
        ((), ("pilot", "port"), (), "oslo rotterdam"),
        ((), (), ("region=north",), "oslo bergen"),
        ((), (), ("vessel=*",), "oslo bergen"),
        ((), (), ("vessel=Fjord*", "vessel=Havila"), "oslo bergen"),
        ((), (), ("region=north", "vessel=Hav*"), "bergen"),
        (("*",), ("ship",), ("vessel=Havila",), "bergen"),
    ],
)
def test_one_match_of_each_kind_is_enough_and_every_kind_must_match(
    names: tuple[str, ...], tags: tuple[str, ...], labels: tuple[str, ...], chosen: str
) -> None:
    found = select_sites(FLEET, names, tags, labels)
    assert [site.name for site in found] == chosen.split()


@pytest.mark.parametrize(
    ("names", "tags", "labels", "words"),
    [
        (("olso",), (), (), "no site of the fleet file matches 'olso': did you mean oslo?"),
        (("x-*",), (), (), "there are 3 sites: oslo, bergen, rotterdam"),
        ((), ("shipp",), (), "no tag of the fleet file matches 'shipp': did you mean ship?"),
        ((), ("zzz",), (), "there are 3 tags: pilot, port, ship"),
        ((), (), ("region=east",), "did you mean region="),
        ((), (), ("crew=7",), "there are 4 labels: region=north, region=south, vessel=Fjordkraft"),
        ((), (), ("vessel",), "'vessel' is no label: write KEY=VALUE; vessel=* takes every site"),
        ((), (), ("=x",), "is no label"),
        (
            ("oslo",),
            ("port",),
            ("region=south",),
            "named oslo: oslo; with tag port: rotterdam; with label region=south: rotterdam",
        ),
    ],
)
def test_a_choice_that_takes_nothing_is_an_error_that_names_what_there_is(
    names: tuple[str, ...], tags: tuple[str, ...], labels: tuple[str, ...], words: str
) -> None:
    with pytest.raises(NoSuchSiteError) as caught:
        select_sites(FLEET, names, tags, labels)
    assert words in str(caught.value)


def test_a_fleet_without_labels_says_so() -> None:
    fleet = FLEET.model_copy(update={"sites": (a_site("oslo"),)})
    with pytest.raises(NoSuchSiteError, match="there are no labels in it"):
        select_sites(fleet, labels=("vessel=x",))


def test_of_many_sites_only_the_first_are_listed() -> None:
    sites = tuple(a_site(f"site-{number}") for number in range(20))
    fleet = FLEET.model_copy(update={"sites": sites})
    with pytest.raises(NoSuchSiteError, match=r"there are 20 sites: .* and 8 more"):
        select_sites(fleet, ("qqqqqqqqq",))


def test_where_one_site_is_meant_a_glob_is_none() -> None:
    assert select_site(FLEET, "oslo").name == "oslo"
    with pytest.raises(NoSuchSiteError):
        select_site(FLEET, "os*")
