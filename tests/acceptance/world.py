"""The outside world of the acceptance suite, once per session: API server, cloud, hosts."""

import json
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from lab.audit import AuditLog
from lab.azure import AzureLab, RegistryLab
from lab.azure.standalone import describe
from lab.certificates import Authority
from lab.clock import Clock
from lab.cluster.errors import ApiError
from lab.faults import Faults
from lab.loops import LoopThread
from tests.acceptance.cluster import API_PORT, KUBELET_PORT, Controllers, control_plane
from tests.acceptance.host import Host
from tests.acceptance.machine import GATEWAY
from tests.acceptance.mirror import Mirror
from tests.acceptance.site import Site

REGISTRY, GROUP = "acrfleetreal", "fleet-real"
REPOSITORIES = {
    "vessel/navigation": ["1.4.0", "1.5.0"],
    "vessel/telemetry": ["2.0.1"],
    "office/payroll": ["3.3"],
}


class _WideAuthority(Authority):
    """An authority whose servers answer on the bridge's address too."""

    def server_context(self, names: Sequence[str]) -> Any:
        return super().server_context([*dict.fromkeys([*names, GATEWAY])])


class World:
    """Everything that the scenarios share; see tests/acceptance/conftest.py for how to use it.

    Attributes:
        azure: The lab's Azure, on the bridge: its login server is a name that hosts can reach.
        registry: Its one registry, the parent of every site's.
        controllers: What K3s adds to the API server.
        mirror: A site's registry without a chart, for scenarios that are about hosts alone.
    """

    def __init__(self, folder: Path) -> None:
        """Plan it."""
        self.folder = folder
        self._stack = ExitStack()
        self._hosts: dict[str, Host] = {}
        self._numbers = iter(range(1, 10_000))

    def start(self) -> None:
        """Start it all; about six seconds."""
        self._make_key()
        self.loop = LoopThread("world")
        self._stack.callback(self.loop.close)
        self.authority = _WideAuthority(self.folder / "ca")
        self._start_cloud()
        keys, context = self._stack.enter_context(control_plane(self.folder / "cluster"))
        self._keys = keys / "pki"
        self._admin = yaml.safe_load((keys / "admin.kubeconfig").read_text())
        self._client = (keys / "probe.crt").read_text() + (keys / "probe.key").read_text()
        self.controllers = self.loop.call(Controllers, keys, context, self.authority, self.azure)
        self._stack.callback(self.loop.call, self.controllers.stop)
        self.loop.call(self.controllers.start)
        self._start_mirror()

    def stop(self) -> None:
        """End it all."""
        for host in list(self._hosts.values()):
            host.stop()
        self._stack.close()

    # --- hosts ------------------------------------------------------------------------------

    def host(
        self,
        name: str,
        *,
        role: str = "server",
        server: Host | None = None,
        distribution: str = "k3s",
        emulated: bool = False,
        files: dict[str, str] | None = None,
        wait: bool = True,
    ) -> Host:
        """Boot a host and wait until its K3s runs: about a second.

        Args:
            name: Its hostname and its name as a node; `host-` is put before it.
            role: server or agent.
            server: For an agent, the server that it joins.
            distribution: k3s, rke2 or containerd (with a stand-in for the kubelet beside it).
            emulated: Whether it hangs on a cable with faults (`host.link`); costs speed.
            files: Paths and texts of files that are there before it boots (0600, root).
            wait: Whether to wait for K3s; False where it can't come up.
        """
        host = Host(
            self.folder / "hosts" / name,
            next(self._numbers),
            f"host-{name}",
            role,
            distribution=distribution,
            emulated=emulated,
        )
        self._hosts[host.name] = host
        settings = {
            "api": [GATEWAY, API_PORT],
            "server": [server.address if server else GATEWAY, API_PORT],
            "kubelet": [GATEWAY, KUBELET_PORT],
        }
        host.start(settings, {**self._key_files(), **(files or {})})
        if wait:
            host.until_k3s_runs()
            host.until(lambda: self.is_ready(host), what="its node to be Ready", patience=60)
        return host

    def fresh_name(self) -> str:
        """Return a name that no host and no site of the session has."""
        return f"port{next(self._numbers)}"

    def discard(self, host: Host) -> None:
        """Pull a host's plug and remove its node from the cluster."""
        host.stop()
        self._hosts.pop(host.name, None)
        self.request("DELETE", f"/api/v1/nodes/{host.name}", missing_ok=True)

    def is_ready(self, host: Host) -> bool:
        """Return whether the API says that the host's node is Ready."""
        node = self.loop.call(self.controllers.api.find, "Node", None, host.name)
        conditions = (node or {}).get("status", {}).get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    # --- the API ----------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        missing_ok: bool = False,
    ) -> dict[str, Any]:
        """Send a request to the API server; raises lab.cluster.errors.ApiError."""
        try:
            found: dict[str, Any] = self.loop.call(self.controllers.api.request, method, path, body)
        except ApiError as error:
            if missing_ok and error.code == 404:
                return {}
            raise
        return found

    # --- sites ------------------------------------------------------------------------------

    def site(self, name: str, hosts: Sequence[Host], **changes: Any) -> Site:
        """Return a site of these hosts, with a fleet file of its own; nothing is onboarded.

        Args:
            name: The site's name: letters and digits, unique in the session.
            hosts: Its nodes.
            **changes: Fields of the site in the fleet file, replaced or added.
        """
        return Site(self, name, hosts, changes)

    def environment(self) -> dict[str, str]:
        """Return the variables with which the product logs in to this world's Azure."""
        return {
            "AZURE_TENANT_ID": self.azure.tenant_id,
            "AZURE_CLIENT_ID": self.azure.client_id,
            "AZURE_CLIENT_SECRET": self.azure.client_secret,
            "AZURE_AUTHORITY_HOST": self.azure.authority_url,
        }

    @property
    def cloud_entry(self) -> dict[str, Any]:
        """Return the registry as the fleet file has it."""
        azure = describe(self.azure)
        return {
            "subscription_id": azure["subscription_id"],
            "resource_group": GROUP,
            "name": REGISTRY,
            "cloud": {
                "name": "custom",
                "authority": azure["authority"],
                "resource_manager": azure["resource_manager"],
                "audience": azure["resource_manager"],
                "ca_file": azure["ca_file"],
            },
        }

    # --- how it is made ---------------------------------------------------------------------

    def _start_cloud(self) -> None:
        self.audit = AuditLog(self.folder / "audit.jsonl")
        self.faults = Faults()
        self.azure = AzureLab(self.audit, self.faults, Clock(minute=1.0), self.authority)
        self.loop.call(self.azure.start, host=GATEWAY)
        self._stack.callback(self.loop.call, self.azure.stop)
        self.registry: RegistryLab = self.loop.call(
            self.azure.add_registry, REGISTRY, GROUP, repositories=REPOSITORIES
        )

    def _start_mirror(self) -> None:
        folder = self.folder / "cluster" / "ca"
        folder.mkdir(exist_ok=True)
        (folder / "ca.crt").write_bytes(self.authority.pem)
        self.mirror = Mirror(self.folder / "mirror")
        login = f"{self.azure.client_id}:{self.azure.client_secret}"
        self._stack.callback(self.loop.call, self.mirror.distribution.stop)
        self.loop.call(
            self.mirror.start,
            self.registry.login_server,
            login,
            folder,
            ["vessel/navigation:1.5.0"],
        )

    def _make_key(self) -> None:
        (self.folder / "hosts").mkdir(parents=True)
        key = self.folder / "hosts" / "id_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)

    def _key_files(self) -> dict[str, str]:
        """Return what K3s would have made for itself: its CA, its login, the administrator's."""
        admin = json.loads(json.dumps(self._admin))
        admin["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{API_PORT}"
        return {
            "/etc/rancher/node/ca.pem": (self._keys / "ca.pem").read_text(),
            "/etc/rancher/node/client.pem": self._client,
            "/etc/rancher/node/admin.yaml": yaml.safe_dump(admin),
        }
