"""A site of real hosts: its fleet file, the product's flows on it, a session for single steps."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import yaml

from tests.acceptance.host import Host
from tests.acceptance.observations import Stat

if TYPE_CHECKING:
    from fleet.outcomes import SiteEndpoint
    from fleet.results import FleetReport
    from fleet.sites import Site as FleetSite
    from tasks.sessions import SiteSession
    from tests.acceptance.world import World


class Site:
    """One site. Its chart, pull secrets and objects in Azure are its own; the cluster is shared."""

    def __init__(
        self, world: "World", name: str, hosts: Sequence[Host], changes: dict[str, Any]
    ) -> None:
        """Write the fleet file."""
        self.world, self.name, self.hosts = world, name, tuple(hosts)
        self.folder = world.folder / "sites" / name
        self.folder.mkdir(parents=True)
        self.known_hosts = self.folder / "known_hosts"
        self.known_hosts.write_text("".join(host.known_hosts.read_text() for host in hosts))
        self.fleet_file = self.folder / "fleet.yaml"
        self.change(**changes)
        world.request("POST", "/api/v1/namespaces", {"metadata": {"name": f"apps-{name}"}})

    def change(self, **changes: Any) -> None:
        """Write the fleet file anew, with these fields of the site replaced or added."""
        content = {
            "version": 1,
            "fleet": "acceptance",
            "registries": {"cloud": self.world.cloud_entry},
            "sites": [self._entry() | changes],
        }
        self.fleet_file.write_text(yaml.safe_dump(content, sort_keys=False))

    @property
    def login_server(self) -> str:
        """Return the cloud registry's name, under which pods name their images."""
        return self.world.registry.login_server

    @property
    def namespace(self) -> str:
        """Return the namespace of the site's chart; that of its applications is `apps-SITE`."""
        return f"registry-{self.name}"

    # --- flows ------------------------------------------------------------------------------

    def onboard(self) -> "FleetReport":
        """Run `onboard_fleet` and return its report."""
        from flows.onboard import onboard_fleet

        return self._run(onboard_fleet)

    def verify(self) -> "FleetReport":
        """Run `verify_fleet` and return its report."""
        from flows.verify import verify_fleet

        return self._run(verify_fleet)

    def rotate(self, *, now: bool = True) -> "FleetReport":
        """Run `rotate_tokens` and return its report; `now`: whatever the passwords' age."""
        from functools import partial

        from flows.rotate import rotate_tokens

        return self._run(partial(rotate_tokens, now=now))

    def start(self, verb: str = "onboard") -> "subprocess.Popen[bytes]":
        """Start `acrfleet VERB` on the site as a process of its own, to be killed or waited for.

        It uses the Prefect server of the fixture `prefect_harness`, so that slots and locks count.
        """
        return subprocess.Popen(
            [sys.executable, "-m", "cli", verb, str(self.fleet_file)],
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def start_configuring(self) -> "subprocess.Popen[str]":
        """Start the step that `configure` runs as a process of its own, to be killed."""
        mirror = self.world.mirror
        words = [str(self.fleet_file), mirror.address, str(mirror.port), self.login_server]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.controller", *words],
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _environment(self) -> dict[str, str]:
        from tests.flows.processes import prefect_environment

        return os.environ | self.world.environment() | prefect_environment()

    def _run(self, flow: Any) -> "FleetReport":
        from tasks.progress import collecting_reports

        with collecting_reports() as reports:
            state = flow(str(self.fleet_file), sites=[self.name], return_state=True)
        if not reports:
            state.result()
        return reports[0]

    # --- single steps -----------------------------------------------------------------------

    @property
    def parsed(self) -> "FleetSite":
        """Return the site as the product reads it."""
        from tasks.fleet_files import read_fleet

        return read_fleet(str(self.fleet_file)).sites[0]

    @contextmanager
    def session(self) -> Iterator["SiteSession"]:
        """Open the site for single tasks, as `configure_nodes.fn(session, ...)`.

        The cluster is the real one, through SSH; nothing is asked of Azure before a task does.
        """
        from tasks.fleet_files import read_fleet
        from tasks.sessions import open_registry_session, open_site

        fleet = read_fleet(str(self.fleet_file))
        cloud = open_registry_session(fleet.registries["cloud"])
        try:
            with open_site(fleet.sites[0], cloud) as session:
                yield session
        finally:
            cloud.close()

    @property
    def endpoint(self) -> "SiteEndpoint":
        """Return the shared mirror as a site's registry, for steps without a chart."""
        from fleet.outcomes import SiteEndpoint

        mirror = self.world.mirror
        return SiteEndpoint(address=mirror.address, port=mirror.port, scheme="http")

    def configure(self) -> Any:
        """Run the step that brings registries.yaml onto the nodes, with the shared mirror."""
        from tasks.hosts import configure_nodes

        with self.session() as session:
            return configure_nodes.fn(session, self.endpoint, self.login_server)

    # --- what is looked at ------------------------------------------------------------------

    def pull_login(self) -> str:
        """Return `user:password` from the site's pull secret, as the kubelet would read it."""
        import base64
        import json

        path = f"/api/v1/namespaces/apps-{self.name}/secrets/acrfleet-pull"
        data = self.world.request("GET", path)["data"][".dockerconfigjson"]
        entries = json.loads(base64.b64decode(data))["auths"]
        entry = entries[self.login_server]
        return f"{entry['username']}:{entry['password']}"

    def registry_host(self) -> str:
        """Return `address:port` of the site's registry: the host in its images' names."""
        path = f"/api/v1/namespaces/{self.namespace}/services/{self.namespace}"
        spec = self.world.request("GET", path)["spec"]
        return f"{spec['clusterIP']}:{spec['ports'][0]['port']}"

    def registry_log(self) -> list[str]:
        """Return the requests that the site's registry got, as `GET /v2/... 200`."""
        key = (self.namespace, self.namespace)
        return self.world.controllers.registries[key].distribution.log

    def traces(self) -> dict[str, object]:
        """Return what a run that changes nothing leaves as it is, per host: files and services."""
        return {host.name: (_files(host), host.service()) for host in self.hosts}

    def _entry(self) -> dict[str, Any]:
        roles = {"server": {}, "agent": {"role": "agent"}}
        return {
            "name": self.name,
            "registry": "cloud",
            "repositories": {"include": ["vessel/*"]},
            "chart": {"version": "0.4.0", "namespace": self.namespace, "release": self.namespace},
            "pull_secrets": {"namespaces": [f"apps-{self.name}"]},
            "host": {"distribution": self.hosts[0].distribution},
            "nodes": [
                {"name": host.name, "address": host.address, **roles[host.role]}
                for host in self.hosts
            ],
            "ssh": {
                "user": self.hosts[0].user,
                "key_file": str(self.hosts[0].key_file),
                "known_hosts": str(self.known_hosts),
            },
        }


def _files(host: Host) -> dict[str, Stat]:
    """Return inode and times of everything that the product may write on a host."""
    registries = host.flavor.registries
    found = host.find(f"{registries and registries + '*'} {host.flavor.certs_d}/*/*")
    return {path: host.stat(path) for path in found}
