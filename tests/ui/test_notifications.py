"""The automations in deployments/automations tell people what they say they tell."""

from typing import Any

import httpx
import pytest

from lab.thread import LabThread
from tests.ui.messages import Listener

pytestmark = [pytest.mark.ui, pytest.mark.timeout(400)]


def events_of(server: str) -> list[dict[str, Any]]:
    wanted = {"filter": {"event": {"prefix": ["acrfleet.site."]}}}
    return list(httpx.post(f"{server}/api/events/filter", json=wanted).json()["events"])


def test_a_site_that_fails_is_told_with_its_error_and_its_run(
    server: str, runs: LabThread, listener: Listener
) -> None:
    assert runs.info["sites"]
    told = listener.hears("lab: onboard singapore failed")
    assert "nothing/*" in told["body"]
    assert f"{server}/runs/flow-run/" in told["body"]


def test_a_site_that_waits_too_long_is_told_and_the_others_are_not(
    server: str, runs: LabThread, listener: Listener
) -> None:
    assert runs.info["sites"]
    told = listener.hears("lab: rotterdam waits too long")
    assert "no run has come through to it since" in told["body"]
    subjects = [message["subject"] for message in listener.messages]
    assert not [one for one in subjects if "oslo" in one], subjects
    assert len(subjects) == len(set(subjects)), "each is told once"
    assert {one["event"] for one in events_of(server)} == {
        "acrfleet.site.onboarded",
        "acrfleet.site.waiting",
        "acrfleet.site.failed",
    }
