"""The demo's fleet file is the documented example at a lab's addresses."""

from pathlib import Path

import pytest
import yaml

from cli.demo_fleet import write_demo_fleet
from clients.fleet_files import read_fleet
from fleet.client_tokens import clients_of
from lab.thread import LabThread

EXAMPLE = Path(__file__).parents[2] / "deployments/fleet.example.yaml"


@pytest.mark.lab
def test_the_demos_fleet_file_is_valid_and_keeps_what_the_example_says(tmp_path: Path) -> None:
    with LabThread(folder=tmp_path / "lab", sites=4) as lab:
        path = write_demo_fleet(lab.folder / "fleet.yaml", tmp_path / "fleet.yaml")
        ports = [node["port"] for site in lab.info["sites"] for node in site["nodes"]]
    fleet, example = read_fleet(path), read_fleet(EXAMPLE)
    assert fleet.name == example.name
    assert [site.name for site in fleet.sites][:3] == [site.name for site in example.sites]
    assert [node.port for site in fleet.sites for node in site.nodes] == ports
    namespaces = {
        name
        for site in fleet.sites
        for one in clients_of(site)
        for name in one.pull_secrets.namespaces
    }
    assert namespaces == {"default"}, "a lab has no other namespace"
    oslo, told = fleet.sites[0], example.sites[0]
    assert (oslo.repositories, oslo.chart, oslo.labels) == (
        told.repositories,
        told.chart,
        told.labels,
    )


def test_the_example_names_only_what_the_lab_has() -> None:
    from lab.places import REPOSITORIES

    example = yaml.safe_load(EXAMPLE.read_text())
    probes = [site["probe_image"] for site in example["sites"] if "probe_image" in site]
    assert all(tag in REPOSITORIES[name] for name, tag in (p.split(":") for p in probes))
