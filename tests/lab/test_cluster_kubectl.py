"""kubectl against the lab's cluster."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.cluster_charts import NS, REFERENCE
from tests.lab.cluster_fixtures import RunningCluster, running_cluster
from tests.lab.cluster_target import eventually

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH"),
]
Kubectl = Callable[..., subprocess.CompletedProcess[str]]
CHART = f"""
apiVersion: v1
kind: Secret
metadata: {{name: connection, namespace: {NS}}}
stringData: {{values.yaml: "connectionString: a=b"}}
---
apiVersion: helm.cattle.io/v1
kind: HelmChart
metadata: {{name: {NS}, namespace: {NS}}}
spec:
  chart: {REFERENCE}
  version: 0.4.0
  targetNamespace: {NS}
  valuesContent: "httpEnabled: true"
  valuesSecrets: [{{name: connection, keys: [values.yaml]}}]
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningCluster]:
    with running_cluster(tmp_path) as made:
        yield made


@pytest.fixture
def kubectl(running: RunningCluster, tmp_path: Path) -> Kubectl:
    environment = os.environ | {"KUBECONFIG": str(running.kubeconfig), "HOME": str(tmp_path)}

    def run(*args: str, given: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["kubectl", *args],
            input=given,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.mark.slow
def test_kubectl_creates_applies_patches_and_deletes(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "a")
    kubectl("create", "secret", "generic", "s", "-n", "a", "--from-literal=x=y")
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: a}\ndata: {x: '1'}\n"
    assert "created" in kubectl("apply", "-f", "-", given=body).stdout
    assert "unchanged" in kubectl("apply", "-f", "-", given=body).stdout
    assert "configured" in kubectl("apply", "-f", "-", given=body.replace("'1'", "'2'")).stdout
    read = ("get", "cm", "c", "-n", "a", "-o", "jsonpath={.data.x}")
    assert kubectl(*read).stdout == "2"
    kubectl("patch", "cm", "c", "-n", "a", "-p", '{"data": {"x": "3"}}')
    assert kubectl(*read).stdout == "3"
    assert "secret/s" in kubectl("get", "secrets", "-n", "a", "-o", "name").stdout
    assert "s1" not in kubectl("get", "secret", "never", "-n", "a", code=1).stderr
    assert "deleted" in kubectl("delete", "cm", "c", "-n", "a").stdout
    assert "deleted" in kubectl("delete", "namespace", "a").stdout


@pytest.mark.slow
def test_kubectl_follows_a_chart_to_its_pods(running: RunningCluster, kubectl: Kubectl) -> None:
    kubectl("create", "namespace", NS)
    kubectl("apply", "-f", "-", given=CHART)
    eventually(lambda: running.told)
    running.call(running.lab.report_pod, True, "Serving oslo.")
    rollout = kubectl("rollout", "status", f"deployment/{NS}", "-n", NS, "--timeout=20s")
    assert "successfully rolled out" in rollout.stdout
    job = f"job/helm-install-{NS}"
    kubectl("wait", "--for=condition=complete", job, "-n", NS, "--timeout=20s")
    assert "STATUS: deployed" in kubectl("logs", job, "-n", NS).stdout
    assert "Serving oslo." in kubectl("logs", f"deployment/{NS}", "-n", NS).stdout
    found = json.loads(kubectl("get", "helmchart", NS, "-n", NS, "-o", "json").stdout)
    assert found["status"]["jobName"] == f"helm-install-{NS}"
    assert "Ready" in kubectl("describe", "node", "oslo-1").stdout


def test_kubectl_hears_what_is_not_supported(kubectl: Kubectl) -> None:
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: default}\n"
    told = kubectl("apply", "--server-side", "-f", "-", given=body, code=1).stderr
    assert "server-side apply" in told
