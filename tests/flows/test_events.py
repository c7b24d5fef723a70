"""Each site's end is told to Prefect once, for automations; a server that is away costs nothing."""

import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from fleet.errors import FleetError, WaitingError
from fleet.outcomes import Action, Outcome
from tasks.reporting import end_of_run
from tasks.site_runs import SiteRun, run_sites
from tests.builders import a_site
from tests.flows.lab_runs import VARIABLES, change_fleet, running_lab
from tests.flows.processes import start

pytestmark = [pytest.mark.flow, pytest.mark.timeout(500)]
SECRET = "CANARY-in-an-exception"


def rotates(run: SiteRun) -> None:
    run.did([Outcome(kind="token", name="t", action=Action.CHANGED)])
    run.message = "password2 is in use"


def finds_nothing(run: SiteRun) -> None:
    run.message = "nothing is due"


def waits(_run: SiteRun) -> NoReturn:
    raise WaitingError("it has not synced since noon")


def breaks(_run: SiteRun) -> NoReturn:
    raise FleetError("the host does not answer: wait for the link")


def explodes(_run: SiteRun) -> NoReturn:
    raise ValueError(SECRET)


WORK = {"oslo": rotates, "riga": finds_nothing, "turku": waits, "bergen": breaks, "tema": explodes}


def run_rotation(fleet: str, verb: str = "rotate") -> State[Any]:
    @flow(name="test")
    def fleet_flow() -> State[None]:
        sites = [a_site(name, fleet=fleet) for name in WORK]
        return end_of_run(run_sites(verb, fleet, sites, lambda run: WORK[run.site.name](run), 4))

    return fleet_flow(return_state=True)


def events_of(fleet: str, count: int) -> list[dict[str, Any]]:
    """Return what the Prefect server was told of a fleet's sites, once it is so much."""
    resource = {"id_prefix": [f"acrfleet.site.{fleet}."]}
    wanted = {"filter": {"resource": resource}, "limit": 50}
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while len(found) < count and time.monotonic() < deadline:
            time.sleep(0.3)
            found = client.request("POST", "/events/filter", json=wanted).json()["events"]
    return found


@pytest.fixture(scope="module")
def told(prefect_harness: None) -> list[dict[str, Any]]:
    assert prefect_harness is None
    fleet = f"fleet-{uuid4().hex[:8]}"
    run_rotation(fleet, "plan")
    run_rotation(fleet)
    return events_of(fleet, len(WORK))


def test_each_site_is_told_once_as_what_became_of_it_and_a_plan_is_not(
    told: list[dict[str, Any]],
) -> None:
    assert sorted((one["resource"]["acrfleet.site"], one["event"]) for one in told) == [
        ("bergen", "acrfleet.site.failed"),
        ("oslo", "acrfleet.site.rotated"),
        ("riga", "acrfleet.site.unchanged"),
        ("tema", "acrfleet.site.failed"),
        ("turku", "acrfleet.site.waiting"),
    ]


def test_an_event_leads_to_its_run_its_fleet_and_its_registry(told: list[dict[str, Any]]) -> None:
    (event,) = [one for one in told if one["resource"]["prefect.resource.name"] == "bergen"]
    names = {
        one["prefect.resource.role"]: one.get("prefect.resource.name") for one in event["related"]
    }
    assert names["task-run"] == "rotate bergen"
    assert names["flow"] == "test"
    assert names["fleet"] == event["resource"]["acrfleet.fleet"]
    assert names["registry"] == "northsea"
    assert {"flow-run", "tag"} <= set(names)
    assert event["payload"]["error"] == "FleetError"
    assert event["payload"]["message"] == "the host does not answer: wait for the link"


def test_what_an_unexpected_exception_says_is_in_no_event(told: list[dict[str, Any]]) -> None:
    assert SECRET not in json.dumps(told)


@pytest.mark.slow
@pytest.mark.lab
def test_a_command_with_a_server_of_its_own_leaves_its_events_in_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "prefect"
    with running_lab(tmp_path / "lab", monkeypatch, sites=1) as lab:
        change_fleet(lab, repositories={"include": ["nothing/*"]})
        azure = {name: lab.info["azure"][key] for name, key in VARIABLES.items()}
        process = start(
            ["onboard", str(lab.folder / "fleet.yaml")],
            {**os.environ, **azure, "PREFECT_HOME": str(home)},
        )
        output, _ = process.communicate(timeout=400)
    assert process.returncode == 1, output.decode()
    with sqlite3.connect(home / "prefect.db") as database:
        rows = database.execute("select event, resource_id from events").fetchall()
    database.close()
    assert ("acrfleet.site.failed", "acrfleet.site.lab.oslo") in rows, rows
