"""A Kubernetes API under test, asked through the official client."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client, config

JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
CHARTS = "/apis/helm.cattle.io/v1"


@dataclass
class Reply:
    """What came back."""

    code: int
    body: Any
    text: str = ""

    @property
    def version(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])


class Target:
    """One API server; every test works in a namespace of its own."""

    def __init__(self, kubeconfig: Path, *, real: bool, controllers: bool = True) -> None:
        self.real = real
        self.controllers = controllers
        self.kubeconfig = kubeconfig
        settings = client.Configuration()
        config.load_kube_config(str(kubeconfig), client_configuration=settings)
        self.settings = settings
        self.api = client.ApiClient(settings)
        self.core = client.CoreV1Api(self.api)
        self.apps = client.AppsV1Api(self.api)
        self.batch = client.BatchV1Api(self.api)

    @property
    def minor(self) -> int:
        """Return the 31 of Kubernetes 1.31."""
        return int(self.ask("GET", "/version").body["minor"].rstrip("+"))

    def close(self) -> None:
        self.api.close()
        self.api.rest_client.close()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        content: str = JSON,
        **query: str,
    ) -> Reply:
        """Send one request as it is and return whatever comes back."""
        headers = {"Accept": JSON}
        if body is not None:
            headers["Content-Type"] = content
        request = self.api.param_serialize(
            method, path, None, list(query.items()), headers, body, auth_settings=["BearerToken"]
        )
        answer = self.api.call_api(*request, _request_timeout=(5, 20))
        text = answer.read().decode()
        try:
            return Reply(answer.status, json.loads(text), text)
        except ValueError:
            return Reply(answer.status, None, text)

    def create(self, path: str, body: dict[str, Any]) -> Reply:
        return self.ask("POST", path, body)

    def patch(self, path: str, body: Any, content: str = MERGE, **query: str) -> Reply:
        return self.ask("PATCH", path, body, content, **query)

    def new_namespace(self) -> str:
        made = self.create("/api/v1/namespaces", {"metadata": {"generateName": "contract-"}})
        return str(made.body["metadata"]["name"])


def eventually(look: Callable[[], Any], wait: float = 15.0) -> Any:
    """Return the first truthy answer; fails with the last one."""
    deadline = time.monotonic() + wait
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {wait} s"
        time.sleep(0.05)


def secret(name: str = "one", **content: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "stringData": {"a": "b"}} | content


def chart(name: str = "one", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "helm.cattle.io/v1",
        "kind": "HelmChart",
        "metadata": {"name": name, "annotations": {"helmcharts.helm.cattle.io/unmanaged": "yes"}},
        "spec": {"chart": "oci://example.invalid/chart"} | spec,
    }
