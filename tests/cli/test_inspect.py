"""`acrfleet inspect` over real SSH against the lab's hosts."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from cli.main import main
from lab.thread import LabThread

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabThread]:
    with LabThread(folder=tmp_path_factory.mktemp("lab"), sites=2) as lab:
        yield lab


def inspect(lab: LabThread, *arguments: str, **changes: str) -> Result:
    """Run the command; `changes` replace text in the fleet file."""
    text = (lab.folder / "fleet.yaml").read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = lab.folder / "inspected.yaml"
    path.write_text(text)
    return CliRunner().invoke(main, ["inspect", str(path), *arguments])


def root(lab: LabThread, site: str, node: str) -> Path:
    return Path(lab.world.sites[site].hosts[node].root)


def test_a_site_is_shown_node_by_node_servers_first(lab: LabThread) -> None:
    ended = inspect(lab, "rotterdam")
    assert ended.exit_code == 0, ended.output
    names = [line.split()[0] for line in ended.output.splitlines()[2:] if line.strip()]
    assert names == ["rotterdam-server-1", "rotterdam-agent-1", "rotterdam-agent-2"]
    assert "k3s-agent active (running)" in ended.output
    assert "no restart" in ended.output
    assert "oslo" not in ended.output


def test_all_facts_are_shown_on_demand(lab: LabThread) -> None:
    ended = inspect(lab, "oslo", "--facts")
    assert "/etc/rancher/k3s/registries.yaml: not there" in ended.output
    assert "/var/lib/rancher/k3s/agent/etc/containerd/certs.d" in ended.output


def test_another_distribution_is_told_with_what_to_write(lab: LabThread) -> None:
    ended = inspect(lab, "oslo", **{"name: oslo\n": "name: oslo\n  host: {distribution: rke2}\n"})
    assert ended.exit_code == 1
    assert "obstacle" in ended.output
    assert "write host.distribution: k3s for the site" in ended.output


def test_no_secret_of_the_host_is_shown(lab: LabThread) -> None:
    folder = root(lab, "oslo", "oslo-server-1") / "etc/rancher/k3s"
    (folder / "config.yaml").write_text("token: K10aaaaaaaaaaaaaaaaa::server:hunter3\n")
    (folder / "registries.yaml").write_text("configs: {x: {auth: {password: hunter2}}}\n")
    try:
        shown, as_json = inspect(lab, "oslo", "--facts"), inspect(lab, "oslo", "--json")
    finally:
        (folder / "config.yaml").unlink()
        (folder / "registries.yaml").unlink()
    for text in (shown.output, as_json.output):
        assert "hunter" not in text
        assert "PRIVATE KEY" not in text
        assert "client-key-data" not in text
    (report,) = json.loads(as_json.output)
    assert report["facts"]["registries"]["kind"] == "file"
    assert report["facts"]["registries"]["text"] == "**********"
    assert report["facts"]["kubeconfig"] == "**********"


def test_what_k3s_would_drop_is_an_obstacle(lab: LabThread) -> None:
    path = root(lab, "oslo", "oslo-server-1") / "etc/rancher/k3s/registries.yaml"
    path.write_text("mirrros: {}\n")
    try:
        ended = inspect(lab, "oslo")
    finally:
        path.unlink()
    assert ended.exit_code == 1
    assert "mirrros" in ended.output
    assert "did you mean mirrors?" in ended.output


def test_a_node_that_does_not_answer_does_not_hide_the_others(lab: LabThread) -> None:
    lab.call(lab.world.set_offline, "oslo", True)
    try:
        ended = inspect(lab, "--json")
    finally:
        lab.call(lab.world.set_offline, "oslo", False)
    assert ended.exit_code == 1
    reports = {report["node"]: report for report in json.loads(ended.output)}
    assert reports["oslo-server-1"]["facts"] is None
    assert reports["oslo-server-1"]["obstacles"]
    assert reports["rotterdam-agent-2"]["facts"]["version"]


@pytest.mark.flow
@pytest.mark.usefixtures("prefect_harness")
def test_a_site_whose_block_is_missing_does_not_hide_the_others(lab: LabThread) -> None:
    content = yaml.safe_load((lab.folder / "fleet.yaml").read_text())
    content["sites"][0]["ssh"] = {"block": "nowhere"}
    path = lab.folder / "inspected.yaml"
    path.write_text(yaml.safe_dump(content))
    ended = CliRunner().invoke(main, ["inspect", str(path), "--json"])
    assert ended.exit_code == 1
    reports = {report["node"]: report for report in json.loads(ended.output)}
    assert "nowhere" in reports["oslo-server-1"]["obstacles"][0]
    assert reports["rotterdam-agent-2"]["facts"]["version"]


def test_a_site_that_does_not_exist_is_wrong_input(lab: LabThread) -> None:
    ended = inspect(lab, "osl")
    assert ended.exit_code == 2
    assert "did you mean oslo" in ended.output
