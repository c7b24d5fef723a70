import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.host_errors import (
    HostFileInvalidError,
    HostsNotReadyError,
    HostsUnreachableError,
    RestartForbiddenError,
)
from fleet.outcomes import Action, SiteEndpoint
from tasks.hosts import configure_nodes
from tests.tasks.hosts_bench import (
    AGENT_1,
    AGENT_2,
    ALONE,
    ENDPOINT,
    FILE,
    LOGIN_SERVER,
    SERVER,
    THEIRS,
    Bench,
    opened,
)

pytestmark = pytest.mark.lab


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with opened(tmp_path, "rotterdam") as bench:
        yield bench


@pytest.fixture
def oslo(tmp_path: Path) -> Iterator[Bench]:
    with opened(tmp_path) as bench:
        yield bench


def test_all_nodes_are_looked_at_and_nothing_is_changed(bench: Bench) -> None:
    facts = bench.check()
    assert [one.node for one in facts] == [SERVER, AGENT_1, AGENT_2]
    assert bench.changes() == []


def test_every_node_gets_its_files_and_nothing_restarts(bench: Bench) -> None:
    bench.put(AGENT_1, THEIRS)
    outcomes = bench.configure(bench.check())
    actions = [outcome.action for outcome in outcomes]
    assert actions == [Action.CREATED, Action.CHANGED, Action.CREATED]
    assert all(outcome.detail.startswith("no restart: containerd reads") for outcome in outcomes)
    assert bench.restarts() == []
    for node in (SERVER, AGENT_1, AGENT_2):
        assert bench.mirrors(node)[LOGIN_SERVER]["endpoint"] == [ENDPOINT.url]
        for host in (LOGIN_SERVER, ENDPOINT.host):
            assert ENDPOINT.url in (bench.hosts_toml(node, host) or "")
        assert bench.is_settled(node)
    assert bench.path(AGENT_1).read_text().startswith(THEIRS)


@pytest.mark.slow
def test_after_a_restart_the_rendered_files_mean_the_same_and_stay(oslo: Bench) -> None:
    oslo.configure()
    node = oslo.session.nodes[ALONE]
    node.restart("k3s", node.read_service("k3s").entered)
    before = oslo.changes()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not node.read_service("k3s").is_running:
        time.sleep(0.1)
    assert ENDPOINT.url in (oslo.hosts_toml(ALONE, LOGIN_SERVER) or "")
    assert [outcome.action for outcome in oslo.configure()] == [Action.UNCHANGED]
    assert [change for change in oslo.changes() if change not in before] == []


def test_facts_of_the_check_are_enough_for_a_run_that_changes_nothing(oslo: Bench) -> None:
    oslo.configure()
    facts = oslo.check()
    commands = len(oslo.hosts[ALONE].commands)
    assert [outcome.action for outcome in oslo.configure(facts)] == [Action.UNCHANGED]
    assert len(oslo.hosts[ALONE].commands) == commands


@pytest.mark.slow
def test_a_file_edited_between_check_and_write_is_read_again(oslo: Bench) -> None:
    facts = oslo.check()
    oslo.put(ALONE, THEIRS)
    assert [outcome.action for outcome in oslo.configure(facts)] == [Action.CHANGED]
    assert oslo.path(ALONE).read_text().startswith(THEIRS)
    assert oslo.mirrors(ALONE)[LOGIN_SERVER]["endpoint"] == [ENDPOINT.url]


def test_a_restart_that_the_fleet_file_forbids_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, restart="never") as oslo:
        config = oslo.path(ALONE).with_name("config.yaml")
        config.write_text("embedded-registry: true\n")
        with pytest.raises(RestartForbiddenError, match=f"{ALONE}: k3s must be restarted"):
            oslo.configure()
        assert oslo.changes() == []


@pytest.mark.slow
def test_a_second_run_writes_nothing_and_restarts_nothing(bench: Bench) -> None:
    bench.configure()
    before = bench.changes()
    assert [outcome.action for outcome in bench.configure()] == [Action.UNCHANGED] * 3
    bench.check()
    assert bench.changes() == before


@pytest.mark.slow
def test_an_address_that_changed_is_replaced(oslo: Bench) -> None:
    oslo.configure()
    other = SiteEndpoint(address="10.43.7.7", port=8080)
    configure_nodes.fn(oslo.session, other, LOGIN_SERVER)
    assert set(oslo.mirrors(ALONE)) == {LOGIN_SERVER, other.host}
    assert ENDPOINT.address not in oslo.path(ALONE).read_text()


def test_every_problem_of_every_node_is_told_at_once(bench: Bench) -> None:
    bench.put(SERVER, "mirrros: {}\nmirrors:\n  x: {endpoints: []}\n")
    bench.put(AGENT_1, "mirrors: [\n")
    bench.lab.call(setattr, bench.hosts[AGENT_2], "sudo", "password")
    with pytest.raises(HostsNotReadyError) as refused:
        bench.check()
    told = str(refused.value)
    assert f"{SERVER}: {FILE}:1: the file has the key mirrros" in told
    assert f"{SERVER}: {FILE}:3: mirrors.x has the key endpoints" in told
    assert f"{AGENT_1}: {FILE}:2: this is not YAML" in told
    assert "ALL=(root) NOPASSWD: /bin/sh" in told
    assert bench.changes() == []


def test_a_broken_file_stops_the_step_before_any_node_is_written(bench: Bench) -> None:
    bench.put(AGENT_2, "mirrors:\n  docker.io: x: y\n")
    with pytest.raises(HostFileInvalidError, match=f"{AGENT_2}: {FILE}:2"):
        bench.configure()
    assert bench.changes() == []


def test_a_node_with_another_role_is_told(bench: Bench) -> None:
    swapped = tuple(
        node.model_copy(update={"role": "agent" if node.role == "server" else "server"})
        for node in bench.session.site.nodes
    )
    bench.session.site = bench.session.site.model_copy(update={"nodes": swapped})
    with pytest.raises(HostsNotReadyError, match="correct the role"):
        bench.check()


def test_a_changed_host_key_is_told_with_both_fingerprints(bench: Bench) -> None:
    bench.lab.call(bench.hosts[AGENT_1].renew_host_key)
    with pytest.raises(HostsNotReadyError, match=r"another host key[\s\S]*Expected: .*Got: "):
        bench.check()


def test_a_node_that_is_off_is_a_passing_trouble(bench: Bench) -> None:
    bench.lab.call(bench.hosts[AGENT_1].set_offline, True)
    with pytest.raises(HostsUnreachableError, match=AGENT_1):
        bench.check()
