"""`acrfleet plan` and `acrfleet apply`: exit codes, JSON, and that nobody is overrun."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.exit_codes import ExitCode
from cli.main import main
from cli.plan import code_of
from cli.reconcile import code_with_drift
from fleet.fleet_plan import fleet_plan
from fleet.outcomes import Action, Outcome
from fleet.results import FleetReport, Status
from fleet.site_plan import Part, PlannedChange, SitePlan
from lab.thread import LabThread
from tests.builders import NOW, a_result
from tests.flows.lab_runs import module_lab, writes
from tests.flows.plans import Drifts
from tests.flows.processes import environment

LEFT = Outcome(kind="token", name="oslo", action=Action.TO_CHANGE)
DUE = SitePlan(
    site="oslo",
    changes=(PlannedChange(part=Part.SYNC, kind="x", name="x", action=Action.CHANGED),),
)
EXAMPLE = str(Path(__file__).parents[2] / "deployments/fleet.example.yaml")


@pytest.mark.parametrize(
    "arguments",
    [["plan", "no-such-file.yaml"], ["plan", EXAMPLE, "nowhere"], ["plan", EXAMPLE, "--sight"]],
)
def test_a_mistyped_plan_ends_with_1_because_2_means_changes(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output


def test_a_plan_file_says_which_sites_so_none_may_be_named_beside_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["apply", EXAMPLE, "oslo", "--plan", str(tmp_path / "x")])
    assert result.exit_code == 2
    assert "--plan says which sites" in result.output


def test_a_file_that_is_no_plan_is_wrong_input_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "x.plan"
    path.write_text("{}")
    result = CliRunner().invoke(main, ["apply", EXAMPLE, "--plan", str(path), "--yes"])
    assert result.exit_code == 2
    assert "make a new plan with `acrfleet plan FLEET_FILE --out PLAN_FILE`" in result.output


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([], ExitCode.OK),
        ([{"plan": SitePlan(site="oslo")}], ExitCode.OK),
        ([{"plan": DUE}], ExitCode.DUE),
        ([{"plan": DUE}, {"status": Status.WAITING}], ExitCode.WAITING),
        ([{"status": Status.WAITING}, {"status": Status.FAILED}], ExitCode.FAILED),
        ([{"plan": SitePlan(site="oslo", obstacles=("a file",))}], ExitCode.FAILED),
    ],
)
def test_the_exit_code_is_that_of_the_worst_site(
    results: list[dict[str, Any]], code: ExitCode
) -> None:
    report = FleetReport.of("plan", "northsea", [a_result("oslo", **one) for one in results])
    assert code_of(fleet_plan(report, "sha256:1", NOW)) is code


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([{}], ExitCode.OK),
        ([{"outcomes": (LEFT,)}], ExitCode.DUE),
        ([{"outcomes": (LEFT,)}, {"status": Status.WAITING}], ExitCode.WAITING),
        ([{"outcomes": (LEFT,)}, {"status": Status.FAILED}], ExitCode.FAILED),
    ],
)
def test_drift_that_is_left_is_told_by_the_exit_code_where_nothing_is_worse(
    results: list[dict[str, Any]], code: ExitCode
) -> None:
    report = FleetReport.of("reconcile", "northsea", [a_result("oslo", **one) for one in results])
    assert code_with_drift(report) is code


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, prefect_harness: None) -> Iterator[LabThread]:
    assert prefect_harness is None
    with module_lab(tmp_path_factory, sites=1) as lab:
        path = lab.folder / "fleet.yaml"
        path.write_text(path.read_text().replace("fleet: lab", "fleet: lab-of-plans"))
        yield lab


def run(lab: LabThread, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        env=environment(lab, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.flow
@pytest.mark.lab
@pytest.mark.timeout(300)
def test_a_plan_is_kept_shown_agreed_to_and_applied(lab: LabThread, tmp_path: Path) -> None:
    fleet, kept = str(lab.folder / "fleet.yaml"), str(lab.folder / "monday.plan")
    made = run(lab, "plan", fleet, "--out", kept, "--json")
    assert made.returncode == 2, made.stderr
    plan = json.loads(made.stdout)
    assert set(plan) == {"fleet", "fleet_digest", "made_at", "sites", "unread"}
    (site,) = plan["sites"]
    assert set(site) == {"site", "changes", "obstacles", "notes"}

    nobody = run(lab, "apply", fleet, "--plan", kept)
    assert nobody.returncode == 2, nobody.stderr
    assert "oslo: 16 changes" in nobody.stdout
    assert "      +repositories/vessel/crew-portal/content/read" in nobody.stdout
    assert "nothing was changed: run it with --yes" in nobody.stderr
    assert writes(lab) == []

    done = run(lab, "apply", fleet, "--plan", kept, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["status"] == "done"

    Drifts(lab, "oslo").forget_account()
    at_once = run(lab, "apply", fleet, "oslo", "--yes", TMPDIR=str(tmp_path))
    assert at_once.returncode == 0, at_once.stderr
    assert "~ service account default/default changed: acrfleet-pull" in at_once.stdout
    assert list(tmp_path.glob("acrfleet-*")) == [], "the plan of this one run is not left behind"
