from datetime import timedelta
from typing import Any

import pytest

from fleet.distributions import DISTRIBUTIONS
from fleet.inspection import (
    COLUMNS,
    NodeReport,
    facts_in_words,
    group_findings,
    inspect_node,
    summarise,
)
from fleet.sites import Host, Node
from tests.builders import a_site
from tests.node_output import NOW, file_lines, some_facts

SERVER = Node(name="oslo-1", address="192.0.2.1")


def report(text: str | None = None, **changes: Any) -> NodeReport:
    return inspect_node(a_site(nodes=(SERVER,)), SERVER, some_facts(text, **changes), NOW)


def row(found: NodeReport) -> dict[str, str]:
    return dict(zip(COLUMNS, summarise(found, Host()), strict=True))


def words(found: NodeReport) -> dict[str, str]:
    assert found.facts
    return dict(facts_in_words(found.facts))


def test_a_node_is_one_row() -> None:
    assert row(report()) == {
        "node": "oslo-1",
        "role": "server",
        "runs": "k3s v1.31.4+k3s1",
        "containerd": "v2.1.5-k3s1",
        "service": "k3s active (running)",
        "a change needs": "no restart",
        "free": "7.6 GiB",
        "clock": "in step",
    }


@pytest.mark.parametrize(
    ("changes", "column", "shown"),
    [
        ({"config_path": ""}, "a change needs", "a restart"),
        ({"setting.embedded-registry": "true"}, "a change needs", "a restart"),
        ({"k3s.LoadState": "not-found"}, "service", "no k3s"),
        ({"free_kb": ""}, "free", "unknown"),
        ({"containerd": ""}, "containerd", "unknown"),
        ({"now": str(int((NOW - timedelta(minutes=5)).timestamp()))}, "clock", "-300 s"),
    ],
)
def test_what_is_different_shows_in_its_column(
    changes: dict[str, str], column: str, shown: str
) -> None:
    assert row(report(**changes))[column] == shown


def test_a_node_that_was_not_reached_is_a_row_too() -> None:
    found = NodeReport(site="oslo", node="oslo-1", role="server", obstacles=("no route",))
    assert row(found)["runs"] == "could not be looked at"


def test_what_k3s_would_drop_is_an_obstacle() -> None:
    assert "did you mean mirrors?" in " ".join(report("mirrros: {}\n").obstacles)


def test_whose_files_are_in_certs_d_is_told() -> None:
    assert words(report(certs=f"{DISTRIBUTIONS['k3s'].header}|a"))["certs.d"] == "a (by K3s)"
    assert words(report(certs="# hand-made|b"))["certs.d"] == "b (by others)"
    assert words(report(certs="|c"))["certs.d"] == "c (no hosts.toml)"
    ours = DISTRIBUTIONS["containerd"].header
    assert words(report(certs=f"{ours}|d"))["certs.d"] == "d (by acrfleet)"


def test_secrets_are_counted_but_not_shown() -> None:
    found = report("configs: {x: {auth: {password: hunter2}}}\n", kubeconfig="aHVudGVyMw==")
    assert "hunter" not in str(words(found)) + found.model_dump_json() + repr(found)
    assert words(found)["kubeconfig"] == "7 characters"


def test_a_file_is_told_with_its_time_and_mode() -> None:
    path = "/etc/rancher/k3s/registries.yaml"
    found = report(**file_lines("file", "mirrors: {}\n"), mode=f"644 root:root {path}")
    assert (
        words(found)["registries file"] == f"{path}: file, 2025-11-24 09:00:00 UTC, 644 root:root"
    )


def test_the_same_finding_on_several_nodes_is_told_once() -> None:
    def one(node: str, **found: tuple[str, ...]) -> NodeReport:
        return NodeReport(site="oslo", node=node, role="agent", **found)  # type: ignore[arg-type]  # the texts alone

    reports = [one("a", warnings=("old",)), one("b", warnings=("old", "new"), obstacles=("full",))]
    assert list(group_findings(reports)) == [
        ("obstacle", "b", "full"),
        ("warning", "a, b", "old"),
        ("warning", "b", "new"),
    ]
