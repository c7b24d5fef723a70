"""A sync rotation that dies, or that Azure does not follow: its string is one that Azure takes."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from tests.tasks.kill_points import kill_at_every_point, killed_around, tell
from tests.tasks.site_bench import lab_sites
from tests.tasks.sync_rotation_site import SyncRotationSite, sync_rotation_site

pytestmark = [
    pytest.mark.lab,
    pytest.mark.flow,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("prefect_harness"),
]
GENERATE = {"part": "azure", "match": "POST *generateCredentials", "times": 1}


@pytest.fixture(scope="module")
def sites(
    tmp_path_factory: pytest.TempPathFactory, prefect_harness: None
) -> Iterator[list[SyncRotationSite]]:
    assert prefect_harness is None
    folder = tmp_path_factory.mktemp("crashes")
    with lab_sites(folder, sites=3, minute=0.2) as lab, ExitStack() as stack:
        yield [stack.enter_context(sync_rotation_site(lab)) for _ in range(3)]


def test_killed_before_and_after_every_effect_it_is_taken_up_and_its_string_always_works(
    sites: list[SyncRotationSite], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = kill_at_every_point(sites)
    looks = sum(site.found.looks for site in sites)
    tell(capsys, f"sync password, the string looked at {looks} times and always taken", lines)
    assert [site.found.refused for site in sites] == [[], [], []]
    assert [site.load.failures for site in sites] == [[], [], []]
    for what in (
        "generateCredentials",
        "connected-registry-connection",
        "acrfleet-sync-password",
        "acrfleet-connection-before",
        "tokens/",
    ):
        assert killed_around(what, lines), what


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status-after", "status": 503},
        {"kind": "drop-after"},
        {"kind": "token-not-active"},
        {"kind": "status", "status": 429, "retry_after": 0.2},
    ],
    ids=lambda fault: str(fault["kind"]),
)
def test_a_generation_that_fails_or_loses_its_answer_is_made_good(
    sites: list[SyncRotationSite], fault: dict[str, Any]
) -> None:
    site = sites[0]
    before = site.in_use()
    site.found.lab.faults.add(**GENERATE, site=site.found.name, **fault)
    assert site.rotations.run(asked=True).startswith("done")
    site.assert_at_rest()
    assert site.in_use() != before


def test_a_password_that_azure_does_not_take_yet_waits_at_the_site_and_the_old_string_stays(
    sites: list[SyncRotationSite],
) -> None:
    site = sites[1]
    before = site.found.string()
    slow = {"kind": "slow-propagation", "seconds": 600}
    site.found.lab.faults.add(**GENERATE, site=site.found.name, **slow)
    patience = site.patience.model_copy(update={"accepted": timedelta(seconds=1)})
    said = site.rotations.run(asked=True, patience=patience)
    assert said.startswith("WaitingForSiteError"), said
    assert "Azure does not take the new sync password yet" in said
    assert site.found.string() == before
    assert site.slots() == {"password1", "password2"}
    site.assert_safe()
    with site.load.turn:
        site.found.lab.call(site.found.lab.world.clock.jump, timedelta(minutes=15))
    assert site.rotations.run().startswith("done")
    site.assert_at_rest()
    assert site.found.string() != before
