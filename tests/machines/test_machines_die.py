"""A fleet of 100 sites on two workers and two API servers, some of which die on the way."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleet.records import SiteRecord, record_key
from fleet.results import FleetReport, SiteResult, Status
from tests.machines.fleet_on_machines import FleetOnMachines, fleet_on_machines, wait_until
from tests.machines.processes import Program

SITES = 100
SHARDS = {"size": 20, "at_once": 4, "lost_after": "20s"}
_PATIENCE = 600.0
_LEFT_BY_A_KILLED_RUN = 2


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[FleetOnMachines]:
    with fleet_on_machines(tmp_path, SITES, SHARDS) as found:
        yield found


def begun(machines: FleetOnMachines) -> int:
    """At how many sites the registry runs and has synchronised, as the lab sees it."""
    return sum(site["registry"]["last_sync"] is not None for site in machines.lab().values())


def report_of(command: Program) -> FleetReport:
    """What a command with --json has printed, below what it said on the way."""
    words = "\n" + command.log.read_text()
    printed = json.loads(words[words.index("\n{\n") :])
    results = [SiteResult.model_validate(one) for one in printed["results"]]
    return FleetReport.of(printed["verb"], printed["fleet"], results)


@pytest.mark.timeout(1200)
def test_a_worker_an_api_server_and_the_run_itself_are_killed_and_every_site_is_onboarded_once(
    machines: FleetOnMachines,
) -> None:
    stack, fleet_file = machines.stack, str(machines.fleet_file)
    machines.worker("laptop", limit=2)
    victim = machines.worker("vm", limit=2)
    first = machines.acrfleet("onboard-1", "onboard", fleet_file, "--json")
    wait_until("10 sites", _PATIENCE, lambda: begun(machines) >= 10)
    first.kill()
    second = machines.acrfleet("onboard-2", "onboard", fleet_file, "--json")
    wait_until("25 sites", _PATIENCE, lambda: begun(machines) >= 25)
    assert begun(machines) < SITES
    assert len(victim.kill()) > 1, "the worker had no run when it was killed"
    stack.programs["api-1"].kill()
    assert second.process.wait(_PATIENCE) == 0, second.last_words

    report = report_of(second)
    assert len(report.results) == SITES
    assert len(report.having(Status.DONE)) == SITES
    assert_every_site_serves_and_nobody_met_anybody_there(machines)
    assert_every_object_was_made_once(machines)
    assert_every_record_is_kept(machines, report)
    assert_the_ui_is_served(machines)
    assert_the_ui_finds_every_site(machines)
    assert_the_shards_tell_what_happened(machines)
    assert_workers_plan_and_do_exactly_that(machines)


def assert_workers_plan_and_do_exactly_that(machines: FleetOnMachines) -> None:
    """What one machine has planned with its workers is applied by them, without its file."""
    changed, fleet_file = sorted(machines.lab())[:24], str(machines.fleet_file)
    machines.change_fleet(changed, connected_registry={"log_level": "Debug"})
    plan = machines.folder / "monday.plan"
    options = [f"--site={name}" for name in changed]
    made = machines.acrfleet("plan", "plan", fleet_file, *options, "--out", str(plan))
    assert made.process.wait(_PATIENCE) == 2, made.last_words
    done = machines.acrfleet("apply", "apply", fleet_file, "--plan", str(plan), "--yes", "--json")
    assert done.process.wait(_PATIENCE) == 0, done.last_words
    report = report_of(done)
    assert {one.site: (str(one.status), one.changes) for one in report.results} == dict.fromkeys(
        changed, ("done", 1)
    )
    for verb in ("plan", "apply"):
        shards = machines.ask("flow_runs", {"flow_runs": {"tags": {"all_": [f"verb:{verb}"]}}})
        sites = [name for one in shards if "shard" in one["tags"] for name in _sites_of(one)]
        assert sorted(sites) == changed, verb


def _sites_of(shard: dict[str, Any]) -> list[str]:
    return list(shard["parameters"]["sites"])


def assert_every_site_serves_and_nobody_met_anybody_there(machines: FleetOnMachines) -> None:
    """Each run has one SSH connection to a node, so two at once would be two runs at once."""
    sites = machines.lab()
    assert len(sites) == SITES
    for name, site in sites.items():
        assert site["registry"]["serving"], name
        assert len(site["registry"]["tokens"]) > 0, name
        for node, seen in site["nodes"].items():
            assert seen["most_clients"] == 1, (node, seen)


def assert_every_object_was_made_once(machines: FleetOnMachines) -> None:
    """Two runs of a site would both have made what they did not find."""
    audit = machines.folder / "lab/audit.jsonl"
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    made = Counter(line["target"] for line in lines if line["action"] == "PUT")
    assert len(made) >= SITES * 5
    assert {target for target, times in made.items() if times > 1} == set()
    passwords = Counter(
        line["target"] + str(line.get("token"))
        for line in lines
        if "generateCredentials" in line["target"]
    )
    assert passwords
    # A run that dies between making a password and keeping it leaves one that nobody knows.
    assert max(passwords.values()) <= _LEFT_BY_A_KILLED_RUN * 2, passwords.most_common(3)


def assert_every_record_is_kept(machines: FleetOnMachines, report: FleetReport) -> None:
    for result in report.results:
        path = machines.stack.folder / "results" / record_key(report.fleet, result.site)
        record = SiteRecord.model_validate(json.loads(json.loads(path.read_text())["result"]))
        assert record.last_status is Status.DONE
        assert record.evidence is not None


def assert_the_ui_is_served(machines: FleetOnMachines) -> None:
    """From where the settings say: a server that may not write beside Prefect has no UI else."""
    page = httpx.get(machines.stack.url.removesuffix("api"), timeout=30, follow_redirects=True)
    assert "<html" in page.raise_for_status().text.lower()
    assert list((machines.stack.folder / "ui").rglob("index.html"))


def assert_the_ui_finds_every_site(machines: FleetOnMachines) -> None:
    """By the name of its task run and by its tag; the recorder may be a little behind."""
    query = {"task_runs": {"tags": {"all_": ["verb:onboard"]}}}

    def completed() -> set[str]:
        runs = machines.ask("task_runs", query)
        return {run["name"] for run in runs if run["state_type"] == "COMPLETED"}

    wanted = {f"onboard {name}" for name in machines.lab()}
    wait_until("task runs", _PATIENCE, lambda: wanted <= completed())


def assert_the_shards_tell_what_happened(machines: FleetOnMachines) -> None:
    runs: list[dict[str, Any]] = machines.ask(
        "flow_runs", {"flow_runs": {"tags": {"all_": ["shard"]}}}
    )
    states = Counter(run["state_type"] for run in runs)
    assert states.keys() <= {"COMPLETED", "CRASHED"}, states
    assert states["CRASHED"] >= 1
    assert all(run["parent_task_run_id"] for run in runs)
    assert any(run["name"].endswith(", again") for run in runs)
    assert all(run["name"].startswith("onboard ") for run in runs)
    for name in machines.lab():
        mine = sorted(
            (run["start_time"], run["end_time"])
            for run in runs
            if name in run["parameters"]["sites"] and run["start_time"]
        )
        # A run that was started again would otherwise have gone beside the one it had started.
        assert all(one[1] <= later[0] for one, later in pairwise(mine)), (name, mine)
    tagged = {tag for run in runs for tag in run["tags"] if tag.startswith("site:")}
    assert tagged == {f"site:{name}" for name in machines.lab()}
