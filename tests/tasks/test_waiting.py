"""Waiting ends at its deadline, says what it waits for, and can be stopped, but not everywhere."""

import threading
from datetime import timedelta

import pytest

from tasks import waiting
from tasks.progress import Step, observing, working_on
from tasks.waiting import StoppedError, finishing, pause, stop_waiting, wait_for


@pytest.fixture(autouse=True)
def _a_run_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_STOP", threading.Event())


def test_what_is_missing_is_said_once_until_it_changes() -> None:
    answers = iter([(None, "the pod"), (None, "the pod"), (None, "Azure"), ("there", "")])
    heard: list[Step] = []
    with observing(heard.append), working_on("oslo"):
        assert wait_for(lambda: next(answers), patience=timedelta(seconds=5), every=0.01)[0]
    assert [step.text for step in heard] == ["waiting: the pod", "waiting: Azure"]


def test_patience_ends_with_the_last_phrase() -> None:
    value, phrase = wait_for(lambda: (None, "the pod"), patience=timedelta(), every=0.01)
    assert (value, phrase) == (None, "the pod")


def test_a_stopped_run_ends_its_waits_at_once() -> None:
    stop_waiting()
    with pytest.raises(StoppedError):
        wait_for(lambda: (None, "the pod"), patience=timedelta(hours=1))


def test_what_has_to_be_finished_is_finished_although_the_run_is_stopped() -> None:
    stop_waiting()
    with finishing():
        pause(0.01)
        with finishing():
            pause(0.01)
        pause(0.01)
    with pytest.raises(StoppedError):
        pause(0.01)
