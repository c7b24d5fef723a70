"""A site set up as people do it without acrfleet: Azure's SDK, helm or kubectl, and SSH.

It follows the script that the facts quote (connected-registry.md §2, §5.5) and uses no product
code, so that a mistake of ours cannot be on both sides.
"""

import asyncio
import base64
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
import yaml
from kubernetes import client, config

from lab.thread import LabThread
from tests.flows.scripted_access import ScriptedAccess

T = TypeVar("T")
NAMESPACE = RELEASE = "connected-registry"
PULL_SECRET = "acr-pull"
ADDRESS = "10.43.77.7"
CHART = "oci://mcr.microsoft.com/acr/connected-registry/chart"
VALUES = {
    "httpEnabled": True,
    "service": {"clusterIP": ADDRESS, "type": "ClusterIP"},
    "pvc": {"storageClassName": "local-path", "storageRequest": "20Gi"},
    "cert-manager": {"enabled": False, "install": False},
    "trustDistribution": {"enabled": False},
}


@dataclass
class ScriptedSite(ScriptedAccess):
    """One site of a lab, and what its script knows."""

    @property
    def endpoint(self) -> str:
        return f"{ADDRESS}:80"

    @cached_property
    def api(self) -> client.ApiClient:
        return self.stack.enter_context(config.new_client_from_config(self.info["kubeconfig"]))

    @property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api)

    @property
    def charts(self) -> client.CustomObjectsApi:
        return client.CustomObjectsApi(self.api)

    def install_with_helm(self, helm: Path, reference: str, version: str = "0.4.0") -> None:
        """Do what `helm upgrade --install` does; it is a real one."""
        values = self.lab.folder / f"{self.site}-values.yaml"
        values.write_text(yaml.safe_dump({**VALUES, "connectionString": self.connection_string}))
        arguments = ["upgrade", RELEASE, reference, "--install", "--version", version]
        place = ["--namespace", NAMESPACE, "--create-namespace", "--values", str(values)]
        access = ["--kubeconfig", self.info["kubeconfig"]]
        done = subprocess.run(
            [str(helm), *arguments, *place, *access],
            env=os.environ.copy(),
            capture_output=True,
            text=True,
            check=False,
        )
        values.unlink()
        assert done.returncode == 0, done.stderr

    def apply_chart(self, namespace: str = NAMESPACE, **spec: Any) -> None:
        """Do what `kubectl apply` of a HelmChart does, the connection string in its values."""
        self.make_namespace(NAMESPACE)
        values = {**VALUES, "connectionString": self.connection_string}
        body = {
            "apiVersion": "helm.cattle.io/v1",
            "kind": "HelmChart",
            "metadata": {"name": RELEASE},
            "spec": {
                "chart": CHART,
                "version": "0.4.0",
                "targetNamespace": NAMESPACE,
                "valuesContent": yaml.safe_dump(values),
                **spec,
            },
        }
        self.charts.create_namespaced_custom_object(
            "helm.cattle.io", "v1", namespace, "helmcharts", body
        )

    def make_namespace(self, name: str) -> None:
        known = {one.metadata.name for one in self.core.list_namespace().items}
        if name not in known:
            self.core.create_namespace({"metadata": {"name": name}})

    def make_pull_secret(
        self, password: str, name: str = PULL_SECRET, namespace: str = "default", **auths: Any
    ) -> str:
        """Do what `kubectl create secret docker-registry` does; returns the Secret's UID."""
        entry = {
            "username": self.pull_token,
            "password": password,
            "auth": base64.b64encode(f"{self.pull_token}:{password}".encode()).decode(),
        }
        content = json.dumps({"auths": {f"http://{self.endpoint}": entry, **auths}})
        made = self.core.create_namespaced_secret(
            namespace,
            {
                "metadata": {"name": name},
                "type": "kubernetes.io/dockerconfigjson",
                "stringData": {".dockerconfigjson": content},
            },
        )
        return str(made.metadata.uid)

    def write_mirrors(self, login_server: bool = False, auth: str = "") -> None:
        """Do what the script does on every node: write registries.yaml and restart K3s."""
        names = [self.endpoint, *([self.registry["login_server"]] if login_server else [])]
        mirrors = {name: {"endpoint": [f"http://{self.endpoint}"]} for name in names}
        content: dict[str, Any] = {"mirrors": mirrors}
        if auth:
            login = {"username": self.pull_token, "password": auth}
            content["configs"] = {self.endpoint: {"auth": login}}
        text = "# the crew's registry\n" + yaml.safe_dump(content)
        for node in self.info["nodes"]:
            unit = "k3s" if node["role"] == "server" else "k3s-agent"
            write = f"printf %s {shlex.quote(text)} | sudo tee /etc/rancher/k3s/registries.yaml"
            asyncio.run(_ssh(node, write, f"sudo systemctl restart {unit}"))

    def keep_with(self, installer: str) -> None:
        """Say in the fleet file who keeps the release; the controller knows another place."""
        path = self.lab.folder / "fleet.yaml"
        content = yaml.safe_load(path.read_text())
        site = next(one for one in content["sites"] if one["name"] == self.site)
        site["chart"]["installer"] = installer
        if installer == "helm-controller":
            del site["chart"]["reference"]
        path.write_text(yaml.safe_dump(content))

    def claim_uid(self) -> str:
        (claim,) = self.core.list_namespaced_persistent_volume_claim(NAMESPACE).items
        return str(claim.metadata.uid)

    def revision(self) -> int:
        """Return the newest revision of the release."""
        found = self.core.list_namespaced_secret(NAMESPACE, label_selector="owner=helm").items
        return max(int(one.metadata.labels["version"]) for one in found)

    def secret(self, name: str, namespace: str = NAMESPACE) -> Any:
        return self.core.read_namespaced_secret(name, namespace)


@contextmanager
def a_scripted_site(lab: LabThread, site: str) -> Iterator[ScriptedSite]:
    """Open a site of a lab to its script; what was set up stays."""
    with ExitStack() as stack:
        yield ScriptedSite(lab, site, stack)


async def _ssh(node: dict[str, Any], *commands: str) -> None:
    async with asyncssh.connect(
        node["host"],
        node["port"],
        username=node["user"],
        client_keys=[node["key_file"]],
        known_hosts=node["known_hosts"],
    ) as connection:
        for command in commands:
            await connection.run(command, check=True)
