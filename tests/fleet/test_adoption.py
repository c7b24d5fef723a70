"""Adopting a site, decided: names, objects in Azure, the connection string, the nodes' logins."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from fleet.access_changes import ChangeScopeMap, ChangeToken
from fleet.access_plan import ExistingAccess, owner_description
from fleet.adoption import Fate, Finding, Place, in_the_way, summary, to_write
from fleet.adoption_access import (
    OWNED,
    access_findings,
    adopt_client_access,
    adopt_sync_access,
    shared_token,
)
from fleet.adoption_nodes import file_logins
from fleet.adoption_passwords import ConnectionPlan, SyncFacts, plan_connection
from fleet.adoption_sources import find_installations
from fleet.azure_objects import ConnectedRegistryState, PasswordSlot, ScopeMapState, TokenState
from fleet.cluster_objects import Meta, SecretView
from fleet.connected_registries import wanted_settings
from fleet.helm_chart import chart_values, our_labels
from fleet.outcomes import Action
from fleet.passwords import PasswordMark, mark_annotations
from fleet.scope_maps import client_actions, sync_actions
from fleet.sites import Mode, Site, SiteNames
from tests.builders import a_site
from tests.fleet.test_adoption_charts import TEXT, a_release

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
REPOSITORIES = ("vessel/web",)
NAMES = SiteNames(
    connected_registry="oslo1",
    sync_scope_map="oslo1",
    sync_token="oslo1",
    client_scope_map="oslo-pull-map",
    client_token="oslo-pull",
)


def the_site(**changes: Any) -> Site:
    return a_site(**{"names": NAMES, **changes})


def a_state(site: Site, **changes: Any) -> ConnectedRegistryState:
    made = ConnectedRegistryState(
        name="oslo1",
        mode="ReadOnly",
        settings=wanted_settings(site),
        sync_token_id="/tokens/oslo1",
        client_token_ids=("/tokens/oslo-pull",),
        connection_state="Online",
        activation="Active",
        gateway_endpoint="acr.data.azurecr.io",
    )
    return replace(made, **changes)


def sync_objects(site: Site, **changes: Any) -> ExistingAccess:
    actions = sync_actions(Mode.READ_ONLY, REPOSITORIES, "oslo1")
    made = ExistingAccess(
        scope_map=ScopeMapState("oslo1", actions, "Created by connected registry sync token"),
        token=TokenState("oslo1", "/scopeMaps/oslo1"),
        connected_registry=a_state(site),
    )
    return replace(made, **changes)


def test_what_matches_gains_the_owner_and_nothing_else() -> None:
    site = the_site()
    steps = adopt_sync_access(site, REPOSITORIES, sync_objects(site))
    assert [step.outcome.action for step in steps] == [Action.ADOPTED] * 3
    assert [step.change for step in steps] == [
        ChangeScopeMap("oslo1", description=owner_description(site, "sync")),
        None,
        None,
    ]


def test_what_differs_is_changed_together_with_the_owner() -> None:
    site = the_site()
    existing = sync_objects(site)
    assert existing.scope_map is not None
    more = existing.scope_map.actions | {"repositories/office/mail/content/read"}
    existing = replace(existing, scope_map=replace(existing.scope_map, actions=more))
    scope_map, *_ = adopt_sync_access(site, REPOSITORIES, existing)
    assert isinstance(scope_map.change, ChangeScopeMap)
    assert scope_map.change.description == owner_description(site, "sync")
    assert scope_map.outcome.action is Action.CHANGED
    assert "removes repositories/office/mail/content/read" in scope_map.outcome.detail


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"description": f"{OWNED}fleet baltic, site oslo, sync"}, "belongs to somebody else"),
        ({"kind": "SystemDefined"}, "Azure itself"),
        ({"provisioning": "Deleting"}, "is being deleted"),
    ],
)
def test_what_is_of_others_stays_refused(changes: dict[str, str], words: str) -> None:
    site = the_site()
    existing = sync_objects(site)
    assert existing.scope_map is not None
    existing = replace(existing, scope_map=replace(existing.scope_map, **changes))
    steps, found = access_findings(
        lambda: adopt_sync_access(site, REPOSITORIES, existing), "connected registry", "oslo1"
    )
    assert steps == ()
    assert words in in_the_way(found)[0].detail


def test_a_token_of_a_scope_map_of_azure_moves_to_one_of_its_own_and_keeps_its_passwords() -> None:
    site = the_site()
    system = ScopeMapState("_repositories_pull", frozenset(), kind="SystemDefined")
    existing = ExistingAccess(
        token=TokenState("oslo-pull", "/scopeMaps/_repositories_pull"),
        token_scope_map=system,
        connected_registry=a_state(site),
    )
    scope_map, token, accepted = adopt_client_access(site, REPOSITORIES, existing)
    assert scope_map.outcome.action is Action.CREATED
    assert token.change == ChangeToken("oslo-pull", "oslo-pull-map")
    assert accepted.outcome.action is Action.UNCHANGED


def test_a_second_adoption_changes_nothing() -> None:
    site = the_site()
    existing = ExistingAccess(
        scope_map=ScopeMapState(
            "oslo-pull-map", client_actions(REPOSITORIES), owner_description(site, "client")
        ),
        token=TokenState("oslo-pull", "/scopeMaps/oslo-pull-map"),
        connected_registry=a_state(site),
    )
    steps = adopt_client_access(site, REPOSITORIES, existing)
    assert {step.outcome.action for step in steps} == {Action.UNCHANGED}


def test_a_client_token_that_other_sites_use_is_in_the_way_with_the_way_out() -> None:
    site = the_site()
    other = a_state(site, name="bergen1")
    found = shared_token(site, [a_state(site), other])
    assert found is not None
    assert found.fate is Fate.OBSTACLE
    assert "bergen1 accept it too" in found.detail
    assert shared_token(site, [a_state(site), replace(other, client_token_ids=())]) is None


def the_plan(site: Site | None = None, **changes: Any) -> ConnectionPlan:
    site = site or the_site()
    (installation,) = find_installations([a_release(site, chart_values(site.chart))], [])
    slots = changes.pop("slots", {"password1": PasswordSlot(NOW - timedelta(days=9), None)})
    facts = SyncFacts(
        token=TokenState("oslo1", "/scopeMaps/oslo1", slots=slots),
        state=a_state(site),
        secret=None,
        runs=True,
        now=NOW,
    )
    return plan_connection(site, installation, replace(facts, **changes))


def test_the_connection_string_is_kept_to_the_letter_with_its_slot() -> None:
    plan = the_plan()
    assert plan.finding.fate is Fate.CREATED
    assert plan.text == TEXT
    assert plan.body is not None
    assert plan.body["metadata"]["annotations"]["acrfleet/slot"] == "password1"
    assert "canary-sync" not in str(plan.finding)


def test_a_slot_that_was_filled_after_the_release_is_not_the_one_in_use() -> None:
    deployed = datetime(2026, 11, 20, 8, tzinfo=UTC)
    early, late = deployed - timedelta(days=1), deployed + timedelta(hours=1)
    slots = {"password1": PasswordSlot(late, None), "password2": PasswordSlot(early, None)}
    plan = the_plan(slots=slots)
    assert plan.body is not None
    assert plan.body["metadata"]["annotations"]["acrfleet/slot"] == "password2"
    close = {**slots, "password1": PasswordSlot(deployed + timedelta(minutes=3), None)}
    plan = the_plan(slots=close)
    assert plan.body is not None
    assert plan.body["metadata"]["annotations"]["acrfleet/slot"] == "unknown"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runs": False}, "the registry's pod does not run"),
        ({"state": None}, "not in Azure"),
        ({"slots": {}}, "Azure has no password of oslo1"),
    ],
)
def test_a_sync_password_that_is_not_proven_is_in_the_way(
    changes: dict[str, Any], words: str
) -> None:
    plan = the_plan(**changes)
    assert plan.finding.fate is Fate.OBSTACLE
    assert plan.body is None
    assert words in plan.finding.detail


def test_a_site_that_azure_shows_offline_proves_nothing() -> None:
    site = the_site()
    plan = the_plan(site, state=a_state(site, connection_state="Offline"))
    assert "oslo1 is Offline and Active in Azure" in plan.finding.detail


def test_a_parent_that_moved_makes_another_connection_string() -> None:
    site = the_site()
    plan = the_plan(site, state=a_state(site, gateway_endpoint="new.data.azurecr.io"))
    assert plan.finding.fate is Fate.CHANGED
    assert plan.text is not None
    assert "new.data.azurecr.io" in plan.text.get_secret_value()


def test_a_secret_in_the_place_of_ours_is_taken_only_when_it_says_the_same() -> None:
    site = the_site()
    mark = PasswordMark(token="oslo1", slot="password1", created=NOW - timedelta(days=9))
    ours = {"labels": our_labels(site), "annotations": mark_annotations(mark)}
    for text, meta, fate in (
        (TEXT, {}, Fate.ADOPTED),
        (SecretStr("something"), {}, Fate.OBSTACLE),
        (TEXT, ours, Fate.KEPT),
    ):
        values = yaml.safe_dump({"connectionString": text.get_secret_value()})
        secret = SecretView(
            meta=Meta(name="connected-registry-connection", **meta),
            type="Opaque",
            data={"values.yaml": SecretStr(values)},
        )
        assert the_plan(site, secret=secret).finding.fate is fate


def test_logins_are_read_from_a_registries_file_and_a_broken_one_has_none() -> None:
    text = """
    mirrors: {"10.43.7.7:80": {endpoint: ["http://10.43.7.7:80"]}}
    configs:
      "10.43.7.7:80": {auth: {username: oslo-pull, password: canary}}
      "quay.io": {tls: {insecure_skip_verify: true}}
    """
    assert list(file_logins(text)) == [("oslo-pull", SecretStr("canary"))]
    for broken in (None, "", "configs: [", "configs: []", "- a"):
        assert list(file_logins(broken)) == []


def test_findings_are_counted_with_what_needs_a_person_first() -> None:
    found = [
        Finding(place=Place.AZURE, kind="token", name=str(n), fate=fate)
        for n, fate in enumerate([Fate.KEPT, Fate.OBSTACLE, Fate.CREATED, Fate.ADOPTED])
    ]
    assert summary(found).startswith("1 in the way, 1 created")
    assert [one.fate for one in to_write(found)] == [Fate.CREATED, Fate.ADOPTED]
