import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from clients.edge_node import EdgeNode
from fleet.host_errors import CommandFailedError, ConnectionLostError, SudoRefusedError
from lab.loops import LoopThread
from tests.clients.node_bench import FILE, Bench

pytestmark = pytest.mark.lab


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, LoopThread("lab"))
    try:
        yield bench
    finally:
        bench.close()


def test_facts_come_in_one_round_trip(bench: Bench) -> None:
    bench.put("mirrors: {}\n")
    commands = len(bench.lab.commands)
    facts = bench.node.read_facts()
    assert len(bench.lab.commands) == commands + 1
    assert facts.user == "root"
    assert facts.version == "v1.31.4+k3s1"
    assert facts.services["k3s"].is_running
    assert facts.services["k3s"].active_since is not None
    assert not facts.services["k3s-agent"].exists
    assert facts.registries.content == "mirrors: {}\n"
    assert abs(facts.now.timestamp() - time.time()) < 30


def test_a_path_that_k3s_is_told_of_is_looked_at_instead(bench: Bench) -> None:
    bench.put("private-registry: /etc/old.yaml\n", "/etc/rancher/k3s/config.yaml")
    drop_in = 'token: hunter2\n"private-registry": "/etc/edge/r.yaml" # moved\n'
    bench.put(drop_in, "/etc/rancher/k3s/config.yaml.d/10.yaml")
    bench.put("configs: {}\n", "/etc/edge/r.yaml")
    if bench.lab.mode == "namespace":
        facts = bench.node.read_facts()
        assert (facts.registries.path, facts.registries.content) == (
            "/etc/edge/r.yaml",
            "configs: {}\n",
        )


def test_what_is_downloaded_is_seen_to_grow_and_what_hangs_to_stand_still(bench: Bench) -> None:
    assert bench.node.read_pulls() == {}
    bench.faults.add(part="hosts", kind="latency", match="pull slow*", seconds=3)
    bench.faults.add(part="hosts", kind="hang", match="pull stuck*")
    bench.node.host.run("id")  # a connection that both pulls share
    for name in ("slow", "stuck"):
        command = f"nohup sudo -n k3s crictl pull {name}.example/app:1 > /dev/null 2>&1 &"
        bench.node.host.run(command)
    first = bench.node.read_pulls()
    deadline = time.monotonic() + 20
    while first is not None and len(first) < 2 and time.monotonic() < deadline:
        first = bench.node.read_pulls()
    assert first is not None
    assert len(first) == 2
    time.sleep(0.1)
    second = bench.node.read_pulls()
    assert second is not None
    assert sum(first[part] == second.get(part) for part in first) == 1


def test_without_containerd_it_is_not_known_what_is_downloaded(bench: Bench) -> None:
    bench.node.host.run("sudo -n systemctl stop k3s")
    assert bench.node.read_pulls() is None


def test_a_restart_is_seen_in_the_service(bench: Bench) -> None:
    before = bench.node.read_service("k3s")
    bench.node.restart("k3s", before.entered)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        after = bench.node.read_service("k3s")
        if after.is_running and after.entered != before.entered:
            break
    assert after.is_running
    assert after.entered != before.entered
    assert "Starting k3s" in bench.node.read_journal("k3s")


def test_a_unit_that_was_restarted_meanwhile_is_not_restarted_again(bench: Bench) -> None:
    before = bench.node.read_service("k3s")
    bench.node.restart("k3s", before.entered - 1)
    assert bench.restarts() == 0


def test_files_that_are_missing_links_or_folders_are_read_as_what_they_are(bench: Bench) -> None:
    assert bench.node.read_file(FILE).kind == "absent"
    bench.path().symlink_to("elsewhere.yaml")
    assert bench.node.read_file(FILE).kind == "link"
    assert bench.node.read_file("/etc/rancher").kind == "other"


def test_a_unit_that_is_not_there_is_an_error_in_the_hosts_words(bench: Bench) -> None:
    with pytest.raises(CommandFailedError, match="not found"):
        bench.node.restart("k3s-agent", 0)


@pytest.mark.parametrize("rule", ["password", "absent"])
def test_a_refused_sudo_prints_the_sudoers_line(bench: Bench, rule: str) -> None:
    bench.loop.call(setattr, bench.lab, "sudo", rule)
    with pytest.raises(SudoRefusedError) as refused:
        bench.node.read_facts()
    assert "edge ALL=(root) NOPASSWD: /bin/sh" in str(refused.value)


def test_without_sudo_the_user_sees_what_a_user_sees(bench: Bench) -> None:
    bench.lab.write_kubeconfig("apiVersion: v1\n")
    assert bench.node.read_kubeconfig().get_secret_value() == "apiVersion: v1\n"
    plain = EdgeNode(bench.node.host, sudo=False)
    if bench.lab.mode == "namespace":
        with pytest.raises(CommandFailedError, match="Permission denied"):
            plain.read_kubeconfig()


def test_a_command_without_a_status_is_a_lost_connection(bench: Bench) -> None:
    bench.faults.add(part="hosts", kind="no-status", match="exec *")
    with pytest.raises(ConnectionLostError):
        bench.node.read_file(FILE)


def test_noise_of_a_login_shell_is_skipped(bench: Bench) -> None:
    noisy = bench.node.host.run("echo welcome aboard; echo acrfleet:started; echo user=x")
    assert noisy.stdout.endswith(b"user=x\n")
    assert bench.node.read_facts().user == "root"


def test_the_password_of_a_pull_is_in_no_command_and_no_answer(bench: Bench) -> None:
    images = ["127.0.0.1:9/x:1", "127.0.0.1:9/y:1"]
    results = bench.node.pull_images(images, "token", SecretStr("hunter2"), timeout=30)
    assert len(results) == 1  # the first that fails is the last
    result = results[0]
    assert not result.ok
    assert "refused" in result.words
    assert "hunter2" not in " ".join([*bench.lab.commands, result.words, repr(bench.audit.read())])
