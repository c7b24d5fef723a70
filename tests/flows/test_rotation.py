"""Rolling passwords while somebody pulls without pause: no pull may fail."""

import time
from base64 import b64decode
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet.results import FleetReport, Status
from lab.thread import LabThread
from tests.flows.lab_runs import (
    change_fleet,
    onboard,
    read_secret,
    result_of,
    run,
    running_lab,
    writes,
)
from tests.flows.pull_load import pulling

pytestmark = [pytest.mark.flow, pytest.mark.lab]
PATIENCE = {"online": "30s", "accepted": "20s", "node_ready": "20s"}


def rotate(lab: LabThread, *sites: str, now: bool = True) -> FleetReport:
    """Run `rotate_tokens` on the lab's fleet file and return its report."""
    from functools import partial

    from flows.rotate import rotate_tokens

    return run(partial(rotate_tokens, now=now), lab, sites)


@pytest.fixture
def lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_harness: Any
) -> Iterator[LabThread]:
    with running_lab(tmp_path / "lab", monkeypatch, sites=1, minute=0.2) as lab:
        change_fleet(lab, rotation={"grace": "1s"}, patience=PATIENCE)
        assert result_of(onboard(lab), _site(lab)).status is Status.DONE
        yield lab


def _site(lab: LabThread) -> str:
    return str(lab.info["sites"][0]["name"])


def _held(lab: LabThread) -> bytes:
    return b64decode(read_secret(lab, _site(lab))[".dockerconfigjson"])


def test_a_rotation_under_load_fails_no_pull_and_ends_with_one_new_password(lab: LabThread) -> None:
    site, before = _site(lab), _held(lab)
    with pulling(lab, site) as load:
        first = result_of(rotate(lab, site), site)
        assert first.status is Status.DONE, first
        time.sleep(1.1)
        second = result_of(rotate(lab, site, now=False), site)
        assert second.status is Status.DONE, second
    assert load.failures == []
    assert load.passwords == {"password1", "password2"}
    assert _held(lab) != before
    assert "retired" in str([str(one) for one in (*first.outcomes, *second.outcomes)])
    written = len(writes(lab))
    third = result_of(rotate(lab, site, now=False), site)
    assert (third.status, third.changes) == (Status.DONE, 0)
    assert len(writes(lab)) == written, writes(lab)[written:]


@pytest.mark.slow
def test_a_password_that_the_cloud_does_not_take_yet_is_not_handed_out(lab: LabThread) -> None:
    site, before = _site(lab), _held(lab)
    change_fleet(lab, patience={**PATIENCE, "accepted": "1s"})
    slow = {"kind": "slow-propagation", "seconds": 600, "times": 1}
    lab.faults.add(part="azure", match="POST *generateCredentials*", **slow)
    result = result_of(rotate(lab, site), site)
    assert result.status is Status.WAITING, result
    assert _held(lab) == before, "pulls that go to the cloud would fail with the new one"
    lab.call(lab.world.clock.jump, timedelta(minutes=15))
    again = result_of(rotate(lab, site, now=False), site)
    assert again.status is Status.DONE, again
    assert _held(lab) != before
