"""What counts as drift, and which of it is mended without asking."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.cluster_objects import NodeState
from fleet.drift import find_drift, headline, is_adrift, is_new, mendable
from fleet.outcomes import Action, Outcome
from fleet.reconcile_settings import Reconcile
from fleet.site_plan import Part, PlannedChange, SitePlan
from tests.builders import a_site

CASES = yaml.safe_load((Path(__file__).parent.parent / "cases/drift.yaml").read_text())
NODES = (NodeState(name="oslo-1", ready=True, addresses=("192.0.2.1",)),)


def a_change(part: str, **more: Any) -> PlannedChange:
    values = {"kind": part.strip("-"), "name": "oslo", "action": Action.CHANGED, **more}
    return PlannedChange(part=Part(part.strip("-")), takes_away=part.startswith("-"), **values)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_may_be_mended_is_what_the_case_says(case: dict[str, Any]) -> None:
    rules = Reconcile.model_validate({k: case[k] for k in ("mend", "deletions") if k in case})
    changes = [a_change(part) for part in case["drifted"]]
    assert sorted(mendable(changes, rules)) == sorted(case["mended"])


def test_what_is_not_mended_is_reported_with_what_no_onboarding_mends() -> None:
    site = a_site(reconcile=Reconcile(mend=(Part.NODES,)))
    changes = (
        a_change("nodes"),
        a_change("pull_secrets", action=Action.CREATED, detail="default"),
        a_change("-scope_maps", action=Action.DELETED),
    )
    nodes = (*NODES, NodeState(name="oslo-9", ready=True, addresses=("192.0.2.9",)))
    plan = SitePlan(site="oslo", changes=changes)
    drift = find_drift(site, plan, nodes, ["the client password ends soon"], mend=True)
    assert drift.mended == {Part.NODES}
    assert [f"{one}" for one in drift.left] == [
        "pull_secrets oslo: to be changed (it is missing: default)",
        "scope_maps oslo: to be deleted",
        "node oslo/oslo-9: to be changed (not in the fleet file; add it under `nodes`)",
        "password of oslo: to be changed (the client password ends soon)",
    ]
    reported = find_drift(site, plan, NODES, [], mend=False)
    assert reported.mended == frozenset()
    assert len(reported.left) == len(changes)
    assert is_adrift(reported.left)


def test_a_site_as_the_fleet_file_says_has_no_drift() -> None:
    drift = find_drift(a_site(), SitePlan(site="oslo"), NODES, [], mend=True)
    assert not is_adrift(drift.left)
    assert headline([], drift.left) == "no drift"


def test_the_headline_counts_and_names_the_first_three() -> None:
    def outcome(name: str) -> Outcome:
        return Outcome(kind="node", name=name, action=Action.TO_CHANGE)

    left = [outcome(name) for name in "abcde"]
    assert headline(left[:1], left) == "1 mended; 5 drifted: node a, node b, node c and 2 more"


def test_a_site_without_a_connected_registry_is_new_and_not_adrift() -> None:
    assert is_new([a_change("access", kind="connected registry", action=Action.CREATED)])
    assert not is_new([a_change("access", kind="token", action=Action.CREATED)])
