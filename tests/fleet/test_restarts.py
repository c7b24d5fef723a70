from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.restarts import (
    Health,
    Look,
    ServiceState,
    judge,
    missed_restart,
    parse_service,
    restart_order,
)
from fleet.sites import Node
from tests.builders import a_site

START = datetime(2025, 11, 24, 10, tzinfo=UTC)


def a_service(**changes: Any) -> ServiceState:
    return ServiceState(
        **{
            "unit": "k3s",
            "load": "loaded",
            "active": "active",
            "sub": "running",
            "active_since": START,
            "entered": 2000,
            **changes,
        }
    )


def a_look(**changes: Any) -> Look:
    return Look(
        **{
            "service": a_service(),
            "ready": True,
            "heartbeat": START + timedelta(seconds=9),
            "api_ready": True,
            **changes,
        }
    )


BEFORE = a_service(entered=1000)


def test_servers_are_restarted_one_by_one_before_the_agents() -> None:
    roles = {"a": "agent", "b": "server", "c": "agent", "d": "server"}
    nodes = tuple(
        Node.model_validate({"name": n, "address": n, "role": r}) for n, r in roles.items()
    )
    ordered = restart_order(a_site(nodes=nodes))
    assert [node.name for node in ordered] == ["b", "d", "a", "c"]


def test_a_node_is_healthy_when_two_looks_agree() -> None:
    assert judge(BEFORE, [a_look(), a_look()], "server").health is Health.HEALTHY


@pytest.mark.parametrize(
    ("looks", "reason"),
    [
        ([a_look()], "only just started"),
        ([a_look(service=a_service(entered=1500)), a_look()], "only just started"),
        ([a_look(), a_look(service=a_service(crashes=1))], "only just started"),
        ([a_look(service=BEFORE)] * 2, "has not been restarted yet"),
        ([a_look(service=a_service(active="activating", sub="start"))] * 2, "activating (start)"),
        ([a_look(api_ready=False)] * 2, "API is not ready"),
        ([a_look(ready=False)] * 2, "not Ready"),
        ([a_look(ready=None, trouble="connection refused")] * 2, "connection refused"),
        ([a_look(heartbeat=START)] * 2, "has not renewed its Lease"),
        ([a_look(heartbeat=START - timedelta(minutes=1))] * 2, "has not renewed its Lease"),
        ([a_look(heartbeat=None)] * 2, "has not renewed its Lease"),
    ],
)
def test_what_is_missing_is_waited_for(looks: list[Look], reason: str) -> None:
    verdict = judge(BEFORE, looks, "server")
    assert verdict.health is Health.WAITING
    assert reason in verdict.reason


def test_an_agent_needs_no_api_of_its_own() -> None:
    assert judge(BEFORE, [a_look(api_ready=None)] * 2, "agent").health is Health.HEALTHY


@pytest.mark.parametrize(
    ("looks", "reason"),
    [
        ([a_look(service=a_service(active="failed", sub="failed"))], "gave up"),
        ([a_look(service=a_service(load="not-found"))], "is gone"),
        ([a_look(service=a_service(crashes=n)) for n in (0, 1, 2)], "crashed 2 times"),
        ([a_look(service=a_service(crashes=n)) for n in (7, 9)], "crashed 2 times"),
    ],
)
def test_a_crash_loop_is_found_before_patience_ends(looks: list[Look], reason: str) -> None:
    verdict = judge(BEFORE, looks, "agent")
    assert verdict.health is Health.BROKEN
    assert reason in verdict.reason


def test_crashes_from_before_the_restart_do_not_count() -> None:
    looks = [a_look(service=a_service(crashes=40))] * 2
    assert judge(a_service(entered=1000, crashes=40), looks, "agent").health is Health.HEALTHY


def test_what_systemctl_prints_is_read() -> None:
    service = parse_service(
        "k3s",
        {
            "LoadState": "loaded",
            "ActiveState": "active",
            "SubState": "running",
            "NRestarts": "3",
            "ExecMainStartTimestamp": "Mon 2025-11-24 09:59:48 UTC",
            "ActiveEnterTimestamp": "Mon 2025-11-24 10:00:00 UTC",
            "ActiveEnterTimestampMonotonic": "2000",
        },
    )
    assert service.crashes == 3
    assert service.active_since == START
    assert service.started == START - timedelta(seconds=12)
    assert str(service) == "k3s is active (running), restarted by systemd 3 times"


def test_a_host_without_the_unit_is_read_as_such() -> None:
    assert not parse_service("k3s", {}).exists
    assert parse_service("k3s", {"ActiveEnterTimestamp": "n/a", "NRestarts": ""}).crashes == 0


@pytest.mark.parametrize(
    ("started", "written", "missed"),
    [(0, 1, True), (1, 0, False), (0, 0, False), (None, 0, False), (0, None, False)],
)
def test_a_file_written_after_the_start_was_never_read(
    started: int | None, written: int | None, missed: bool
) -> None:
    def moment(seconds: int | None) -> datetime | None:
        return None if seconds is None else START + timedelta(seconds=seconds)

    service = a_service(started=moment(started), active_since=None)
    assert missed_restart(service, moment(written)) is missed


def test_the_start_of_the_process_counts_not_when_it_was_ready() -> None:
    service = a_service(started=START, active_since=START + timedelta(seconds=40))
    assert missed_restart(service, START + timedelta(seconds=20))
