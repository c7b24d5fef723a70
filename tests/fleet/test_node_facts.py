import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.node_changes import plan_change
from fleet.node_facts import (
    HostFile,
    NodeFacts,
    find_obstacles,
    find_warnings,
    parse_facts,
    redact,
    sha256_of,
)
from fleet.outcomes import SiteEndpoint
from fleet.registries_yaml import RegistriesPlan, merge
from fleet.sites import Node

NOW = datetime(2025, 11, 24, 10, tzinfo=UTC)
SERVER = Node(name="oslo-1", address="192.0.2.1")
AGENT = Node(name="oslo-2", address="192.0.2.2", role="agent")
PLAN = RegistriesPlan(
    login_server="myacr.azurecr.io", endpoint=SiteEndpoint(address="10.43.0.9", port=80)
)


def some_output(text: str | None = "mirrors: {}\n", **changes: str) -> str:
    lines = {
        "user": "root",
        "now": str(int(NOW.timestamp())),
        "arch": "aarch64",
        "os": "Debian GNU/Linux 12 (bookworm)",
        "version": "k3s version v1.31.4+k3s1 (a562d090)",
        "systemd": "/usr/bin/systemctl",
        "k3s.LoadState": "loaded",
        "k3s.ActiveState": "active",
        "k3s.SubState": "running",
        "k3s.ActiveEnterTimestamp": "Mon 2025-11-24 09:00:00 UTC",
        "k3s-agent.LoadState": "not-found",
        "data_dir": "/var/lib/rancher/k3s",
        "free_kb": "8000000",
        "file.path": "/etc/rancher/k3s/registries.yaml",
        "file.kind": "absent",
        "file.backup": "",
    }
    if text is not None:
        encoded = base64.b64encode(text.encode()).decode()
        mtime = str(int(NOW.timestamp()) - 7200)
        lines |= {"file.kind": "file", "file.text": encoded, "file.mtime": mtime}
    return "".join(f"{key}={value}\n" for key, value in {**lines, **changes}.items())


def some_facts(text: str | None = "mirrors: {}\n", **changes: str) -> NodeFacts:
    return parse_facts("oslo/oslo-1", some_output(text, **changes))


def test_facts_are_read() -> None:
    facts = some_facts("configs: {}\n")
    assert facts.version == "v1.31.4+k3s1"
    assert facts.now == NOW
    assert facts.services["k3s"].is_running
    assert facts.registries.content == "configs: {}\n"
    assert facts.registries.sha256 == sha256_of("configs: {}\n")
    assert facts.registries.modified == NOW - timedelta(hours=2)
    assert not list(find_obstacles(SERVER, facts))
    assert not list(find_warnings(SERVER, facts, NOW))


def test_the_content_of_the_file_is_not_shown() -> None:
    assert "hunter2" not in repr(some_facts("configs: {x: {auth: {password: hunter2}}}"))


@pytest.mark.parametrize(
    ("node", "changes", "words"),
    [
        (SERVER, {"systemd": ""}, "systemd is missing"),
        (SERVER, {"version": ""}, "k3s was not found"),
        (AGENT, {}, "runs k3s; correct the role"),
        (SERVER, {"k3s.LoadState": "not-found"}, "there is no unit k3s"),
        (SERVER, {"k3s.ActiveState": "activating", "k3s.SubState": "auto-restart"}, "start it"),
        (SERVER, {"file.kind": "link"}, "symbolic link"),
        (SERVER, {"file.kind": "other"}, "not a regular file"),
        (SERVER, {"file.text": base64.b64encode(b"\xff\xfe").decode()}, "not UTF-8"),
        (SERVER, {"file.path": "registries.yaml"}, "not an absolute path"),
        (SERVER, {"free_kb": "100000"}, "only 97 MiB"),
    ],
)
def test_what_stands_in_the_way_is_said(node: Node, changes: dict[str, str], words: str) -> None:
    assert words in " ".join(find_obstacles(node, some_facts(**changes)))


def test_a_service_that_is_down_points_at_our_backup() -> None:
    facts = some_facts(**{"k3s.ActiveState": "failed", "file.backup": "/etc/r.yaml.acrfleet.1"})
    assert "/etc/r.yaml.acrfleet.1" in " ".join(find_obstacles(SERVER, facts))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"now": str(int(NOW.timestamp()) - 300)}, "300 s off"),
        ({"k3s-agent.UnitFileState": "enabled"}, "k3s-agent is enabled too"),
        ({"template": "/var/lib/rancher/k3s/agent/etc/containerd/config.toml.tmpl"}, "config_path"),
        ({"version": "k3s version v1.27.11+k3s1"}, "k3s#9341"),
        ({"version": "k3s version v1.26.3+k3s1"}, "k3s#8972"),
        ({"version": "k3s version v1.24.17+k3s1"}, "k3s#8972"),
        ({"version": "k3s version v1.29.3+k3s1"}, "k3s#9839"),
    ],
)
def test_what_an_operator_should_know_is_warned_about(changes: dict[str, str], words: str) -> None:
    assert words in " ".join(find_warnings(SERVER, some_facts(**changes), NOW))


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        ('level=info msg="token=K10abcdef0123456789abcdef::server:pw next"', "next"),
        ("--token-file /x --token: hunter2 next", "next"),
        ("joined with K10abcdef0123456789abcdef::server:hunter2 next", "next"),
        ('registry "password": "hunter2", next', "next"),
    ],
)
def test_logs_lose_what_looks_like_a_secret(log: str, shown: str) -> None:
    assert shown in redact(log)
    assert "hunter2" not in redact(log)
    assert "server:pw" not in redact(log)


def plan_for(facts: NodeFacts) -> Any:
    return plan_change(SERVER, facts, PLAN)


def test_a_file_that_is_right_and_was_read_needs_nothing() -> None:
    change = plan_for(some_facts(merge(None, PLAN, "x")))
    assert not change.must_write
    assert not change.restart


@pytest.mark.parametrize("text", [None, "mirrors: {}\n"])
def test_a_file_that_differs_is_written_and_k3s_restarted(text: str | None) -> None:
    change = plan_for(some_facts(text))
    assert change.must_write
    assert "changes" in change.restart
    assert change.wanted_sha256 == sha256_of(merge(text, PLAN, "x"))


def test_a_run_killed_between_write_and_restart_is_finished() -> None:
    text, late = merge(None, PLAN, "x"), str(int(NOW.timestamp()))
    change = plan_for(some_facts(text, **{"file.mtime": late}))
    assert not change.must_write
    assert "was written after k3s started" in change.restart


def test_a_service_that_is_down_is_restarted() -> None:
    change = plan_for(some_facts(merge(None, PLAN, "x"), **{"k3s.SubState": "auto-restart"}))
    assert "auto-restart" in change.restart


def test_no_file_is_a_file_too() -> None:
    assert HostFile(path="/x").content is None
