"""The CustomResourceDefinitions of K3s' helm-controller (helm-controller v0.17.7)."""

from collections.abc import Collection

from lab.cluster.kinds import Object

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_REFERENCE = {"type": "object", "properties": {"name": {"type": "string", "default": ""}}}
_ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_VALUES_SECRETS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": _TEXT,
            "keys": {"type": "array", "items": _TEXT},
            "ignoreUpdates": _FLAG,
        },
    },
}
FAILURE_POLICIES = ("abort", "reinstall", "retry")


def chart_definition(
    policies: Collection[str] = FAILURE_POLICIES, without: Collection[str] = ()
) -> Object:
    """Return the definition of HelmChart; older controllers lack some fields and policies."""
    spec: Object = {
        "authPassCredentials": _FLAG,
        "authSecret": _REFERENCE,
        "backOffLimit": {"type": "integer", "format": "int32"},
        "bootstrap": _FLAG,
        "chart": _TEXT,
        "chartContent": _TEXT,
        "createNamespace": _FLAG,
        "dockerRegistrySecret": _REFERENCE,
        "driver": {"type": "string", "enum": ["secret", "configmap"]},
        "failurePolicy": {"type": "string", "enum": list(policies), "default": "reinstall"},
        "forceConflicts": _FLAG,
        "helmVersion": _TEXT,
        "insecureSkipTLSVerify": _FLAG,
        "jobImage": _TEXT,
        "plainHTTP": _FLAG,
        "podSecurityContext": _ANY,
        "repo": _TEXT,
        "repoCA": _TEXT,
        "repoCAConfigMap": _REFERENCE,
        "securityContext": _ANY,
        "serverSide": _TEXT,
        "set": {
            "type": "object",
            "additionalProperties": {"x-kubernetes-int-or-string": True},
        },
        "takeOwnership": _FLAG,
        "targetNamespace": _TEXT,
        "timeout": _TEXT,
        "values": _ANY,
        "valuesContent": _TEXT,
        "valuesSecrets": _VALUES_SECRETS,
        "version": _TEXT,
    }
    status = {
        "type": "object",
        "properties": {
            "jobName": _TEXT,
            "conditions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["status", "type"],
                    "properties": dict.fromkeys(("message", "reason", "status", "type"), _TEXT),
                },
            },
        },
    }
    kept = {key: value for key, value in spec.items() if key not in without}
    return _definition("HelmChart", "helmcharts", kept, status)


def config_definition(policies: Collection[str] = FAILURE_POLICIES) -> Object:
    """Return the definition of HelmChartConfig."""
    spec: Object = {
        "failurePolicy": {"type": "string", "enum": list(policies)},
        "forceConflicts": _FLAG,
        "serverSide": _TEXT,
        "values": _ANY,
        "valuesContent": _TEXT,
        "valuesSecrets": _VALUES_SECRETS,
    }
    return _definition("HelmChartConfig", "helmchartconfigs", spec, None)


def _definition(kind: str, plural: str, spec: Object, status: Object | None) -> Object:
    properties: Object = {
        "apiVersion": _TEXT,
        "kind": _TEXT,
        "metadata": {"type": "object"},
        "spec": {"type": "object", "properties": spec},
    }
    version: Object = {"name": "v1", "served": True, "storage": True}
    if status is not None:
        properties["status"] = status
        version["subresources"] = {"status": {}}
    version["schema"] = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.helm.cattle.io"},
        "spec": {
            "group": "helm.cattle.io",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }
