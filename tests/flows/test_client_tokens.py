"""A site with a second client token: it pulls its part, is rolled on its own, and goes with all."""

import json
import time
from base64 import b64decode
from collections.abc import Iterator

import pytest

from fleet.results import FleetReport, Status
from lab.thread import LabThread
from tasks.records import read_record
from tests.flows.lab_runs import (
    change_fleet,
    module_lab,
    onboard,
    read_secret,
    result_of,
    verify,
    writes,
)
from tests.flows.nested import actions_of, cloud_registry
from tests.flows.plans import Drifts, plan, shown, site_plan
from tests.flows.pull_load import pulling
from tests.flows.test_force_retire import revoke
from tests.flows.test_offboarding import names_in_azure, offboard
from tests.flows.test_rotation import rotate

pytestmark = [pytest.mark.flow, pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]
SITE = "oslo"
CREW = ("crew", "crew-pull")
TOKEN = {
    "name": "crew",
    "repositories": {"include": ["*/engine*"]},
    "pull_secrets": {"name": CREW[1], "namespaces": ["crew"], "namespace_labels": {"pulls": "yes"}},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, prefect_harness: None) -> Iterator[LabThread]:
    assert prefect_harness is None
    with module_lab(tmp_path_factory, sites=1) as lab:
        change_fleet(lab, rotation={"grace": "1s"})
        change_fleet(lab, SITE, client_tokens=[TOKEN])
        drifts = Drifts(lab, SITE)
        drifts.add_namespace("crew")
        drifts.add_namespace("bridge", pulls="yes")
        yield lab


@pytest.fixture(scope="module")
def onboarded(lab: LabThread) -> FleetReport:
    return onboard(lab)


def _logins(lab: LabThread, namespace: str, name: str) -> set[tuple[str, str]]:
    content = json.loads(b64decode(read_secret(lab, SITE, name, namespace)[".dockerconfigjson"]))
    return {(one["username"], one["password"]) for one in content["auths"].values()}


def _sync_slots(lab: LabThread) -> set[str]:
    tokens = cloud_registry(lab).tokens.values()
    (found,) = [token for token in tokens if token.name.endswith("-sync")]
    return set(found.slots)


def _users(logins: set[tuple[str, str]]) -> set[str]:
    return {user.rpartition("-")[2] for user, _ in logins}


def test_each_token_has_its_part_and_its_own_pull_secrets(
    lab: LabThread, onboarded: FleetReport
) -> None:
    result = result_of(onboarded, SITE)
    assert result.status is Status.DONE, result.message
    own, crew = _logins(lab, "default", "acrfleet-pull"), _logins(lab, *CREW)
    assert (_users(own), _users(crew)) == ({"client"}, {"crew"})
    assert _logins(lab, "bridge", CREW[1]) == crew
    maps = cloud_registry(lab).scope_maps
    granted = next(one for name, one in maps.items() if name.endswith("-crew-map"))
    assert {action.split("/")[2] for action in granted.actions} == {"engine-monitor"}
    written = len(writes(lab))
    assert result_of(onboard(lab), SITE).changes == 0
    assert plan(lab).is_empty
    assert len(writes(lab)) == written
    assert result_of(verify(lab), SITE).status is Status.DONE


def test_both_are_rolled_under_load_and_all_secrets_hold_the_new_password_before_the_old_one_goes(
    lab: LabThread, onboarded: FleetReport
) -> None:
    before = _logins(lab, "default", "acrfleet-pull") | _logins(lab, *CREW)
    Drifts(lab, SITE).add_namespace("engine", pulls="yes")
    image = {"repository": "vessel/engine-monitor", "tag": "2.1.0"}
    with pulling(lab, SITE) as own, pulling(lab, SITE, secret=CREW, **image) as crew:
        first = result_of(rotate(lab, SITE), SITE)
        assert first.status is Status.DONE, first
        time.sleep(1.1)
        second = result_of(rotate(lab, SITE, now=False), SITE)
        assert second.status is Status.DONE, second
    assert (own.failures, crew.failures) == ([], [])
    assert own.passwords == crew.passwords == {"password1", "password2"}
    new = _logins(lab, *CREW)
    assert len(new) == 1
    assert _logins(lab, "bridge", CREW[1]) == _logins(lab, "engine", CREW[1]) == new
    assert before.isdisjoint(new | _logins(lab, "default", "acrfleet-pull"))
    for token in cloud_registry(lab).tokens.values():
        assert len(token.slots) == 1, token.name
    record = read_record("lab", SITE)
    assert record is not None
    assert [mark.slot for mark in record.further_passwords.values()] == ["password2"]
    assert result_of(rotate(lab, SITE, now=False), SITE).changes == 0


def test_a_token_that_cannot_be_rolled_holds_up_neither_another_one_nor_the_sync_password(
    lab: LabThread, onboarded: FleetReport
) -> None:
    wanted, before = {"namespaces": ["default", "nowhere"]}, _logins(lab, *CREW)
    sync = _sync_slots(lab)
    change_fleet(lab, SITE, pull_secrets=wanted)
    try:
        result = result_of(rotate(lab, SITE), SITE)
    finally:
        change_fleet(lab, SITE, pull_secrets={"namespaces": ["default"]})
    assert result.status is Status.FAILED
    assert result.error == "PullTargetMissingError"
    assert "nowhere" in result.message
    assert _logins(lab, *CREW).isdisjoint(before)
    assert _sync_slots(lab) != sync
    for _ in range(2):
        time.sleep(1.1)
        ended = result_of(rotate(lab, SITE, now=False), SITE)
    assert (ended.status, ended.changes) == (Status.DONE, 0), ended


def test_a_plan_shows_what_one_token_lacks_and_an_onboarding_gives_it(
    lab: LabThread, onboarded: FleetReport
) -> None:
    registry = cloud_registry(lab)
    item = next(one for name, one in registry.scope_maps.items() if name.endswith("-crew-map"))
    item.actions = list(item.actions)[:-1]
    (line,) = shown(site_plan(plan(lab), SITE))
    assert "-crew-map" in line
    assert result_of(onboard(lab), SITE).changes == 1
    assert len(actions_of(lab, SITE, "crew")) == 2


def test_a_stolen_site_loses_all_tokens_and_offboarding_takes_all_away(
    lab: LabThread, onboarded: FleetReport
) -> None:
    result = revoke(lab, SITE, agreed=True)
    assert result.status is Status.DONE, result
    assert "-crew" in result.message
    assert all(not one.slots for one in cloud_registry(lab).tokens.values())
    ended = result_of(offboard(lab, SITE), SITE)
    assert ended.status is Status.DONE, ended
    assert names_in_azure(lab, SITE) == set()
