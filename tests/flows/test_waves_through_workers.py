"""Waves hold where workers do the work: no shard of a wave begins before the wave before it ended.

The flows are the product's own, on a real Prefect server; what workers report is scripted.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect import Flow

from fleet.fleet_plan import fleet_digest, write_plan
from fleet.outcomes import Action
from fleet.results import FleetReport, Status
from fleet.site_plan import FleetPlan, Part, PlannedChange, SitePlan
from flows.apply import apply_plan
from flows.onboard import onboard_fleet
from flows.reconcile import reconcile_fleet
from flows.rotate import rotate_tokens
from tasks.fleet_files import read_fleet
from tasks.progress import collecting_reports
from tests.tasks.scripted_workers import Taken, Worker

pytestmark = [
    pytest.mark.flow,
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("prefect_harness"),
]
NAMES = ("aden", "bergen", "cork", "dakar", "esbjerg")
CANARY = "cork"
FLOWS: dict[str, "Flow[..., Any]"] = {
    "onboard": onboard_fleet,
    "apply": apply_plan,
    "reconcile": reconcile_fleet,
    "rotate": rotate_tokens,
}


@pytest.fixture
def fleet_file(tmp_path: Path) -> Path:
    content = {
        "version": 1,
        "fleet": f"waves-{uuid4().hex[:8]}",
        "dispatch": "deployment",
        "shards": {"size": 2},
        "waves": {"canaries": [CANARY], "size": 4},
        "registries": {
            "northsea": {
                "subscription_id": "00000000-0000-0000-0000-000000000000",
                "resource_group": "rg-northsea",
                "name": "northsea",
            }
        },
        "defaults": {
            "repositories": {"include": ["vessel/*"]},
            "chart": {"version": "0.4.0"},
            "ssh": {"user": "edge"},
            "reconcile": {"mend": ["scope_maps"]},
        },
        "sites": [
            {"name": name, "nodes": [{"name": f"{name}-1", "address": f"198.51.100.{number}"}]}
            for number, name in enumerate(NAMES, 1)
        ],
    }
    path = tmp_path / "fleet.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(
    params=["onboard", *(pytest.param(verb, marks=pytest.mark.slow) for verb in list(FLOWS)[1:])]
)
def run(request: pytest.FixtureRequest, fleet_file: Path) -> "Runner":
    return Runner(FLOWS[request.param], fleet_file, request.param == "apply")


class Runner:
    """Runs one flow with workers that follow a script."""

    def __init__(self, flow: "Flow[..., Any]", fleet_file: Path, applies: bool) -> None:
        self._flow, self._fleet_file = flow, fleet_file
        self.looks_on = flow is reconcile_fleet
        self._more = {"plan_file": str(a_plan_of(fleet_file))} if applies else {}

    def __call__(self, script: Callable[[Taken], None]) -> FleetReport:
        with Worker(self._flow, script).at_work(), collecting_reports() as reports:
            self._flow(fleet_file=str(self._fleet_file), **self._more, return_state=True)
        return reports[-1]


def a_plan_of(fleet_file: Path) -> Path:
    fleet, path = read_fleet(str(fleet_file)), fleet_file.with_name("monday.plan")
    change = PlannedChange(part=Part.SYNC, kind="x", name="x", action=Action.CHANGED)
    sites = tuple(SitePlan(site=name, changes=(change,)) for name in NAMES)
    now = datetime.now(UTC)
    plan = FleetPlan(fleet=fleet.name, fleet_digest=fleet_digest(fleet), made_at=now, sites=sites)
    path.write_text(write_plan(plan))
    return path


@pytest.mark.slow
def test_canaries_have_a_shard_of_their_own_and_the_others_wait_for_it(run: Runner) -> None:
    begun, ended, early = list[list[str]](), list[list[str]](), list[list[str]]()

    def script(taken: Taken) -> None:
        begun.append(taken.sites)
        if taken.sites != [CANARY] and [CANARY] not in ended:
            early.append(taken.sites)
        taken.begin()
        time.sleep(0.5)
        taken.report(*taken.sites)
        ended.append(taken.sites)
        taken.complete()

    report = run(script)
    assert {one.site: one.status for one in report.results} == dict.fromkeys(NAMES, Status.DONE)
    assert (begun[0], early) == ([CANARY], [])
    assert sorted(begun[1:]) == [["aden", "bergen"], ["dakar", "esbjerg"]]


@pytest.mark.slow
def test_after_a_canary_that_failed_nothing_more_is_changed(run: Runner) -> None:
    begun, looking = [], []

    def script(taken: Taken) -> None:
        if taken.run.parameters.get("mend") is False:
            looking.append(taken.sites)
            taken.do_all()
            return
        begun.append(taken.sites)
        taken.begin()
        taken.report(*taken.sites, status=Status.FAILED)
        taken.fail("1 site failed")

    report = run(script)
    assert begun == [[CANARY]]
    statuses = {one.site: one.status for one in report.results}
    if run.looks_on:
        assert sorted(looking) == [["aden", "bergen"], ["dakar", "esbjerg"]]
        assert statuses == {**dict.fromkeys(NAMES, Status.DONE), CANARY: Status.FAILED}
        return
    assert looking == []
    assert statuses == {**dict.fromkeys(NAMES, Status.NOT_STARTED), CANARY: Status.FAILED}
