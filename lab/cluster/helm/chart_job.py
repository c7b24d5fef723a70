"""The Job and its helpers that K3s' helm-controller makes for a HelmChart.

Names, labels, environment and hash follow helm-controller v0.17 (pkg/controllers/chart/chart.go):
the hash covers the job's template, the back-off limit and every values Secret; the job's template
carries it as the annotation `SHA256=<64 hex digits>`, and the release's Secret as a label with the
first 63 digits alone, because a label cannot hold more.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lab.cluster.controllers.interface import is_ending, owner_reference
from lab.cluster.helm.releases import CONFIG_HASH
from lab.cluster.kinds import Object

CHART_LABEL = "helmcharts.helm.cattle.io/chart"
_IMAGE = "rancher/klipper-helm:v0.9.14-build20260210"
_BACK_OFF_LIMIT = 1000
_MANAGED_VALUES = "helmcharts.helm.cattle.io/values"


@dataclass(frozen=True)
class ChartSources:
    """A HelmChart with what else decides about its release."""

    chart: Object
    config: Object | None
    secrets: tuple[Object, ...]


@dataclass(frozen=True)
class ChartJob:
    """What the controller applies, and the hash of all that goes into it."""

    job: Object
    helpers: tuple[Object, ...]
    config_hash: str

    @property
    def name(self) -> str:
        """Return the job's name."""
        name: str = self.job["metadata"]["name"]
        return name


def job_name(chart: Object) -> str:
    """Return the name of the job that serves a HelmChart now."""
    action = "delete" if is_ending(chart) else "install"
    return f"helm-{action}-{chart['metadata']['name']}"


def values_secrets(obj: Object | None) -> Iterator[Object]:
    """Return the `valuesSecrets` of a HelmChart or HelmChartConfig that name keys."""
    for entry in ((obj or {}).get("spec") or {}).get("valuesSecrets", ()):
        if entry.get("keys"):
            yield entry


def build(sources: ChartSources) -> ChartJob:
    """Return the job for a HelmChart as it is now."""
    chart = sources.chart
    values = _values_secret(sources)
    template = _template(sources)
    limit = chart["spec"].get("backOffLimit", _BACK_OFF_LIMIT)
    digest = _hash(limit, template, [values, *sources.secrets])
    template["metadata"]["annotations"] = {CONFIG_HASH: f"SHA256={digest}"}
    label = digest[:63]
    template["spec"]["containers"][0]["env"].append({"name": "CONFIG_HASH", "value": label})
    job = _owned(chart, "batch/v1", "Job", job_name(chart))
    job["metadata"]["labels"] = {CHART_LABEL: chart["metadata"]["name"]}
    job["spec"] = {"backoffLimit": limit, "template": template}
    helpers = [_account(chart), _binding(chart)]
    if not is_ending(chart):
        helpers += [values, _content(chart)]
    return ChartJob(job, tuple(helpers), label)


def helper_names(chart: Object) -> Iterator[tuple[str, str | None, str]]:
    """Return kind, namespace and name of everything the controller makes for a HelmChart."""
    name, namespace = chart["metadata"]["name"], chart["metadata"]["namespace"]
    yield "Secret", namespace, f"chart-values-{name}"
    yield "ConfigMap", namespace, f"chart-content-{name}"
    yield "ServiceAccount", namespace, f"helm-{name}"
    yield "ClusterRoleBinding", None, f"helm-{namespace}-{name}"
    yield "Job", namespace, f"helm-install-{name}"
    yield "Job", namespace, f"helm-delete-{name}"


def _owned(chart: Object, api_version: str, kind: str, name: str) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": chart["metadata"]["namespace"],
            "ownerReferences": [owner_reference(chart)],
        },
    }


def _values_secret(sources: ChartSources) -> Object:
    chart = sources.chart
    secret = _owned(chart, "v1", "Secret", f"chart-values-{chart['metadata']['name']}")
    texts = dict(_managed_values(sources))
    return secret | {"type": _MANAGED_VALUES, "stringData": texts}


def _managed_values(sources: ChartSources) -> Iterator[tuple[str, str]]:
    for obj, kind in ((sources.chart, "HelmChart"), (sources.config, "HelmChartConfig")):
        spec = (obj or {}).get("spec") or {}
        if spec.get("valuesContent"):
            yield f"{kind}ValuesContent", spec["valuesContent"]
        if spec.get("values"):
            yield f"{kind}Values", json.dumps(spec["values"])


def _content(chart: Object) -> Object:
    made = _owned(chart, "v1", "ConfigMap", f"chart-content-{chart['metadata']['name']}")
    return made | {"data": {}}


