"""One site's Kubernetes cluster: the objects this program reads and writes, and nothing else."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from clients.cluster_connection import ClusterConnection
from clients.ssh_host import SshHost
from fleet.cluster_objects import (
    ChartView,
    ClaimView,
    DeploymentView,
    EventView,
    JobView,
    Meta,
    NodeState,
    PodView,
    SecretView,
    ServiceAccountView,
    ServiceView,
)
from fleet.errors import ClusterRefusedError, ClusterUnreachableError
from fleet.kubeconfig import read_server

_CORE = "/api/v1"
_CHARTS = "/apis/helm.cattle.io/v1"
_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/helmcharts.helm.cattle.io"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


class Cluster:
    """The cluster behind one connection. Every method is one request, lists aside.

    Raises:
        ClusterUnreachableError: From any method: no answer, or one that says to try later.
        ClusterChangedError: From writes: somebody else wrote the object since it was read.
        ClusterRefusedError: From any method: the API's own reason and message.
    """

    def __init__(self, connection: ClusterConnection) -> None:
        self._api = connection

    def close(self) -> None:
        """Drop the connections."""
        self._api.close()

    def is_ready(self) -> bool:
        """Return whether the API server says that it is ready; no answer is no."""
        try:
            return self._api.read_text("/readyz").strip() == "ok"
        except (ClusterUnreachableError, ClusterRefusedError):
            return False

    def read_version(self) -> str:
        """Return the server's version, for example v1.33.4+k3s1."""
        return str(self._api.read("/version").get("gitVersion", "unknown"))

    def find_chart_definition(self) -> dict[str, Any] | None:
        """Return the CustomResourceDefinition of HelmChart, or None without a helm-controller."""
        return self._api.find(_CRD)

    def list_storage_classes(self) -> tuple[str, ...]:
        """Return the names of the storage classes."""
        items = self._api.list("/apis/storage.k8s.io/v1/storageclasses")
        return tuple(Meta.from_json(item).name for item in items)

    def list_nodes(self) -> tuple[NodeState, ...]:
        """Return all nodes, without their heartbeats."""
        return tuple(NodeState.from_json(item) for item in self._api.list(f"{_CORE}/nodes"))

    def read_node(self, name: str) -> NodeState:
        """Return one node with its heartbeat, the renewal of its Lease.

        Raises:
            ClusterRefusedError: There is no node of that name (status 404).
        """
        node = self._api.read(f"{_CORE}/nodes/{quote(name)}")
        return NodeState.from_json(node, self._api.find(f"{_LEASES}/{quote(name)}"))

    def list_namespaces(self, labels: Mapping[str, str] | None = None) -> tuple[Meta, ...]:
        """Return the namespaces that carry all the labels."""
        items = self._api.list(f"{_CORE}/namespaces", _selector(labels))
        return tuple(Meta.from_json(item) for item in items)

    def find_namespace(self, name: str) -> Meta | None:
        """Return a namespace, or None."""
        found = self._api.find(f"{_CORE}/namespaces/{quote(name)}")
        return Meta.from_json(found) if found else None

    def create_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        """Create a namespace."""
        self._api.create(
            f"{_CORE}/namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        )

    def find_secret(self, namespace: str, name: str) -> SecretView | None:
        """Return a Secret with its values, or None."""
        found = self._api.find(_core(namespace, "secrets", name))
        return SecretView.from_json(found) if found else None

    def list_secrets(self, labels: Mapping[str, str]) -> tuple[SecretView, ...]:
        """Return the Secrets of all namespaces that carry all the labels, with their values."""
        items = self._api.list(f"{_CORE}/secrets", _selector(labels))
        return tuple(SecretView.from_json(item) for item in items)

    def create_secret(self, namespace: str, body: Mapping[str, Any]) -> None:
        """Create a Secret."""
        self._api.create(_core(namespace, "secrets"), body)

    def patch_secret(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Merge a change into a Secret, in place: its UID stays, which kubelets rely on."""
        self._api.patch(_core(namespace, "secrets", name), body)

    def delete_secret(self, namespace: str, name: str) -> None:
        """Delete a Secret."""
        self._api.delete(_core(namespace, "secrets", name))

    def list_releases(self, namespace: str, release: str) -> tuple[Meta, ...]:
        """Return the metadata of a Helm release's Secrets, oldest first; never their content."""
        query = _selector({"owner": "helm", "name": release})
        items = self._api.list(_core(namespace, "secrets"), query)
        return tuple(sorted((Meta.from_json(item) for item in items), key=_release_number))

    def find_service_account(self, namespace: str, name: str) -> ServiceAccountView | None:
        """Return a ServiceAccount, or None."""
        found = self._api.find(_core(namespace, "serviceaccounts", name))
        return ServiceAccountView.from_json(found) if found else None

    def patch_service_account(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Merge a change into a ServiceAccount; put the resourceVersion that was read in it."""
        self._api.patch(_core(namespace, "serviceaccounts", name), body)

    def find_chart(self, namespace: str, name: str) -> ChartView | None:
        """Return a HelmChart, or None."""
        found = self._api.find(f"{_CHARTS}/namespaces/{quote(namespace)}/helmcharts/{quote(name)}")
        return ChartView.from_json(found) if found else None

    def create_chart(self, namespace: str, body: Mapping[str, Any]) -> None:
        """Create a HelmChart."""
        self._api.create(f"{_CHARTS}/namespaces/{quote(namespace)}/helmcharts", body)

    def patch_chart(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Merge a change into a HelmChart."""
        path = f"{_CHARTS}/namespaces/{quote(namespace)}/helmcharts/{quote(name)}"
        self._api.patch(path, body)

    def find_job(self, namespace: str, name: str) -> JobView | None:
        """Return a Job, or None."""
        found = self._api.find(f"/apis/batch/v1/namespaces/{quote(namespace)}/jobs/{quote(name)}")
        return JobView.from_json(found) if found else None

    def list_deployments(self, namespace: str) -> tuple[DeploymentView, ...]:
        """Return the Deployments of a namespace."""
        items = self._api.list(f"/apis/apps/v1/namespaces/{quote(namespace)}/deployments")
        return tuple(DeploymentView.from_json(item) for item in items)

    def list_pods(self, namespace: str) -> tuple[PodView, ...]:
        """Return the Pods of a namespace."""
        return tuple(PodView.from_json(item) for item in self._api.list(_core(namespace, "pods")))

    def read_pod_log(self, namespace: str, name: str, *, lines: int, previous: bool = False) -> str:
        """Return the last lines of a pod's log; empty while there is none to read."""
        query = {"tailLines": str(lines), **({"previous": "true"} if previous else {})}
        try:
            return self._api.read_text(f"{_core(namespace, 'pods', name)}/log", query)
        except ClusterRefusedError as error:
            if error.status in (400, 404):
                return ""
            raise

    def list_services(self, namespace: str | None = None) -> tuple[ServiceView, ...]:
        """Return the Services of a namespace, or of the cluster."""
        path = _core(namespace, "services") if namespace else f"{_CORE}/services"
        return tuple(ServiceView.from_json(item) for item in self._api.list(path))

    def list_claims(self, namespace: str) -> tuple[ClaimView, ...]:
        """Return the PersistentVolumeClaims of a namespace."""
        items = self._api.list(_core(namespace, "persistentvolumeclaims"))
        return tuple(ClaimView.from_json(item) for item in items)

    def list_warnings(self, namespace: str) -> tuple[EventView, ...]:
        """Return the Warning events of a namespace."""
        items = self._api.list(_core(namespace, "events"), {"fieldSelector": "type=Warning"})
        return tuple(EventView.from_json(item) for item in items)


@contextmanager
def open_cluster(kubeconfig: str, host: SshHost | None = None) -> Iterator[Cluster]:
    """Open a site's cluster, through SSH where a host is given, and close it at the end.

    The forwarded address is the one that the kubeconfig names, as seen from the host.
    """
    if host is None:
        with ClusterConnection(kubeconfig) as connection:
            yield Cluster(connection)
        return
    server = read_server(kubeconfig)
    with (
        host.forward(server.host, server.port) as tunnel,
        ClusterConnection(kubeconfig, local_port=tunnel.port) as connection,
    ):
        yield Cluster(connection)


def _core(namespace: str, kind: str, name: str | None = None) -> str:
    path = f"{_CORE}/namespaces/{quote(namespace)}/{kind}"
    return f"{path}/{quote(name)}" if name is not None else path


def _selector(labels: Mapping[str, str] | None) -> dict[str, str]:
    if not labels:
        return {}
    return {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}


def _release_number(meta: Meta) -> int:
    version = meta.labels.get("version", "0")
    return int(version) if version.isdigit() else 0
