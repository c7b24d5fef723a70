"""Run the product's flows against a lab in this process, and look at what they left behind."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.results import FleetReport, SiteResult
from lab.thread import LabThread

VARIABLES = {
    "AZURE_TENANT_ID": "tenant_id",
    "AZURE_CLIENT_ID": "client_id",
    "AZURE_CLIENT_SECRET": "client_secret",
    "AZURE_AUTHORITY_HOST": "authority",
}
WRITES = ("azure", "cluster", "hosts")


@contextmanager
def running_lab(
    folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> Iterator[LabThread]:
    """Run a lab and set the environment that its env.sh would set."""
    with LabThread(folder=folder, **options) as lab:
        for variable, key in VARIABLES.items():
            monkeypatch.setenv(variable, lab.info["azure"][key])
        yield lab


def onboard(lab: LabThread, *sites: str) -> FleetReport:
    """Run `onboard_fleet` on the lab's fleet file and return its report."""
    from flows.onboard import onboard_fleet

    return run(onboard_fleet, lab, sites)


def verify(lab: LabThread, *sites: str) -> FleetReport:
    """Run `verify_fleet` on the lab's fleet file and return its report."""
    from flows.verify import verify_fleet

    return run(verify_fleet, lab, sites)


def run(flow: Any, lab: LabThread, sites: Sequence[str]) -> FleetReport:
    """Run a fleet flow and return its report, whatever state it ends in."""
    from tasks.progress import collecting_reports

    with collecting_reports() as reports:
        state = flow(str(lab.folder / "fleet.yaml"), sites=list(sites), return_state=True)
    if not reports:
        state.result()
    return reports[0]


def result_of(report: FleetReport, site: str) -> SiteResult:
    """Return one site's result."""
    return next(result for result in report.results if result.site == site)


def change_fleet(lab: LabThread, site: str | None = None, **changes: Any) -> None:
    """Change the lab's fleet file: the defaults, or one site."""
    path = lab.folder / "fleet.yaml"
    content = yaml.safe_load(path.read_text())
    target = content["defaults"]
    if site is not None:
        target = next(entry for entry in content["sites"] if entry["name"] == site)
    target.update(changes)
    path.write_text(yaml.safe_dump(content))


def writes(lab: LabThread) -> list[str]:
    """Return every write that reached Azure, a cluster or a host, as short lines."""
    return [
        f"{line['part']} {line['site']} {line['action']} {line['target']}"
        for line in lab.audit
        if line["part"] in WRITES
    ]


def host_file(lab: LabThread, node: str, path: str) -> Path:
    """Return where a file of a host lies on this machine."""
    for site in lab.info["sites"]:
        for entry in site["nodes"]:
            if entry["name"] == node:
                return Path(entry["root"]) / path.lstrip("/")
    raise KeyError(node)


def read_secret(
    lab: LabThread, site: str, name: str = "acrfleet-pull", namespace: str = "default"
) -> dict[str, str]:
    """Return a Secret's data at a site, still in base64."""
    with _core_api(lab, site) as core:
        return dict(core.read_namespaced_secret(name, namespace).data)


def write_secret(lab: LabThread, site: str, data: dict[str, str]) -> None:
    """Overwrite the data of a site's pull secret by hand, as somebody in a hurry would."""
    with _core_api(lab, site) as core:
        core.patch_namespaced_secret("acrfleet-pull", "default", {"data": data})


@contextmanager
def _core_api(lab: LabThread, site: str) -> Iterator[Any]:
    from kubernetes import client, config

    path = next(entry["kubeconfig"] for entry in lab.info["sites"] if entry["name"] == site)
    with config.new_client_from_config(path) as api:
        yield client.CoreV1Api(api)
