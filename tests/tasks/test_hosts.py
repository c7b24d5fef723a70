import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from fleet.errors import (
    HostFileInvalidError,
    HostsNotReadyError,
    HostsUnreachableError,
    RestartFailedError,
    RollbackFailedError,
    SiteUnreachableError,
)
from fleet.outcomes import Action, Outcome, SiteEndpoint
from fleet.registries_yaml import RegistriesPlan, merge
from fleet.sites import Node, Patience, Ssh
from lab.thread import LabThread
from tasks.hosts import check_nodes, configure_nodes
from tasks.sessions import RegistrySession, SiteSession, open_site
from tests.builders import a_site

pytestmark = pytest.mark.lab

FILE = "/etc/rancher/k3s/registries.yaml"
ENDPOINT = SiteEndpoint(address="10.43.0.9", port=80)
LOGIN_SERVER = "myacr.azurecr.io"
PLAN = RegistriesPlan(login_server=LOGIN_SERVER, endpoint=ENDPOINT)
ALONE = "oslo-server-1"
SERVER, AGENT_1, AGENT_2 = "rotterdam-server-1", "rotterdam-agent-1", "rotterdam-agent-2"
THEIRS = "# theirs\nmirrors:\n  docker.io:\n    endpoint: [https://cache.example]\n"
OURS = "*k3s start*10.43.0.9*"


class Bench:
    """A site and our session with it: Rotterdam has two agents, Oslo one server alone."""

    def __init__(self, lab: LabThread, session: SiteSession) -> None:
        self.lab, self.session = lab, session
        self.hosts = lab.world.sites[session.site.name].hosts

    def path(self, node: str) -> Path:
        return Path(self.hosts[node].root, FILE.lstrip("/"))

    def put(self, node: str, text: str, *, age: float = 3600) -> None:
        """Write the file as if it had been there before K3s started."""
        self.path(node).write_text(text)
        os.utime(self.path(node), (time.time() - age,) * 2)

    def check(self) -> Any:
        return check_nodes.fn(self.session)

    def configure(self) -> tuple[Outcome, ...]:
        return configure_nodes.fn(self.session, ENDPOINT, LOGIN_SERVER)

    def changes(self) -> list[tuple[str, str, str]]:
        lines = [line for line in self.lab.audit if line["part"] == "hosts"]
        return [(line["action"], line["target"], line["node"]) for line in lines]

    def restarts(self) -> list[str]:
        return [node for action, _, node in self.changes() if action == "restart"]

    def mirrors(self, node: str) -> Any:
        return yaml.safe_load(self.path(node).read_text())["mirrors"]


@contextmanager
def opened(folder: Path, name: str = "oslo", node_ready: float = 20) -> Iterator[Bench]:
    with LabThread(folder=folder, sites=2) as lab:
        described = next(site for site in lab.info["sites"] if site["name"] == name)
        nodes = tuple(
            Node(name=n["name"], address=n["host"], port=n["port"], role=n["role"])
            for n in described["nodes"]
        )
        one = described["nodes"][0]
        ssh = Ssh(user=one["user"], key_file=one["key_file"], known_hosts=one["known_hosts"])
        wait = Patience(node_ready=timedelta(seconds=node_ready))
        site = a_site(name, nodes=nodes, ssh=ssh, patience=wait)
        with open_site(site, cast("RegistrySession", None)) as session:
            yield Bench(lab, session)


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


def test_a_second_run_writes_nothing_and_restarts_nothing(bench: Bench) -> None:
    bench.configure()
    before = bench.changes()
    assert [outcome.action for outcome in bench.configure()] == [Action.UNCHANGED] * 3
    bench.check()
    assert bench.changes() == before


def test_a_run_killed_between_write_and_restart_is_finished_by_the_next(oslo: Bench) -> None:
    time.sleep(max(0.0, 1.1 - (time.time() % 1)))  # systemd's times are cut to whole seconds
    node = oslo.session.nodes[ALONE]
    node.write_registries(FILE, merge(None, PLAN, ALONE), "absent")
    written = oslo.path(ALONE).stat()
    oslo.configure()
    assert oslo.restarts() == [ALONE]
    assert oslo.path(ALONE).stat().st_mtime == written.st_mtime
    assert [outcome.action for outcome in oslo.configure()] == [Action.UNCHANGED]


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
    with opened(tmp_path, node_ready=4) as bench:
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


def test_an_interrupted_run_goes_back_to_the_backup(oslo: Bench) -> None:
    oslo.put(ALONE, THEIRS)
    time.sleep(max(0.0, 1.1 - (time.time() % 1)))
    node = oslo.session.nodes[ALONE]
    node.write_registries(FILE, merge(THEIRS, PLAN, ALONE), node.read_file(FILE).sha256)
    oslo.lab.faults.add(part="hosts", kind="k3s-broken", match=f"{ALONE}: {OURS}")
    with pytest.raises(RestartFailedError):
        oslo.configure()
    assert oslo.path(ALONE).read_text() == THEIRS


@pytest.mark.parametrize(
    "kind", ["drop-mid", *(pytest.param(k, marks=pytest.mark.slow) for k in ("drop", "no-status"))]
)
def test_a_connection_lost_at_the_restart_does_not_matter(oslo: Bench, kind: str) -> None:
    fault = {"part": "hosts", "kind": kind, "match": "*exec *systemctl restart*", "times": 1}
    oslo.lab.faults.add(**fault, seconds=0.05)
    oslo.configure()
    assert oslo.restarts().count(ALONE) == 1


@pytest.mark.slow
def test_a_node_that_vanishes_in_its_restart_is_not_rolled_back(tmp_path: Path) -> None:
    with opened(tmp_path, node_ready=3) as oslo:
        host = oslo.hosts[ALONE]
        host.on_service(lambda running: None if running else host.set_offline(True))
        with pytest.raises(SiteUnreachableError, match="was told to restart"):
            oslo.configure()
        oslo.lab.call(host.set_offline, False)
        assert ENDPOINT.url in oslo.path(ALONE).read_text()
        assert [outcome.action for outcome in oslo.configure()] == [Action.UNCHANGED]
