"""Run the product's flows against a lab in this process, and look at what they left behind."""

import json
import shutil
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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
    _forget_records()
    _free_slots()
    with LabThread(folder=folder, **options) as lab:
        for variable, key in VARIABLES.items():
            monkeypatch.setenv(variable, lab.info["azure"][key])
        yield lab


@contextmanager
def module_lab(tmp_path_factory: pytest.TempPathFactory, **options: Any) -> Iterator[LabThread]:
    """Run a lab for all tests of a module."""
    with (
        pytest.MonkeyPatch.context() as patch,
        running_lab(tmp_path_factory.mktemp("lab"), patch, **options) as lab,
    ):
        yield lab


def _forget_records() -> None:
    """Drop what tests of other labs left behind: all labs are the same fleet to the records."""
    from prefect.settings import get_current_settings

    shutil.rmtree(get_current_settings().results.local_storage_path / "sites", ignore_errors=True)


def _free_slots() -> None:
    """Free the slots of runs that tests killed: the server of Prefect's harness never does.

    It runs none of the services that free them elsewhere after a minute, and all labs have the same
    registries, so that the tests of a dozen kills leave no slot to those that come after them.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
    from prefect.settings import get_current_settings

    if get_current_settings().api.url is None:
        return
    with get_client(sync_client=True) as client:
        for limit in client.read_global_concurrency_limits(limit=200):
            if limit.active_slots:
                nothing = GlobalConcurrencyLimitUpdate(active_slots=0)
                client.update_global_concurrency_limit(limit.name, nothing)


def onboard(lab: LabThread, *sites: str, **more: Any) -> FleetReport:
    """Run `onboard_fleet` on the lab's fleet file and return its report."""
    from flows.onboard import onboard_fleet

    return run(onboard_fleet, lab, sites, **more)


def verify(lab: LabThread, *sites: str) -> FleetReport:
    """Run `verify_fleet` on the lab's fleet file and return its report."""
    from flows.verify import verify_fleet

    return run(verify_fleet, lab, sites)


def run(flow: Any, lab: LabThread, sites: Sequence[str], **more: Any) -> FleetReport:
    """Run a fleet flow and return its report, whatever state it ends in."""
    from tasks.progress import collecting_reports

    with collecting_reports() as reports:
        path = str(lab.folder / "fleet.yaml")
        state = flow(path, sites=list(sites), return_state=True, **more)
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
    with core_api(lab, site) as core:
        return dict(core.read_namespaced_secret(name, namespace).data)


def write_secret(lab: LabThread, site: str, data: dict[str, str]) -> None:
    """Overwrite the data of a site's pull secret by hand, as somebody in a hurry would."""
    with core_api(lab, site) as core:
        core.patch_namespaced_secret("acrfleet-pull", "default", {"data": data})


def spoil_pull_secret(lab: LabThread, site: str, password: str) -> None:
    """Give every login of a site's pull secret another password; its note of which stays."""
    key = ".dockerconfigjson"
    config = json.loads(b64decode(read_secret(lab, site)[key]))
    for entry in config["auths"].values():
        login = f"{entry['username']}:{password}"
        entry |= {"password": password, "auth": b64encode(login.encode()).decode()}
    write_secret(lab, site, {key: b64encode(json.dumps(config).encode()).decode()})


def forget_mark(lab: LabThread, site: str) -> None:
    """Take the note off a site's pull secret that says which password it holds."""
    with core_api(lab, site) as core:
        change = {"metadata": {"annotations": {"acrfleet/slot": None}}}
        core.patch_namespaced_secret("acrfleet-pull", "default", change)


def write_certificate_secret(
    lab: LabThread, site: str, name: str, pair: tuple[bytes, bytes], ca: bytes | None = None
) -> None:
    """Put a certificate and its key into the chart's namespace, with a CA as cert-manager does."""
    from kubernetes.client import ApiException

    namespace, files = "connected-registry", {"tls.crt": pair[0], "tls.key": pair[1]}
    files |= {"ca.crt": ca} if ca else {}
    data = {key: b64encode(value).decode() for key, value in files.items()}
    body = {"metadata": {"name": name}, "type": "kubernetes.io/tls", "data": data}
    with core_api(lab, site) as core:
        with suppress(ApiException):
            core.create_namespace({"metadata": {"name": namespace}})
        try:
            core.create_namespaced_secret(namespace, body)
        except ApiException:
            core.patch_namespaced_secret(name, namespace, body)


def delete_registry_pods(lab: LabThread, site: str) -> None:
    """Have a site's registry start anew."""
    namespace, selector = "connected-registry", "app.kubernetes.io/name=connected-registry"
    with core_api(lab, site) as core:
        for pod in core.list_namespaced_pod(namespace, label_selector=selector).items:
            core.delete_namespaced_pod(pod.metadata.name, namespace)


@contextmanager
def core_api(lab: LabThread, site: str) -> Iterator[Any]:
    from kubernetes import client, config

    path = next(entry["kubeconfig"] for entry in lab.info["sites"] if entry["name"] == site)
    with config.new_client_from_config(path) as api:
        yield client.CoreV1Api(api)
