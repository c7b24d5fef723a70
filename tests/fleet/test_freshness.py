"""What Azure has under each tag against what a site has: states, ages, who holds a digest."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.freshness import (
    CloudTag,
    ImageState,
    SiteImages,
    age,
    compare,
    describe_images,
    find_holders,
)
from fleet.freshness_groups import group_images

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases/freshness.yaml").read_text())
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def images_of(case: dict[str, Any], site: str = "oslo", **more: Any) -> SiteImages:
    cloud = {
        repository: [CloudTag(tag=t, digest=d, updated=at.replace(tzinfo=UTC)) for t, d, at in tags]
        for repository, tags in case["cloud"].items()
    }
    images = compare(cloud, case.get("held", {}), case.get("left", {}))
    return SiteImages(fleet="northsea", site=site, checked_at=NOW, images=images, **more)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_each_tag_is_compared_with_azure(case: dict[str, Any]) -> None:
    images = images_of(case)
    assert {image.name: image.state.value for image in images.images} == case["states"]
    assert describe_images(images, NOW) == case["says"]
    late = case.get("behind_since")
    assert images.behind_since == (late.replace(tzinfo=UTC) if late else None)


def test_figures_survive_storage() -> None:
    images = images_of(CASES[0], running=({"image": "a/b:1", "digest": "sha256:1"},))
    assert SiteImages.model_validate_json(images.model_dump_json()) == images


def test_a_site_that_does_not_answer_keeps_its_last_known_figures() -> None:
    known = images_of(next(case for case in CASES if "behind_since" in case))
    later = known.without_contact(NOW + timedelta(days=2), "the host does not answer")
    assert later.images == known.images
    assert later.checked_at == NOW
    assert (later.failed_at, later.problem) == (NOW + timedelta(days=2), "the host does not answer")


def test_a_site_that_never_answered_says_so() -> None:
    never = SiteImages(fleet="northsea", site="oslo")
    assert describe_images(never, NOW) == "never compared"
    assert describe_images(never.without_contact(NOW, "no"), NOW) == "never compared: no"


def test_a_digest_is_found_where_the_registry_holds_it_and_where_pods_run_it() -> None:
    case = {
        "cloud": {"app": [["1", "sha256:new", NOW], ["0", "sha256:old", NOW]]},
        "held": {"app": {"1": "sha256:old", "0": "sha256:old"}},
    }
    holding = images_of(case)
    running = images_of(
        {"cloud": {}}, "rotterdam", running=({"image": "x/app:1", "digest": "sha256:old"},)
    )
    neither = images_of({"cloud": case["cloud"]}, "singapore")
    found = {one.site: one for one in find_holders([holding, running, neither], "sha256:old")}
    assert {name: (one.held, one.running) for name, one in found.items()} == {
        "oslo": (("app:1", "app:0"), ()),
        "rotterdam": ((), ("x/app:1",)),
    }
    assert find_holders([holding], "sha256:ol") == find_holders([holding], "sha256:old")
    assert find_holders([holding, running], "sha256:new") == ()


def test_the_same_tag_at_many_sites_is_one_group_and_what_was_moved_first_stands_first() -> None:
    case = next(case for case in CASES if case["name"].startswith("every state"))
    groups = group_images([images_of(case, "oslo"), images_of(case, "bergen")])
    assert {group.sites for group in groups} == {("bergen", "oslo")}
    assert [group.state for group in groups][-1] is ImageState.GONE
    times = [group.since for group in groups if group.since]
    assert times == sorted(times)
    assert ImageState.FRESH not in {group.state for group in groups}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (86400, "1 d"), (86400 * 40, "40 d")],
)
def test_an_age_has_one_unit(seconds: int, text: str) -> None:
    assert age(timedelta(seconds=seconds)) == text
