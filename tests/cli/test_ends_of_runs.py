"""How a run ends for who started it: failures first, then the table, and an exit code."""

import json
from typing import Any

import pytest

from cli.exit_codes import ExitCode
from cli.live import print_report
from cli.runs import _say_error, exit_code, print_or_dump
from fleet.dispatch_errors import ShardDeploymentMissingError
from fleet.failures import result_of_error
from fleet.host_errors import SiteUnreachableError
from fleet.results import FleetReport, SiteResult, Status
from tests.builders import a_result, a_site


def a_report(*results: SiteResult) -> FleetReport:
    return FleetReport.of("onboard", "northsea", results)


def unreachable(name: str) -> SiteResult:
    return result_of_error("onboard", a_site(name), SiteUnreachableError(f"{name}-1 is away"))


def test_failures_come_before_the_table_by_their_cause(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"site{number:02}" for number in range(14)]
    print_report(a_report(a_result("oslo"), *map(unreachable, names)))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:5] == [
        "14 sites failed: SiteUnreachableError: site00, site01, site02, site03, site04 and 9 more",
        "  <node> is away",
        "  What to do: Wait, or look at the site's network: the host did not answer SSH in time.",
        "",
        lines[4],
    ]
    assert lines[4].split() == ["site", "status", "changes", "seconds"]
    assert lines[5].split()[:2] == ["site00", "failed"]
    assert lines[-2].split()[:2] == ["oslo", "done"]
    assert lines[-1] == "onboard northsea: 1 done, 14 failed"


def test_a_report_without_failures_is_the_table_alone(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(a_report(a_result("oslo")))
    assert capsys.readouterr().out.split()[0] == "site"


def test_scripts_get_the_groups_beside_the_results(capsys: pytest.CaptureFixture[str]) -> None:
    print_or_dump(a_report(a_result("oslo"), unreachable("a"), unreachable("b")), as_json=True)
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [one["site"] for one in told["results"]] == ["a", "b", "oslo"]
    assert told["failures"] == [
        {
            "status": "failed",
            "error": "SiteUnreachableError",
            "cause": "<node> is away",
            "todo": "Wait, or look at the site's network: the host did not answer SSH in time.",
            "sites": ["a", "b"],
        }
    ]


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([Status.DONE, Status.SKIPPED], ExitCode.OK),
        ([Status.DONE, Status.WAITING], ExitCode.WAITING),
        ([Status.WAITING, Status.FAILED], ExitCode.FAILED),
        ([Status.WAITING, Status.NOT_STARTED], ExitCode.FAILED),
        ([Status.FAILED, Status.STOPPED], ExitCode.STOPPED),
        ([], ExitCode.OK),
    ],
)
def test_the_worst_site_makes_the_exit_code(statuses: list[Status], code: ExitCode) -> None:
    report = a_report(*(a_result(f"s{at}", status) for at, status in enumerate(statuses)))
    assert exit_code(report) is code


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([Status.STOPPED, Status.NOT_STARTED], ExitCode.WRONG_INPUT),
        ([Status.DONE, Status.STOPPED], ExitCode.FAILED),
    ],
)
def test_what_ended_a_run_as_a_whole_is_said_and_is_no_ctrl_c(
    statuses: list[Status], code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    report = a_report(*(a_result(f"s{at}", status) for at, status in enumerate(statuses)))
    with pytest.raises(SystemExit) as ended:
        _say_error(ShardDeploymentMissingError("run `acrfleet deploy`"), report, as_json=False)
    assert ended.value.code == code
    told = capsys.readouterr()
    assert told.err == "run `acrfleet deploy`\n"
    assert ("s0" in told.out) == (code is ExitCode.FAILED)


def test_a_run_whose_sites_failed_tells_no_more_than_its_report() -> None:
    _say_error(RuntimeError("1 site failed"), a_report(a_result("oslo")), as_json=False)
