"""Make plans against a lab, apply them, and let a site drift in the ways that plans must name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from fleet.fleet_file import parse_fleet
from fleet.fleet_plan import fleet_digest, fleet_plan
from fleet.results import FleetReport
from fleet.site_plan import FleetPlan, SitePlan
from fleet.sites import Site
from lab.thread import LabThread
from tests.builders import NOW
from tests.flows.lab_runs import host_file
from tests.tasks.site_bench import a_registry_session

NAMESPACE, CHART = "connected-registry", "connected-registry"


def plan(lab: LabThread, *sites: str, out: Path | None = None) -> FleetPlan:
    """Run `plan_fleet` on the lab's fleet file and return the plan."""
    from flows.plan import plan_fleet

    path = str(out) if out else None
    report = _run(plan_fleet, str(lab.folder / "fleet.yaml"), sites=list(sites), out=path)
    return fleet_plan(report, fleet_digest(fleet_of(lab)), NOW)


def apply(lab: LabThread, path: Path, **options: Any) -> FleetReport:
    """Run `apply_plan` with a plan file and return its report."""
    from flows.apply import apply_plan

    return _run(apply_plan, str(lab.folder / "fleet.yaml"), str(path), **options)


def site_plan(made: FleetPlan, site: str) -> SitePlan:
    """Return one site's plan."""
    found = made.of(site)
    assert found is not None, made.unread
    return found


def shown(made: SitePlan) -> list[str]:
    """Return what a plan would do, as short lines."""
    return [f"{one.part.value}: {one.key} {one.action.value}" for one in made.changes]


def fleet_of(lab: LabThread) -> Any:
    """Return the lab's fleet file."""
    return parse_fleet((lab.folder / "fleet.yaml").read_text(), "fleet.yaml")


def change_top(lab: LabThread, **changes: Any) -> None:
    """Change the top of the lab's fleet file."""
    path = lab.folder / "fleet.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


class Drifts:
    """Changes to one site of a lab that somebody makes by hand."""

    def __init__(self, lab: LabThread, name: str) -> None:
        self.lab, self.name = lab, name
        self.site: Site = next(one for one in fleet_of(lab).sites if one.name == name)

    def take_action_away(self, repository: str) -> None:
        """Take a repository's actions out of the site's sync scope map."""
        with self._cloud() as cloud:
            name = self.site.names.sync_scope_map
            scope_map = cloud.access.read_scope_map(name)
            assert scope_map is not None
            kept = frozenset(one for one in scope_map.actions if f"/{repository}/" not in one)
            assert kept != scope_map.actions
            cloud.access.update_scope_map(name, actions=kept)

    def add_action(self, action: str) -> None:
        """Let the site's client token do more than the fleet file says."""
        with self._cloud() as cloud:
            name = self.site.names.client_scope_map
            scope_map = cloud.access.read_scope_map(name)
            assert scope_map is not None
            cloud.access.update_scope_map(name, actions=scope_map.actions | {action})

    def disable_token(self) -> None:
        """Disable the site's client token."""
        with self._cloud() as cloud:
            cloud.access.shut_token(self.site.names.client_token)

    def change_chart(self, **values: Any) -> None:
        """Change values in the site's HelmChart."""
        from kubernetes import client

        with self._api() as api:
            charts = client.CustomObjectsApi(api)
            place = ("helm.cattle.io", "v1", NAMESPACE, "helmcharts", CHART)
            found = charts.get_namespaced_custom_object(*place)
            content = yaml.safe_load(found["spec"]["valuesContent"]) | values
            spec = {"spec": {"valuesContent": yaml.safe_dump(content)}}
            charts.patch_namespaced_custom_object(*place, spec)

    def delete_pull_secret(self) -> None:
        """Delete the site's only pull secret."""
        from kubernetes import client

        with self._api() as api:
            client.CoreV1Api(api).delete_namespaced_secret("acrfleet-pull", "default")

    def add_namespace(self, name: str, **labels: str) -> None:
        """Add a namespace."""
        from kubernetes import client

        with self._api() as api:
            body = {"metadata": {"name": name, "labels": labels}}
            client.CoreV1Api(api).create_namespace(body)

    def forget_account(self) -> None:
        """Take the pull secret from the default service account."""
        from kubernetes import client

        with self._api() as api:
            change = {"imagePullSecrets": []}
            client.CoreV1Api(api).patch_namespaced_service_account("default", "default", change)

    def remove_mirror(self, node: str) -> None:
        """Take the login server's mirror out of a node's registries.yaml, as an editor would."""
        path = host_file(self.lab, node, "/etc/rancher/k3s/registries.yaml")
        content = yaml.safe_load(path.read_text())
        del content["mirrors"][self.lab.info["registries"][0]["login_server"]]
        path.write_text(yaml.safe_dump(content))

    @contextmanager
    def _cloud(self) -> Iterator[Any]:
        fleet = fleet_of(self.lab)
        registry = fleet.registries[self.site.registry]
        with a_registry_session(self.lab.info["azure"], registry) as cloud:
            yield cloud

    @contextmanager
    def _api(self) -> Iterator[Any]:
        from kubernetes import config

        path = next(one["kubeconfig"] for one in self.lab.info["sites"] if one["name"] == self.name)
        with config.new_client_from_config(path) as api:
            yield api


def _run(flow: Any, *parameters: Any, **more: Any) -> FleetReport:
    from tasks.progress import collecting_reports

    with collecting_reports() as reports:
        state = flow(*parameters, **more, return_state=True)
    if not reports:
        state.result()
    return reports[0]
