"""The lab's stand-in for Microsoft's connected-registry chart.

The real chart was not available; this one has the values and objects that its documentation shows
(facts/connected-registry.md §5.2, §5.3). It renders no DaemonSet for `trustDistribution` and
nothing of cert-manager, whatever their values say.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from lab.cluster.helm.values import Values
from lab.cluster.kinds import Object

REFERENCE = "oci://mcr.microsoft.com/acr/connected-registry/chart"
VERSIONS = ("0.1.0", "0.2.0", "0.4.0", "0.6.0", "0.6.1", "0.9.0", "1.0.0")
NAME = "connected-registry"
SECRET_KEY = "connectionString"  # noqa: S105 - the name of a key
_CLAIM = "connected-registry-pvc"
_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}

DEFAULTS: Values = {
    "httpEnabled": False,
    "image": "mcr.microsoft.com/acr/connected-registry",
    "service": {"type": "ClusterIP"},
    "pvc": {"storageRequest": "500Gi"},
    "sync": {"chunkSizeInMb": 4},
    "tls": {},
    "cert-manager": {"enabled": True, "install": True},
    "trustDistribution": {"enabled": True},
}
SCHEMA: Values = {
    "type": "object",
    "required": [SECRET_KEY],
    "properties": {
        SECRET_KEY: {"type": "string", "minLength": 1},
        "httpEnabled": _FLAG,
        "image": _TEXT,
        "service": {
            "type": "object",
            "properties": {
                "clusterIP": _TEXT,
                "type": {"type": "string", "enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
            },
        },
        "pvc": {
            "type": "object",
            "properties": {"storageClassName": _TEXT, "storageRequest": _TEXT},
        },
        "sync": {"type": "object", "properties": {"chunkSizeInMb": {"type": "integer"}}},
        "tls": {"type": "object"},
        "cert-manager": {"type": "object", "properties": {"enabled": _FLAG, "install": _FLAG}},
        "trustDistribution": {"type": "object", "properties": {"enabled": _FLAG}},
    },
}


class ChartNotFoundError(Exception):
    """A reference or version nobody offers; the text is helm's."""


@dataclass(frozen=True)
class Chart:
    """One version of the chart."""

    version: str

    def render(self, release: str, namespace: str, values: Values) -> list[Object]:
        """Return the objects of a release, in the order helm creates them."""
        labels = {
            "app.kubernetes.io/name": NAME,
            "app.kubernetes.io/instance": release,
            "app.kubernetes.io/version": self.version,
            "app.kubernetes.io/managed-by": "Helm",
            "helm.sh/chart": f"{NAME}-{self.version}",
        }
        selector = {key: labels[key] for key in list(labels)[:2]}
        objects = [
            _object("v1", "ServiceAccount", release, {}),
            _object("v1", "Secret", release, _secret(values)),
            _object("v1", "PersistentVolumeClaim", _CLAIM, {"spec": _claim(values)}),
            _object("v1", "Service", release, {"spec": _service(values, selector)}),
            _object(
                "apps/v1",
                "Deployment",
                release,
                {"spec": self._deployment(release, values, selector)},
            ),
        ]
        for obj in objects:
            obj["metadata"] |= {"namespace": namespace, "labels": dict(labels)}
        return objects

    def _deployment(self, release: str, values: Values, selector: dict[str, str]) -> Object:
        digest = hashlib.sha256(values[SECRET_KEY].encode()).hexdigest()
        reference = {"secretKeyRef": {"name": release, "key": SECRET_KEY}}
        container = {
            "name": NAME,
            "image": f"{values['image']}:{self.version}",
            "env": [
                {"name": "ACR_REGISTRY_CONNECTION_STRING", "valueFrom": reference},
                {"name": "ACR_REGISTRY_DATA_VOLUME", "value": "/var/acr/data"},
            ],
            "ports": [{"containerPort": 8080 if values["httpEnabled"] else 8443}],
            "volumeMounts": [{"name": "data", "mountPath": "/var/acr/data"}],
        }
        volumes: list[Object] = [
            {"name": "data", "persistentVolumeClaim": {"claimName": _CLAIM}},
            *_certificate_volume(values),
        ]
        return {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": dict(selector), "annotations": {"checksum/secret": digest}},
                "spec": {
                    "serviceAccountName": release,
                    "containers": [container],
                    "volumes": volumes,
                },
            },
        }


def find_chart(reference: str, version: str) -> Chart:
    """Return the chart behind a HelmChart's `chart` and `version`.

    Raises:
        ChartNotFoundError: Nobody offers it.
    """
    if reference != REFERENCE:
        raise ChartNotFoundError(_unknown(reference))
    wanted = version or VERSIONS[-1]
    if wanted not in VERSIONS:
        place = reference.removeprefix("oci://")
        raise ChartNotFoundError(
            f'failed to perform "FetchReference" on source: {place}:{wanted}: not found'
        )
    return Chart(wanted)


def service_port(values: Values) -> int:
    """Return the port on which the registry's Service answers."""
    return 80 if values["httpEnabled"] else 443


def _unknown(reference: str) -> str:
    place = reference.removeprefix("oci://")
    host, _, path = place.partition("/")
    if not reference.startswith("oci://"):
        return f"non-absolute URLs should be in form of repo_name/path_to_chart, got: {reference}"
    if host == "mcr.microsoft.com":
        return f'failed to perform "FetchReference" on source: {place}: not found'
    return (
        f'failed to do request: Head "https://{host}/v2/{path}/manifests/latest": dial tcp: lookup '
        f"{host}: no such host"
    )


def _object(api_version: str, kind: str, name: str, content: dict[str, Any]) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}} | content


def _secret(values: Values) -> Object:
    data = base64.b64encode(values[SECRET_KEY].encode()).decode()
    return {"type": "Opaque", "data": {SECRET_KEY: data}}


def _certificate_volume(values: Values) -> list[Object]:
    """Return the volume of the registry's own certificate, which its pod waits for."""
    name = values["tls"].get("secret")
    if values["httpEnabled"] or not name:
        return []
    items = [{"key": key, "path": key} for key in ("tls.crt", "tls.key")]
    return [{"name": "tls", "secret": {"secretName": name, "items": items}}]


def _claim(values: Values) -> Object:
    pvc = values["pvc"]
    spec: Object = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": pvc["storageRequest"]}},
    }
    if pvc.get("storageClassName"):
        spec["storageClassName"] = pvc["storageClassName"]
    return spec


def _service(values: Values, selector: dict[str, str]) -> Object:
    plain = values["httpEnabled"]
    spec: Object = {
        "type": values["service"]["type"],
        "selector": selector,
        "ports": [
            {
                "name": "http" if plain else "https",
                "port": service_port(values),
                "targetPort": 8080 if plain else 8443,
                "protocol": "TCP",
            }
        ],
    }
    if values["service"].get("clusterIP"):
        spec["clusterIP"] = values["service"]["clusterIP"]
    return spec
