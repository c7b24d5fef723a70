import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from fleet.host_errors import (
    DeadManFiredError,
    NodeLostError,
    RestartFailedError,
    RollbackFailedError,
)
from fleet.node_changes import plan_change
from fleet.outcomes import Action, SiteEndpoint
from tasks.hosts import configure_nodes
from tests.clients.node_bench import wait_until
from tests.tasks.hosts_bench import (
    AGENT_1,
    AGENT_2,
    ALONE,
    ENDPOINT,
    LOGIN_SERVER,
    PLAN,
    SERVER,
    THEIRS,
    Bench,
    opened,
)

pytestmark = [pytest.mark.lab, pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]

OURS = "*k3s start*10.43.0.9*"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with opened(tmp_path, "rotterdam", restart="always") as bench:
        yield bench


@pytest.fixture
def oslo(tmp_path: Path) -> Iterator[Bench]:
    with opened(tmp_path, restart="always") as bench:
        yield bench


def test_servers_come_first_and_every_node_is_proven_before_the_next(bench: Bench) -> None:
    bench.put(AGENT_1, THEIRS)
    outcomes = bench.configure()
    actions = [outcome.action for outcome in outcomes]
    assert actions == [Action.CREATED, Action.CHANGED, Action.CREATED]
    assert bench.restarts() == [SERVER, AGENT_1, AGENT_2]
    for node in (SERVER, AGENT_1, AGENT_2):
        assert bench.mirrors(node)[LOGIN_SERVER]["endpoint"] == [ENDPOINT.url]
        assert bench.mirrors(node)[ENDPOINT.host]["endpoint"] == [ENDPOINT.url]
    assert bench.path(AGENT_1).read_text().startswith(THEIRS)


@pytest.mark.slow
def test_a_killed_run_that_broke_the_service_is_undone_before_anything_else(oslo: Bench) -> None:
    oslo.put(ALONE, THEIRS)
    oslo.lab.faults.add(part="hosts", kind="k3s-broken", match=f"{ALONE}: {OURS}")
    oslo.abandon(ALONE)
    node = oslo.session.nodes[ALONE]
    assert wait_until(lambda: node.read_service("k3s").crashes > 0)
    facts = oslo.prepare()
    assert oslo.is_settled(ALONE)
    assert oslo.path(ALONE).read_text() == THEIRS
    assert node.read_service("k3s").is_running
    assert oslo.restarts() == [ALONE] * 2
    oslo.lab.faults.clear()
    assert [outcome.action for outcome in oslo.configure(facts)] == [Action.CHANGED]


def test_a_killed_run_that_did_all_but_the_proof_is_taken_over(oslo: Bench) -> None:
    oslo.put(ALONE, THEIRS)
    oslo.abandon(ALONE)
    assert not oslo.is_settled(ALONE)
    node = oslo.session.nodes[ALONE]
    assert wait_until(lambda: oslo.restarts() != [] and node.read_service("k3s").is_running)
    assert [outcome.action for outcome in oslo.configure(oslo.prepare())] == [Action.UNCHANGED]
    assert oslo.is_settled(ALONE)
    assert oslo.restarts() == [ALONE]
    assert ENDPOINT.url in oslo.path(ALONE).read_text()


@pytest.mark.slow
def test_a_killed_run_that_wanted_something_else_is_undone(oslo: Bench) -> None:
    oslo.put(ALONE, THEIRS)
    oslo.abandon(ALONE)
    other = SiteEndpoint(address="10.43.7.7", port=8080)
    outcomes = configure_nodes.fn(oslo.session, other, LOGIN_SERVER)
    assert [outcome.action for outcome in outcomes] == [Action.CHANGED]
    assert oslo.is_settled(ALONE)
    assert set(oslo.mirrors(ALONE)) == {"docker.io", LOGIN_SERVER, other.host}


def test_a_killed_run_that_the_facts_do_not_show_yet_is_settled_too(oslo: Bench) -> None:
    facts = oslo.check()
    oslo.abandon(ALONE)
    oslo.configure(facts)
    assert oslo.is_settled(ALONE)
    oslo.lab.call(oslo.lab.world.clock.jump, timedelta(hours=1))
    assert ENDPOINT.url in oslo.path(ALONE).read_text()


