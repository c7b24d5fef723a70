"""How a run is cut into shards, and what becomes of one that is lost."""

from typing import Any

import pytest
from pydantic import ValidationError

from fleet.nesting import Tree
from fleet.results import Status
from fleet.shard_settings import Shards
from fleet.shards import Shard, cut, fingerprint, lost, rest_of, startable
from fleet.sites import Fleet, Site
from tests.builders import a_registry, a_result, a_site


def sites(count: int, registry: str = "northsea", prefix: str = "site") -> list[Site]:
    return [a_site(f"{prefix}-{number:03}", registry=registry) for number in range(count)]


def names(shards: tuple[Shard, ...]) -> list[tuple[str, ...]]:
    return [shard.sites for shard in shards]


@pytest.mark.parametrize(
    ("count", "size", "wanted"),
    [
        (0, 10, []),
        (1, 10, [1]),
        (10, 10, [10]),
        (11, 10, [6, 5]),
        (100, 10, [10] * 10),
        (7, 1, [1] * 7),
        (500, 500, [500]),
        (501, 500, [251, 250]),
    ],
)
def test_shards_are_as_few_as_can_be_and_about_as_large(
    count: int, size: int, wanted: list[int]
) -> None:
    shards = cut(sites(count), Tree(sites(count)), size)
    assert [len(shard.sites) for shard in shards] == wanted
    assert [name for shard in shards for name in shard.sites] == [s.name for s in sites(count)]


def test_the_same_sites_give_the_same_shards_in_whatever_order_they_come() -> None:
    some = sites(23)
    forward, backward = (cut(order, Tree(some), 5) for order in (some, some[::-1]))
    assert forward == backward
    assert [one.key for one in forward] == [one.key for one in backward]
    assert len({one.key for one in forward}) == len(forward)


def test_a_shard_has_sites_of_one_registry_and_registries_take_turns() -> None:
    some = [*sites(4, "east", "e"), *sites(2, "west", "w")]
    shards = cut(some, Tree(some), 2)
    assert [shard.registry for shard in shards] == ["east", "west", "east"]


def family() -> list[Site]:
    """A hub with two ships below it, one of which feeds a boat; and three sites by themselves."""
    return [
        a_site("alone-1"),
        a_site("boat", parent="ship-1"),
        a_site("alone-2"),
        a_site("hub"),
        a_site("ship-1", parent="hub"),
        a_site("ship-2", parent="hub"),
        a_site("alone-3"),
    ]


def test_sites_that_feed_each_other_stay_together_even_beyond_the_size() -> None:
    shards = cut(family(), Tree(family()), 3)
    together = next(shard for shard in shards if "hub" in shard.sites)
    assert set(together.sites) == {"hub", "ship-1", "ship-2", "boat"}
    assert all(len(shard.sites) <= 3 for shard in shards if shard is not together)


def test_sites_below_one_that_the_run_leaves_out_stay_together_as_well() -> None:
    chosen = [site for site in family() if site.name in ("boat", "ship-2", "alone-1")]
    shards = cut(chosen, Tree(family()), 2)
    assert ("boat", "ship-2") in names(shards)


def shard(name: str, registry: str = "east") -> Shard:
    return Shard(registry, (name,))


WAITING = [shard("a"), shard("b"), shard("c", "west"), shard("d")]


@pytest.mark.parametrize(
    ("under_way", "settings", "wanted"),
    [
        ([], {}, "abcd"),
        ([], {"at_once": 2}, "ab"),
        ([shard("x")], {"at_once": 2}, "a"),
        ([shard("x"), shard("y")], {"at_once": 2}, ""),
        ([], {"at_once_per_registry": 1}, "ac"),
        ([shard("x")], {"at_once_per_registry": 1}, "c"),
        ([shard("x", "west")], {"at_once_per_registry": 2}, "abc"),
    ],
)
def test_no_more_shards_start_than_run_and_registry_allow(
    under_way: list[Shard], settings: dict[str, int], wanted: str
) -> None:
    chosen = startable(WAITING, under_way, Shards(**settings))
    assert "".join(one.sites[0] for one in chosen) == wanted


def test_a_lost_shard_is_dispatched_again_once_without_the_sites_that_had_ended() -> None:
    whole = Shard("east", ("a", "b", "c"))
    again = rest_of(whole, {"b": a_result("b", Status.FAILED)})
    assert again == Shard("east", ("a", "c"), attempt=2)
    assert again.key != Shard("east", ("a", "c")).key
    assert rest_of(again, {}) is None
    assert rest_of(whole, {name: a_result(name) for name in "abc"}) is None


def test_sites_of_which_nothing_is_known_have_failed_with_the_reason() -> None:
    whole = Shard("east", ("a", "b"))
    found = lost("onboard", whole, "it fell silent", {"a": a_result("a")})
    assert [(one.site, one.status, one.message) for one in found] == [
        ("b", Status.FAILED, "it fell silent")
    ]


def a_fleet(**changes: Any) -> Fleet:
    registries = {"northsea": a_registry()}
    return Fleet(**{"name": "northsea", "registries": registries, "sites": (a_site(),), **changes})


def test_two_machines_with_another_fleet_file_have_another_fingerprint() -> None:
    assert fingerprint(a_fleet()) == fingerprint(a_fleet())
    other = a_site(probe_image="vessel/navigation:1.5.0")
    assert fingerprint(a_fleet()) != fingerprint(a_fleet(sites=(other,)))
    assert fingerprint(a_fleet()) != fingerprint(a_fleet(shards=Shards(size=3)))


def test_a_shard_is_not_given_up_in_haste() -> None:
    with pytest.raises(ValidationError, match="15s and more"):
        Shards(lost_after="5s")
