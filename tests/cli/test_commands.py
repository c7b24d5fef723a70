"""What an operator types and what comes back: help, wrong input, exit codes, tables and JSON."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from lab.thread import LabThread
from tests.flows.lab_runs import change_fleet, host_file, module_lab, running_lab, writes
from tests.flows.processes import environment, start

EXAMPLE = Path(__file__).parents[2] / "deployments/fleet.example.yaml"


@pytest.mark.parametrize("command", sorted(set(main.commands) - {"lab"}))
def test_the_help_of_every_command_shows_an_example(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert f"acrfleet {command}" in result.output.split("Example:")[1]


def test_the_help_lists_the_exit_codes() -> None:
    assert "3 nothing failed but a site is still waiting" in CliRunner().invoke(main, []).output


@pytest.mark.parametrize("command", ["onboard", "verify", "status"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no such file"),
        ("fleet: [", "fleet.yaml:1"),
        ("version: 1\nfleet: x\nsights: []\n", "sights"),
    ],
)
def test_a_wrong_fleet_file_is_explained_without_a_traceback(
    command: str, text: str | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "fleet.yaml"
    if text is not None:
        path.write_text(text)
    result = CliRunner().invoke(main, [command, str(path)])
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def test_a_site_that_does_not_exist_is_wrong_input_with_a_suggestion() -> None:
    result = CliRunner().invoke(main, ["onboard", str(EXAMPLE), "--site", "osl"])
    assert result.exit_code == 2
    assert "did you mean oslo" in result.output


def test_a_tag_that_nobody_carries_is_wrong_input() -> None:
    result = CliRunner().invoke(main, ["onboard", str(EXAMPLE), "--tag", "no-such-tag"])
    assert result.exit_code == 2


def test_the_status_of_a_fleet_that_never_ran_says_so(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(EXAMPLE.read_text().replace("fleet: northsea", "fleet: never-ran"))
    result = CliRunner().invoke(main, ["status", str(path)])
    assert result.exit_code == 0
    assert "never run" in result.output
    assert "0 of 3 sites have a record" in result.output


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, prefect_harness: None) -> Iterator[LabThread]:
    assert prefect_harness is None
    with module_lab(tmp_path_factory, sites=2) as lab:
        path = lab.folder / "fleet.yaml"
        path.write_text(path.read_text().replace("fleet: lab", "fleet: lab-of-commands"))
        yield lab


def run(lab: LabThread, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command, *rest = arguments
    try:
        return subprocess.run(
            [sys.executable, "-m", "cli", command, str(lab.folder / "fleet.yaml"), *rest],
            env=environment(lab),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    except subprocess.TimeoutExpired as expired:
        pytest.fail(f"{command} did not end: {expired.stdout!r} {expired.stderr!r}")


@pytest.mark.slow
@pytest.mark.flow
@pytest.mark.lab
@pytest.mark.timeout(150)
def test_onboarding_one_site_ends_with_code_0_and_a_report_for_scripts(lab: LabThread) -> None:
    ended = run(lab, "onboard", "--site", "oslo", "--json")
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert [(r["site"], r["status"]) for r in report["results"]] == [("oslo", "done")]
    shown = run(lab, "status", "--json")
    assert json.loads(shown.stdout)["oslo"]["last_status"] == "done"
    assert json.loads(shown.stdout)["rotterdam"] is None


@pytest.mark.slow
@pytest.mark.flow
@pytest.mark.lab
@pytest.mark.timeout(150)
def test_a_failed_site_ends_with_code_1_and_stands_first(lab: LabThread) -> None:
    lab.call(lab.world.set_offline, "rotterdam", True)
    ended = run(lab, "onboard")
    lab.call(lab.world.set_offline, "rotterdam", False)
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    assert lines[0] == "1 site failed: HostsUnreachableError: rotterdam"
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "\x1b[" not in ended.stdout


@pytest.mark.slow
@pytest.mark.flow
@pytest.mark.lab
@pytest.mark.timeout(150)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_says_so_quickly_and_can_go_on(
    lab: LabThread, number: signal.Signals
) -> None:
    lab.faults.add(part="registry", kind="skip", match="*", site="rotterdam")
    process = start(["onboard", str(lab.folder / "fleet.yaml")], environment(lab))
    assert process.stdout is not None
    seen = b""
    while b"rotterdam: waiting" not in seen:
        line = process.stdout.readline()
        assert line, seen.decode()
        seen += line
    process.send_signal(number)
    rest, _ = process.communicate(timeout=40)
    lab.faults.clear()
    output = (seen + rest).decode()
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert "stopped" in output
    assert writes(lab)


@pytest.mark.slow
@pytest.mark.flow
@pytest.mark.lab
@pytest.mark.timeout(150)
@pytest.mark.usefixtures("prefect_harness")
def test_ctrl_c_while_k3s_restarts_does_not_leave_the_host_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_lab(tmp_path / "lab", monkeypatch, sites=1) as lab:
        path = host_file(lab, "oslo-server-1", "/etc/rancher/k3s/registries.yaml")
        lab.faults.add(part="hosts", kind="k3s-broken", match="k3s start*10.43.*")
        change_fleet(lab, patience={"node_ready": "15s"}, host={"restart": "always"})
        process = start(["onboard", str(lab.folder / "fleet.yaml")], environment(lab))
        assert process.stdout is not None
        assert any(b"restarting k3s" in line for line in iter(process.stdout.readline, b""))
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert b"stopping: steps in progress finish first" in output
        assert process.returncode in (1, 130), output.decode()
        assert not path.exists()
        assert lab.world.sites["oslo"].hosts["oslo-server-1"].service.state.active == "active"
