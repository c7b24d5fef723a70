"""The demo's fleet file: the documented example, with the addresses of a lab's world put in."""

from pathlib import Path
from typing import Any

import yaml

_EXAMPLE = Path(__file__).parent.parent / "deployments/fleet.example.yaml"
_NOT_IN_A_LAB = ("connected_registry", "pull_secrets", "client_tokens", "cluster")


def write_demo_fleet(lab_file: Path, target: Path) -> Path:
    """Write the example with a lab's registry and nodes, and return the file to use.

    Left out is what a lab can't show in a minute or does not have: a nightly schedule, further
    namespaces, a cluster that is reachable without SSH. An installation without the example uses
    the lab's own fleet file.
    """
    if not _EXAMPLE.exists():
        return lab_file
    fleet = merge(yaml.safe_load(_EXAMPLE.read_text()), yaml.safe_load(lab_file.read_text()))
    head = (
        "# deployments/fleet.example.yaml with the addresses of the lab, made by `acrfleet demo`.\n"
    )
    target.write_text(head + yaml.safe_dump(fleet, sort_keys=False, width=100))
    return target


def merge(example: dict[str, Any], lab: dict[str, Any]) -> dict[str, Any]:
    """Return the example's fleet at the lab's addresses; sites it does not know are added."""
    known = {site["name"]: site for site in example["sites"]}
    defaults = {key: value for key, value in example["defaults"].items() if key != "registry"}
    sites = [_site(known.get(site["name"], {}), site) for site in lab["sites"]]
    return {**example, "registries": lab["registries"], "defaults": defaults, "sites": sites}


def _site(known: dict[str, Any], site: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in known.items() if key not in _NOT_IN_A_LAB}
    return {**kept, **site}
