"""Passwords that end before long are an alarm in time, also for sites that nobody can reach."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fleet.results import FleetReport, Status
from lab.thread import LabThread
from tests.flows.lab_runs import (
    change_fleet,
    forget_mark,
    onboard,
    result_of,
    run,
    running_lab,
    writes,
)

pytestmark = [pytest.mark.flow, pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240)]
SITES = ("oslo", "rotterdam")


def check(lab: LabThread, *sites: str) -> FleetReport:
    from flows.check_expiry import check_expiry

    return run(check_expiry, lab, sites)


def rotate(lab: LabThread, *, now: bool = False) -> FleetReport:
    from flows.rotate import rotate_tokens

    return run(partial(rotate_tokens, now=now), lab, SITES)


def record_of(lab: LabThread, site: str) -> dict[str, Any]:
    from clients.fleet_files import read_fleet
    from tasks.records import read_record

    record = read_record(read_fleet(lab.folder / "fleet.yaml").name, site)
    assert record is not None
    return dict(record.model_dump(mode="json"))


def alarms(count: int) -> list[dict[str, Any]]:
    """Return the alarms that the Prefect server has, once there are so many."""
    from prefect.client.orchestration import get_client

    wanted = {"filter": {"event": {"name": ["acrfleet.site.expiring"]}}}
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + 30
    with get_client(sync_client=True) as client:
        while len(found) < count and time.monotonic() < deadline:
            found = client.request("POST", "/events/filter", json=wanted).json()["events"]
            time.sleep(0.5)
    return found


@pytest.fixture
def lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_harness: Any
) -> Iterator[LabThread]:
    with running_lab(tmp_path / "lab", monkeypatch, sites=2, minute=0.2) as lab:
        path = lab.folder / "fleet.yaml"
        path.write_text(path.read_text().replace("fleet: lab", f"fleet: lab-{uuid4().hex[:8]}"))
        change_fleet(
            lab,
            pull_secrets={"expires_after": "90d"},
            rotation={"grace": "1s"},
            patience={"online": "30s", "accepted": "20s", "node_ready": "20s"},
        )
        assert not onboard(lab).having(Status.FAILED)
        yield lab


def test_a_password_that_ends_before_long_is_an_alarm_also_for_a_ship_at_sea(
    lab: LabThread,
) -> None:
    assert [one.status for one in check(lab).results] == [Status.DONE, Status.DONE]
    before, written = record_of(lab, "oslo"), writes(lab)
    assert before["sync_password"]["token"].endswith("-sync")
    lab.call(lab.world.set_offline, "oslo", True)
    lab.call(lab.world.clock.jump, timedelta(days=77))
    report = check(lab, "oslo")
    result = result_of(report, "oslo")
    assert (result.status, result.error) == (Status.FAILED, "PasswordEndsError")
    end = before["password"]["expires"]
    assert f"ends on {end[:10]}" in result.message
    assert "acrfleet rotate FILE --site oslo" in result.message
    assert record_of(lab, "oslo") == before, "a check leaves the record as the last run left it"
    assert writes(lab) == written
    (alarm,) = [one for one in alarms(1) if one["resource"]["prefect.resource.name"] == "oslo"]
    assert alarm["resource"]["prefect.resource.id"].startswith("acrfleet.site.")
    (told,) = alarm["payload"]["passwords"]
    assert (told["use"], told["slot"], told["days_left"]) == ("client", "password1", 12)
    # A rotation cannot help a ship at sea, and says so instead of only waiting.
    rotated = rotate(lab)
    assert result_of(rotated, "oslo").error == "PasswordEndsError", rotated
    assert "It cannot get another one now" in result_of(rotated, "oslo").message
    assert result_of(rotated, "rotterdam").status is Status.DONE, rotated
    assert result_of(check(lab), "rotterdam").status is Status.DONE


def test_a_site_that_is_away_with_a_password_that_lasts_is_only_waiting(lab: LabThread) -> None:
    lab.call(lab.world.set_offline, "oslo", True)
    assert result_of(rotate(lab), "oslo").status is Status.WAITING


def test_a_rotation_that_fails_at_one_site_names_it_and_the_others_go_on(lab: LabThread) -> None:
    from flows.rotate import rotate_tokens

    forget_mark(lab, "oslo")
    before = record_of(lab, "rotterdam")["password"]
    state = rotate_tokens(str(lab.folder / "fleet.yaml"), now=True, return_state=True)
    assert state.is_failed()
    assert "1 failed" in str(state.message)
    assert ": oslo\n  The pull secret in the namespace default" in str(state.message)
    assert "rotterdam" not in str(state.message)
    after = record_of(lab, "rotterdam")
    assert after["last_status"] == "done"
    assert after["password"]["slot"] != before["slot"]
    assert record_of(lab, "oslo")["last_status"] == "failed"
    assert _runs_of_sites(state.state_details.flow_run_id) == {
        "rotate oslo": "FAILED",
        "rotate rotterdam": "COMPLETED",
    }


def _runs_of_sites(flow_run: object) -> dict[str, str]:
    """Return the state of each site's own run, once the server has all of them."""
    from prefect.client.orchestration import get_client

    wanted = {"task_runs": {"flow_run_id": {"any_": [str(flow_run)]}}}
    found: dict[str, str] = {}
    deadline = time.monotonic() + 30
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            rows = client.request("POST", "/task_runs/filter", json=wanted).json()
            found = {
                row["name"]: row["state"]["type"]
                for row in rows
                if row["name"] in ("rotate oslo", "rotate rotterdam")
            }
            if len(found) == 2 and not {"RUNNING", "PENDING"} & set(found.values()):
                break
            time.sleep(0.5)
    return found


def test_the_command_ends_with_1_and_status_shows_the_days_of_both_passwords(
    lab: LabThread,
) -> None:
    from tests.cli.test_commands import run as command

    good = command(lab, "check-expiry", "--json")
    assert good.returncode == 0, good.stderr
    assert {one["status"] for one in json.loads(good.stdout)["results"]} == {"done"}
    shown = command(lab, "status").stdout
    assert "sync days left" in shown.splitlines()[0]
    row = next(line for line in shown.splitlines() if line.startswith("oslo"))
    assert "89" in row.split(), row
    assert row.rstrip().endswith("no expiry"), row
    lab.call(lab.world.clock.jump, timedelta(days=80))
    bad = command(lab, "check-expiry", "--site", "oslo")
    assert bad.returncode == 1
    assert "the client password (password1 of oslo" in bad.stdout
    assert "Traceback" not in bad.stdout + bad.stderr