@pytest.mark.slow
def test_k3s_that_missed_a_restart_is_restarted_though_no_file_is_due(tmp_path: Path) -> None:
    with opened(tmp_path, restart="always") as oslo:
        oslo.configure()
        os.utime(oslo.path(ALONE), (time.time() + 60,) * 2)
        outcomes = oslo.configure()
        assert "was written after k3s started" in outcomes[0].detail
        assert oslo.restarts() == [ALONE] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("node", "before"),
    [
        (SERVER, THEIRS),
        pytest.param(SERVER, None, marks=pytest.mark.slow),
        pytest.param(AGENT_1, THEIRS, marks=pytest.mark.slow),
        (AGENT_1, None),
    ],
)
def test_k3s_that_dies_of_the_new_file_gets_the_old_one_back(
    bench: Bench, node: str, before: str | None
) -> None:
    if before:
        bench.put(node, before)
    bench.lab.faults.add(part="hosts", kind="k3s-broken", match=f"{node}: {OURS}")
    with pytest.raises(RestartFailedError) as failed:
        bench.configure()
    told = str(failed.value)
    assert "crashed" in told or "activating" in told
    assert "ordered by the lab" in told
    assert "Log after going back" in told
    assert bench.path(node).exists() == bool(before)
    if before:
        assert bench.path(node).read_text() == before
    assert (
        bench.session.nodes[node].read_service("k3s" if node == SERVER else "k3s-agent").is_running
    )


@pytest.mark.slow
def test_k3s_that_never_gets_ready_gets_the_old_file_back(tmp_path: Path) -> None:
    with opened(tmp_path, node_ready=4, restart="always") as bench:
        bench.put(ALONE, THEIRS)
        bench.lab.faults.add(part="hosts", kind="k3s-hang", match=f"{ALONE}: {OURS}")
        with pytest.raises(RestartFailedError, match="did not come back"):
            bench.configure()
        assert bench.path(ALONE).read_text() == THEIRS


def test_k3s_that_comes_back_with_neither_file_is_told_with_both_logs(oslo: Bench) -> None:
    oslo.put(ALONE, THEIRS)
    oslo.lab.faults.add(part="hosts", kind="k3s-broken", match=f"{ALONE}: *k3s start*")
    with pytest.raises(RollbackFailedError) as failed:
        oslo.configure()
    assert "Go to the host" in str(failed.value)
    assert str(failed.value).count("ordered by the lab") >= 2
    assert oslo.path(ALONE).read_text() == THEIRS
    assert oslo.restarts() == [ALONE, ALONE]


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["drop-mid", *(pytest.param(k, marks=pytest.mark.slow) for k in ("drop", "no-status"))]
)
def test_a_connection_lost_at_the_restart_does_not_matter(oslo: Bench, kind: str) -> None:
    fault = {"part": "hosts", "kind": kind, "match": "*exec *systemctl restart*", "times": 1}
    oslo.lab.faults.add(**fault, seconds=0.05)
    oslo.configure()
    assert oslo.restarts().count(ALONE) == 1


@pytest.mark.slow
def test_a_node_that_vanishes_in_its_restart_is_left_to_its_dead_man(tmp_path: Path) -> None:
    with opened(tmp_path, node_ready=3, restart="always") as oslo:
        host, stopped = oslo.hosts[ALONE], list[bool]()

        def vanish(running: bool) -> None:
            if stopped and running:
                host.set_offline(True)
            if not running:
                stopped.append(True)

        host.on_service(vanish)
        with pytest.raises(NodeLostError, match="was told to restart"):
            oslo.configure()
        stopped.clear()
        oslo.lab.call(host.set_offline, False)
        assert ENDPOINT.url in oslo.path(ALONE).read_text()
        oslo.lab.call(oslo.lab.world.clock.jump, timedelta(minutes=10))
        assert wait_until(lambda: oslo.is_settled(ALONE))
        assert not oslo.path(ALONE).exists()


@pytest.mark.slow
@pytest.mark.parametrize("systemd_run", [True, False])
def test_a_proof_that_comes_too_late_finds_the_old_files_and_starts_anew(
    tmp_path: Path, systemd_run: bool
) -> None:
    with opened(tmp_path, restart="always") as oslo:
        oslo.put(ALONE, THEIRS)
        host = oslo.hosts[ALONE]
        oslo.lab.call(setattr, host, "systemd_run", systemd_run)
        client = oslo.session.nodes[ALONE]
        facts = oslo.check()
        described = oslo.session.site.nodes[0]
        change = plan_change(oslo.session.site.host, described, facts[0], PLAN)
        applied = client.apply(change.due, unit="k3s", restart=True, deadman_seconds=1)
        assert wait_until(lambda: oslo.is_settled(ALONE))
        with pytest.raises(DeadManFiredError, match="went back"):
            client.confirm(applied)
        assert oslo.path(ALONE).read_text() == THEIRS
        assert [outcome.action for outcome in oslo.configure(facts)] == [Action.CHANGED]
