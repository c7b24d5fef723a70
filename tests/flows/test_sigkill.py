"""A run that is killed at any point and started again reaches the same state."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fleet.results import Status
from lab.thread import LabThread
from tests.flows.lab_runs import host_file, onboard, result_of, running_lab, writes
from tests.flows.processes import WarmCli, environment, kill_when, writes_reach

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
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
        yield lab


def kill_after(cli: WarmCli, lab: LabThread, count: int) -> bool:
    """Onboard until `count` writes were made, then kill; False when it got to the end before."""
    process = cli.start(["onboard", str(lab.folder / "fleet.yaml")], environment(lab))
    code, output = kill_when(process, writes_reach(lab, count))
    assert code in (None, 0), f"after {count - 1} writes: {output.decode()}"
    return code is None


def assert_onboarded_and_at_rest(lab: LabThread) -> None:
    assert result_of(onboard(lab), "oslo").status is Status.DONE
    before = writes(lab)
    again = onboard(lab)
    assert result_of(again, "oslo").changes == 0
    assert writes(lab) == before
    mirrors = yaml.safe_load(
        host_file(lab, "oslo-server-1", "/etc/rancher/k3s/registries.yaml").read_text()
    )
    assert len(mirrors["mirrors"]) == 2


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_run_that_is_killed_while_it_writes_is_taken_up_by_the_next(
    lab: LabThread, warm_cli: WarmCli
) -> None:
    assert kill_after(warm_cli, lab, 9)
    assert_onboarded_and_at_rest(lab)
    generated = [line for line in writes(lab) if "generateCredentials" in line]
    assert len(generated) <= 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_again_and_again_it_still_gets_there(lab: LabThread, warm_cli: WarmCli) -> None:
    """Each run is killed one, two or three writes further on than the one before.

    Not always one: a password is generated and then stored, two writes that belong together, and a
    run that is always killed between them can only generate it anew.
    """
    kills = 0
    while kill_after(warm_cli, lab, len(writes(lab)) + 1 + kills % 3):
        kills += 1
        assert kills < 40
    assert kills >= 8
    assert_onboarded_and_at_rest(lab)
