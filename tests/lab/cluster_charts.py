"""What the tests of HelmCharts share: a cluster, a chart, and questions about them."""

import base64
import gzip
import json
from typing import Any

from tests.lab.cluster_fixtures import RunningCluster
from tests.lab.cluster_target import CHARTS, Target, eventually

NS = "connected-registry"
CONNECTION = "ConnectedRegistryName=oslo;SyncTokenPassword=canary"
REFERENCE = "oci://mcr.microsoft.com/acr/connected-registry/chart"


class Site:
    """A running cluster with a client."""

    def __init__(self, running: RunningCluster) -> None:
        self.running, self.lab = running, running.lab
        self.target = Target(running.kubeconfig, real=False)
        self.target.create("/api/v1/namespaces", {"metadata": {"name": NS}})

    def read(self, path: str) -> Any:
        return self.target.ask("GET", path).body

    def core(self, kind: str, name: str = "") -> Any:
        return self.read(f"/api/v1/namespaces/{NS}/{kind}/{name}".rstrip("/"))

    def chart(self) -> Any:
        return self.read(f"{CHARTS}/namespaces/{NS}/helmcharts/{NS}")

    def job(self, action: str = "install") -> Any:
        return self.read(f"/apis/batch/v1/namespaces/{NS}/jobs/helm-{action}-{NS}")

    def pods(self, of: str) -> list[Any]:
        selector = {"chart": "helmcharts.helm.cattle.io/chart", "registry": "pod-template-hash"}
        path = f"/api/v1/namespaces/{NS}/pods"
        return list(self.target.ask("GET", path, labelSelector=selector[of]).body["items"])

    def log(self, of: str = "chart", **query: str) -> str:
        return "".join(
            self.target.ask(
                "GET", f"/api/v1/namespaces/{NS}/pods/{pod['metadata']['name']}/log", **query
            ).text
            for pod in self.pods(of)
        )

    def warnings(self) -> list[str]:
        events = self.core("events")["items"]
        return [event["message"] for event in events if event["type"] == "Warning"]

    def releases(self) -> list[Any]:
        items = self.target.ask(
            "GET",
            f"/api/v1/namespaces/{NS}/secrets",
            fieldSelector="type=helm.sh/release.v1",
            labelSelector=f"owner=helm,name={NS}",
        ).body["items"]
        return sorted(items, key=lambda item: int(item["metadata"]["labels"]["version"]))

    def statuses(self) -> list[str]:
        return [item["metadata"]["labels"]["status"] for item in self.releases()]

    def put_connection(self, text: str = CONNECTION) -> None:
        path = f"/api/v1/namespaces/{NS}/secrets"
        values = {"values.yaml": json.dumps({"connectionString": text})}
        body = {"metadata": {"name": "connection"}, "stringData": values}
        if self.target.create(path, body).code == 409:
            assert self.target.ask("PUT", f"{path}/connection", body).code == 200

    def put_chart(self, values: str = "httpEnabled: true\n", **spec: Any) -> None:
        body = {
            "apiVersion": "helm.cattle.io/v1",
            "kind": "HelmChart",
            "metadata": {"name": NS},
            "spec": {
                "chart": REFERENCE,
                "version": "0.4.0",
                "targetNamespace": NS,
                "valuesContent": values,
                "valuesSecrets": [{"name": "connection", "keys": ["values.yaml"]}],
                "failurePolicy": "retry",
                "backOffLimit": 2,
            }
            | spec,
        }
        path = f"{CHARTS}/namespaces/{NS}/helmcharts"
        if self.target.create(path, body).code == 409:
            assert self.target.patch(f"{path}/{NS}", {"spec": body["spec"]}).code == 200

    def told(self) -> list[bool]:
        return [told[-1] for told in self.running.told]

    def install(self, **chart: Any) -> None:
        """Install the chart and have the registry serve."""
        self.put_connection()
        self.put_chart(**chart)
        eventually(self.told)
        self.running.call(self.lab.report_pod, True, "Serving oslo.")
        eventually(self.rolled_out)

    def rolled_out(self) -> bool:
        found = self.read(f"/apis/apps/v1/namespaces/{NS}/deployments/{NS}")
        return bool(found.get("status", {}).get("availableReplicas") == 1)

    def condition(self, kind: str) -> dict[str, str]:
        conditions = self.chart().get("status", {}).get("conditions", [])
        return next((item for item in conditions if item["type"] == kind), {})

    def gave_up(self) -> bool:
        return self.condition("Failed").get("status") == "True"


def release_body(secret: dict[str, Any]) -> Any:
    """Return what helm keeps in a release's Secret."""
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    return json.loads(gzip.decompress(packed))
