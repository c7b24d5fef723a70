"""The work pool and the worker for Kubernetes, held against Prefect's own models."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

DEPLOYMENTS = Path(__file__).parents[2] / "deployments"
TEMPLATE: dict[str, Any] = json.loads(
    (DEPLOYMENTS / "kubernetes/base-job-template.json").read_text()
)
WORKER = {
    f"{one['kind']}/{one['metadata']['name']}": one
    for one in yaml.safe_load_all((DEPLOYMENTS / "kubernetes/worker.yaml").read_text())
}


@pytest.fixture
def job() -> dict[str, Any]:
    """The Job as the worker makes it for a run, blocks and variables aside: those need a server."""
    from prefect.client.schemas.objects import FlowRun
    from prefect.utilities.templating import apply_values
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    properties = TEMPLATE["variables"]["properties"]
    values = {name: one["default"] for name, one in properties.items() if "default" in one}
    filled = apply_values(TEMPLATE["job_configuration"], {**values, "env": {"EXTRA": "1"}})
    configuration = KubernetesWorkerJobConfiguration(**filled)
    configuration.prepare_for_flow_run(
        FlowRun(id=uuid4(), flow_id=uuid4(), name="onboard oslo to rotterdam (10 sites)")
    )
    made: dict[str, Any] = configuration.job_manifest
    return made


def test_the_template_has_every_variable_of_the_installed_version() -> None:
    from prefect_kubernetes.worker import KubernetesWorker

    default = KubernetesWorker.get_default_base_job_template()["variables"]["properties"]
    ours = TEMPLATE["variables"]["properties"]
    assert ours.keys() == default.keys()
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(TEMPLATE["job_configuration"])))
    assert used <= ours.keys()


def test_a_server_takes_the_template_for_a_pool() -> None:
    from prefect.client.schemas.actions import WorkPoolCreate

    pool = WorkPoolCreate(name="edge-kubernetes", type="kubernetes", base_job_template=TEMPLATE)
    assert pool.base_job_template == TEMPLATE


def test_a_run_becomes_a_job_of_one_pod_that_is_not_started_twice(job: dict[str, Any]) -> None:
    assert job["metadata"]["namespace"] == "acrfleet"
    spec = job["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    (container,) = spec["template"]["spec"]["containers"]
    assert container["args"] == ["prefect", "flow-run", "execute"]
    assert container["image"] == "registry.example/acrfleet:latest"
    assert {"name": "EXTRA", "value": "1"} in container["env"]


def test_a_pod_has_what_a_run_needs_and_no_rights_beyond(job: dict[str, Any]) -> None:
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["serviceAccountName"] == "acrfleet-run"
    assert container["envFrom"] == [{"secretRef": {"name": "acrfleet-worker"}}]
    mounts = {one["name"]: one for one in container["volumeMounts"]}
    assert mounts.keys() == {one["name"] for one in pod["volumes"]}
    assert mounts["ssh"]["readOnly"] is True
    assert container["securityContext"]["runAsNonRoot"] is True
    account = WORKER["ServiceAccount/acrfleet-run"]
    assert account["automountServiceAccountToken"] is False


def test_what_kubernetes_knows_as_a_pod_is_all_that_a_pod_holds(job: dict[str, Any]) -> None:
    """The API server drops a field that it does not know.

    Prefect insists on two in the pod that belong to the Job, where they have these defaults anyway.
    """
    from kubernetes import client

    pod = job["spec"]["template"]["spec"]
    assert (pod.pop("completions"), pod.pop("parallelism")) == (1, 1)
    with client.ApiClient(client.Configuration()) as api:
        models = {"Job": client.V1Job, "Role": client.V1Role, "Deployment": client.V1Deployment}
        for one in (job, *WORKER.values()):
            model = models.get(one["kind"])
            if model is None:
                continue
            read = api._ApiClient__deserialize(one, model)
            assert api.sanitize_for_serialization(read) == one


def test_pods_may_have_a_workload_identity(job: dict[str, Any]) -> None:
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["azure.workload.identity/use"] == "true"


def test_jobs_name_the_secret_of_the_login_and_do_not_hold_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from prefect_kubernetes.settings import KubernetesSettings

    (container,) = WORKER["Deployment/acrfleet-worker"]["spec"]["template"]["spec"]["containers"]
    for one in container["env"]:
        monkeypatch.setenv(one["name"], one["value"])
    worker = KubernetesSettings().worker
    assert worker.api_auth_string_secret_name == "acrfleet-worker"
    example = (DEPLOYMENTS / "worker/worker.env.example").read_text()
    assert f"\n{worker.api_auth_string_secret_key}=" in example


def test_the_worker_may_do_what_it_does_to_jobs_and_nothing_to_secrets() -> None:
    rules = WORKER["Role/acrfleet-worker"]["rules"]
    verbs = {resource: set(rule["verbs"]) for rule in rules for resource in rule["resources"]}
    assert {"create", "get", "list", "watch", "delete"} <= verbs["jobs"]
    assert {"get", "list", "watch"} <= verbs["pods"]
    assert "secrets" not in verbs
    binding = WORKER["RoleBinding/acrfleet-worker"]
    assert binding["subjects"][0]["name"] == "acrfleet-worker"
    deployment = WORKER["Deployment/acrfleet-worker"]["spec"]["template"]["spec"]
    assert deployment["serviceAccountName"] == "acrfleet-worker"
    assert (
        deployment["containers"][0]["image"]
        == TEMPLATE["variables"]["properties"]["image"]["default"]
    )
