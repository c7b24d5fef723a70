"""`acrfleet rotate` under load: killed again and again, and two of them at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fleet.results import Status
from lab.thread import LabThread
from tests.flows.lab_runs import change_fleet, onboard, result_of, running_lab, writes
from tests.flows.processes import WarmCli, environment, kill_when, writes_reach
from tests.flows.pull_load import pulling

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("prefect_harness"),
]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabThread]:
    with running_lab(tmp_path / "lab", monkeypatch, sites=1) as lab:
        path = lab.folder / "fleet.yaml"
        content = yaml.safe_load(path.read_text())
        for registry in content["registries"].values():
            registry["max_concurrent_calls"] = 64  # a killed run's slots are taken for a minute
        path.write_text(yaml.safe_dump(content))
        change_fleet(lab, rotation={"grace": "1s"})
        assert result_of(onboard(lab), "oslo").status is Status.DONE
        yield lab


def test_killed_again_and_again_both_passwords_still_roll_and_no_pull_fails(
    lab: LabThread, warm_cli: WarmCli
) -> None:
    """Each run is killed two to four writes further on than the one before, and begins one."""
    runs = killed = 0
    with pulling(lab, "oslo") as load:
        while runs < 12:
            process = warm_cli.start(
                ["rotate", str(lab.folder / "fleet.yaml"), "--now"], environment(lab)
            )
            reach = writes_reach(lab, len(writes(lab)) + 2 + runs % 3 * 2 + runs // 3)
            code, output = kill_when(process, reach)
            assert code in (None, 0), output.decode()[-3000:]
            runs, killed = runs + 1, killed + (code is None)
        for _ in range(3):
            process = warm_cli.start(["rotate", str(lab.folder / "fleet.yaml")], environment(lab))
            output, _ = process.communicate()
            assert process.returncode == 0, output.decode()[-3000:]
    assert killed >= 8
    assert load.failures == []
    assert load.passwords == {"password1", "password2"}
    registry = next(iter(lab.world.azure.cloud.registries.values()))
    assert [len(token.slots) for token in registry.tokens.values()] == [1, 1]


def test_the_second_of_two_runs_stops_and_says_why(lab: LabThread, warm_cli: WarmCli) -> None:
    fault = lab.faults.add(part="azure", kind="hang", match="POST *generateCredentials")
    arguments = ["rotate", str(lab.folder / "fleet.yaml"), "--now"]
    first = warm_cli.start(arguments, environment(lab))
    assert (
        kill_when(first, lambda: bool(fault.hanging) and _second(lab, warm_cli, arguments))[0]
        is None
    )
    lab.call(lab.world.clear_faults)


def _second(lab: LabThread, cli: WarmCli, arguments: list[str]) -> bool:
    """Run another one to its end, and see it stop."""
    before = [line for line in writes(lab) if line.startswith("azure")]
    second = cli.start(arguments, environment(lab))
    output, _ = second.communicate()
    assert second.returncode == 1, output.decode()[-3000:]
    assert b"another run is at work on oslo" in output
    assert [line for line in writes(lab) if line.startswith("azure")] == before
    return True
