import base64

import pytest

from fleet.distributions import DISTRIBUTIONS
from fleet.node_checks import find_notes, find_obstacles, find_warnings
from fleet.sites import Host, Node
from tests.node_output import NOW, some_facts

SERVER = Node(name="oslo-1", address="192.0.2.1")
AGENT = Node(name="oslo-2", address="192.0.2.2", role="agent")
DEFAULT_ENDPOINT = "mirrors: {docker.io: {endpoint: [https://cache, https://docker.io]}}"


@pytest.mark.parametrize("name", list(DISTRIBUTIONS))
@pytest.mark.parametrize("node", [SERVER, AGENT], ids=["server", "agent"])
def test_nothing_is_said_of_a_healthy_node(name: str, node: Node) -> None:
    host = Host.model_validate({"distribution": name})
    facts = some_facts(of=name, role=node.role)
    assert not list(find_obstacles(host, node, facts))
    assert not list(find_warnings(host, node, facts, NOW))


@pytest.mark.parametrize(
    ("node", "changes", "words"),
    [
        (SERVER, {"systemd": ""}, "systemd is missing"),
        (SERVER, {"version.k3s": ""}, "k3s was not found"),
        (AGENT, {}, "runs k3s; correct the role"),
        (SERVER, {"k3s.LoadState": "not-found"}, "there is no unit k3s"),
        (SERVER, {"k3s.ActiveState": "activating", "k3s.SubState": "auto-restart"}, "start it"),
        (SERVER, {"file.kind": "link"}, "symbolic link"),
        (SERVER, {"file.kind": "other"}, "not a regular file"),
        (SERVER, {"file.text": base64.b64encode(b"\xff\xfe").decode()}, "not UTF-8"),
        (SERVER, {"file.path": "registries.yaml"}, "not an absolute path"),
        (SERVER, {"free_kb": "100000"}, "only 97 MiB"),
        (SERVER, {"version.k0s": "v1.36.0+k0s.0"}, "k0s v1.36.0+k0s.0: k0s manages"),
        (SERVER, {"config_path": "", "template": "/x/config.toml.tmpl"}, "leaves config_path out"),
    ],
)
def test_what_stands_in_the_way_is_said(node: Node, changes: dict[str, str], words: str) -> None:
    assert words in " ".join(find_obstacles(Host(), node, some_facts(**changes)))


@pytest.mark.parametrize(("name", "in_the_way"), [("containerd", 1), ("k3s", 0), ("rke2", 0)])
def test_crictl_has_to_be_there_where_the_distribution_brings_none(
    name: str, in_the_way: int
) -> None:
    facts = some_facts(of=name, crictl="")
    obstacles = list(find_obstacles(Host(distribution=name), SERVER, facts))
    assert len(obstacles) == in_the_way
    assert all("crictl was not found" in one for one in obstacles)


@pytest.mark.parametrize(
    ("written", "found", "words"),
    [
        ("k3s", "rke2", "the host has RKE2 v1.31.4+rke2r1 (rke2-server is active (running))"),
        ("containerd", "k3s", "write host.distribution: k3s for the site"),
        ("rke2", "containerd", "write host.distribution: containerd for the site"),
    ],
)
def test_another_distribution_than_the_fleet_file_says_is_an_obstacle(
    written: str, found: str, words: str
) -> None:
    host = Host.model_validate({"distribution": written})
    assert words in " ".join(find_obstacles(host, SERVER, some_facts(of=found)))


def test_rke2_has_both_units_and_the_running_one_counts() -> None:
    host = Host(distribution="rke2")
    spare = {"rke2-agent.LoadState": "loaded", "rke2-agent.ActiveState": "inactive"}
    assert not list(find_obstacles(host, SERVER, some_facts(of="rke2", **spare)))
    obstacles = " ".join(find_obstacles(host, AGENT, some_facts(of="rke2", **spare)))
    assert "calls it an agent, but the host runs rke2-server; correct the role" in obstacles


@pytest.mark.parametrize(
    ("version", "table"), [("1.7.23", "grpc.v1.cri"), ("v2.0.4", "cri.v1.images")]
)
def test_containerd_without_certs_d_is_told_which_lines_it_needs(version: str, table: str) -> None:
    changes = {"config_path": "", "config_dump": "yes", "version.containerd": f"x {version}"}
    facts = some_facts(of="containerd", **changes)
    obstacles = " ".join(find_obstacles(Host(distribution="containerd"), SERVER, facts))
    assert f"[plugins.'io.containerd.{table}'.registry]\n" in obstacles
    assert "config_path = '/etc/containerd/certs.d'\n" in obstacles
    assert "systemctl restart containerd` once" in obstacles


def test_a_service_that_is_down_points_at_our_backup() -> None:
    facts = some_facts(**{"k3s.ActiveState": "failed", "file.backup": "/etc/r.yaml.acrfleet.1"})
    assert "/etc/r.yaml.acrfleet.1" in " ".join(find_obstacles(Host(), SERVER, facts))


def test_a_version_that_breaks_what_the_file_says_is_refused() -> None:
    version = {"version.k3s": "k3s version v1.27.11+k3s1"}
    assert not list(find_obstacles(Host(), SERVER, some_facts(**version)))
    obstacles = " ".join(find_obstacles(Host(), SERVER, some_facts(DEFAULT_ENDPOINT, **version)))
    assert "K3s v1.27.11+k3s1: a mirror that lists its own registry" in obstacles
    assert "k3s#9341" in obstacles


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"now": str(int(NOW.timestamp()) - 300)}, "300 s off"),
        ({"k3s-agent.UnitFileState": "enabled"}, "k3s-agent is enabled too"),
        ({"template": "/var/lib/rancher/k3s/agent/etc/containerd/config.toml.tmpl"}, "config_path"),
        ({"version.k3s": "k3s version v1.26.3+k3s1"}, "k3s#8972"),
        ({"version.k3s": "k3s version v1.24.17+k3s1"}, "k3s#8972"),
        ({"proxy.HTTP_PROXY": "http://proxy:3128"}, "HTTP_PROXY is set without NO_PROXY"),
        ({"setting.disable-kube-proxy": "true"}, "kube-proxy is disabled"),
        ({"setting.embedded-registry": "true"}, "embedded mirror is on"),
        ({"free_inodes": "7"}, "only 7 inodes"),
        ({"deadman": "0f1e"}, "was never confirmed (dead-man 0f1e)"),
        ({"deadman": "0f1e", "deadman.0f1e.fired_at": "5"}, "could not finish"),
    ],
)
def test_what_an_operator_should_know_is_warned_about(changes: dict[str, str], words: str) -> None:
    assert words in " ".join(find_warnings(Host(), SERVER, some_facts(**changes), NOW))


def test_a_proxy_that_knows_its_limits_is_nothing_to_warn_about() -> None:
    proxies = {"proxy.HTTP_PROXY": "http://proxy:3128", "proxy.NO_PROXY": "10.43.0.0/16"}
    assert not list(find_warnings(Host(), SERVER, some_facts(**proxies), NOW))


def test_what_is_good_to_know_of_a_version_is_a_note() -> None:
    facts = some_facts(**{"version.k3s": "k3s version v1.35.0+k3s1"})
    notes = " ".join(find_notes(Host(), facts))
    assert "config-v3.toml.tmpl" in notes
    assert "changed in place, never replaced" in notes


def test_a_registries_file_that_is_no_yaml_is_left_to_its_own_check() -> None:
    facts = some_facts("mirrors: [\n", **{"version.k3s": "k3s version v1.27.11+k3s1"})
    assert not list(find_obstacles(Host(), SERVER, facts))