def _account(chart: Object) -> Object:
    made = _owned(chart, "v1", "ServiceAccount", f"helm-{chart['metadata']['name']}")
    return made | {"automountServiceAccountToken": True}


def _binding(chart: Object) -> Object:
    name, namespace = chart["metadata"]["name"], chart["metadata"]["namespace"]
    group = "rbac.authorization.k8s.io"
    account = {"kind": "ServiceAccount", "name": f"helm-{name}", "namespace": namespace}
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"helm-{namespace}-{name}"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [account],
    }


def _template(sources: ChartSources) -> Object:
    chart, spec = sources.chart, sources.chart["spec"]
    name = chart["metadata"]["name"]
    policy = spec.get("failurePolicy") or "reinstall"
    policy = ((sources.config or {}).get("spec") or {}).get("failurePolicy") or policy
    container: Object = {
        "name": "helm",
        "image": spec.get("jobImage") or _IMAGE,
        "args": _args(chart),
        "env": [
            {"name": "NAME", "value": name},
            {"name": "VERSION", "value": spec.get("version", "")},
            {"name": "REPO", "value": spec.get("repo", "")},
            {"name": "HELM_DRIVER", "value": spec.get("driver") or "secret"},
            {"name": "CHART_NAMESPACE", "value": chart["metadata"]["namespace"]},
            {"name": "CHART", "value": spec["chart"]},
            {"name": "TARGET_NAMESPACE", "value": target_namespace(chart)},
            {"name": "FAILURE_POLICY", "value": policy},
        ],
    }
    volumes: list[Object] = [{"name": "tmp", "emptyDir": {"medium": "Memory"}}]
    if not is_ending(chart):
        volumes.append({"name": "values", "projected": {"sources": _value_sources(sources)}})
        container["volumeMounts"] = [{"name": "values", "mountPath": "/config"}]
    return {
        "metadata": {"labels": {CHART_LABEL: name}},
        "spec": {
            "restartPolicy": "OnFailure",
            "serviceAccountName": f"helm-{name}",
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "containers": [container],
            "volumes": volumes,
        },
    }


def target_namespace(chart: Object) -> str:
    """Return the namespace a HelmChart's release goes into."""
    found: str = chart["spec"].get("targetNamespace") or chart["metadata"]["namespace"]
    return found


def _value_sources(sources: ChartSources) -> list[Object]:
    managed = f"chart-values-{sources.chart['metadata']['name']}"
    items = [{"key": key, "path": _PATHS[key]} for key, _ in _managed_values(sources)]
    found: list[Object] = [{"secret": {"name": managed, "items": items}}]
    for rank, obj in enumerate((sources.chart, sources.config)):
        number = 1
        for entry in values_secrets(obj):
            kind = ("HelmChart", "HelmChartConfig")[rank]
            listed = []
            for key in entry["keys"]:
                number += 1
                path = f"values-{rank}-{number:03}-{kind}-ValuesSecret.yaml"
                listed.append({"key": key, "path": path})
            source = {"name": entry["name"], "items": listed}
            source["optional"] = entry.get("ignoreUpdates", False)
            found.append({"secret": source})
    return found


_PATHS = {
    "HelmChartValuesContent": "values-0-000-HelmChart-ValuesContent.yaml",
    "HelmChartValues": "values-0-001-HelmChart-Values.yaml",
    "HelmChartConfigValuesContent": "values-1-000-HelmChartConfig-ValuesContent.yaml",
    "HelmChartConfigValues": "values-1-001-HelmChartConfig-Values.yaml",
}


def _args(chart: Object) -> list[str]:
    if is_ending(chart):
        return ["delete"]
    spec = chart["spec"]
    args = ["install"]
    if spec.get("targetNamespace"):
        args += ["--namespace", spec["targetNamespace"]]
    if spec.get("createNamespace"):
        args.append("--create-namespace")
    if spec.get("takeOwnership"):
        args.append("--take-ownership")
    if spec.get("version"):
        args += ["--version", spec["version"]]
    for key, value in sorted(spec.get("set", {}).items()):
        typed = isinstance(value, int) or value.lower() in {"true", "false", "null"}
        args += ["--set" if typed else "--set-string", f"{key}={value}"]
    return args


def _hash(limit: int, template: Object, secrets: Iterable[Object]) -> str:
    digest = hashlib.sha256(f"{limit}{json.dumps(template, sort_keys=True)}".encode())
    for secret in secrets:
        content: dict[str, Any] = secret.get("data") or secret.get("stringData") or {}
        digest.update(json.dumps(content, sort_keys=True).encode())
    return digest.hexdigest().upper()
