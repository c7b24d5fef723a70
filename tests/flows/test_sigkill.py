"""A run that is killed at any point and started again reaches the same state."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fleet.results import Status
from lab.thread import LabThread
from tests.flows.lab_runs import host_file, onboard, result_of, running_lab, writes
from tests.flows.processes import environment, kill_when, start, writes_reach

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.usefixtures("prefect_harness"),
]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabThread]:
    with running_lab(tmp_path / "lab", monkeypatch, sites=1) as lab:
        yield lab


def kill_after(lab: LabThread, count: int) -> bool:
    """Onboard until `count` writes were made, then kill; False when it got to the end before."""
    process = start(["onboard", str(lab.folder / "fleet.yaml")], environment(lab))
    code = kill_when(process, writes_reach(lab, count))
    assert code in (None, 0)
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


@pytest.mark.timeout(150)
def test_a_run_that_is_killed_while_it_writes_is_taken_up_by_the_next(lab: LabThread) -> None:
    assert kill_after(lab, 9)
    assert_onboarded_and_at_rest(lab)
    generated = [line for line in writes(lab) if "generateCredentials" in line]
    assert len(generated) <= 3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_after_every_single_write_it_still_gets_there(lab: LabThread) -> None:
    count = 1
    while kill_after(lab, count):
        count = len(writes(lab)) + 1
        assert count < 60
    assert count > 12
    assert_onboarded_and_at_rest(lab)
