"""One site's Kubernetes cluster: the objects this program reads and writes, and nothing else."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from clients.cluster_connection import ClusterConnection
from clients.cluster_paths import COORDINATION, CORE, core_path, label_selector, lease_path
from clients.ssh_host import SshHost
from fleet.cluster_errors import ClusterRefusedError, ClusterUnreachableError
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
from fleet.freshness import RunningImage
from fleet.kubeconfig import read_server
from fleet.pulling_pods import PullingPod, created_at
from fleet.running_images import images_of_pods
from fleet.site_lease import LeaseView

_CHARTS = "/apis/helm.cattle.io/v1"
_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/helmcharts.helm.cattle.io"
_RELEASES = "type=helm.sh/release.v1"
_LEASES = f"{COORDINATION}/namespaces/kube-node-lease/leases"


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

    def kubeconfig(self) -> SecretStr:
        """Return a kubeconfig for other programs on this machine, through the same tunnel."""
        return self._api.kubeconfig()

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
        return tuple(NodeState.from_json(item) for item in self._api.list(f"{CORE}/nodes"))

    def read_node(self, name: str) -> NodeState:
        """Return one node with its heartbeat, the renewal of its Lease.

        Raises:
            ClusterRefusedError: There is no node of that name (status 404).
        """
        node = self._api.read(f"{CORE}/nodes/{quote(name)}")
        return NodeState.from_json(node, self._api.find(f"{_LEASES}/{quote(name)}"))

    def list_namespaces(self, labels: Mapping[str, str] | None = None) -> tuple[Meta, ...]:
        """Return the namespaces that carry all the labels."""
        items = self._api.list(f"{CORE}/namespaces", label_selector(labels))
        return tuple(Meta.from_json(item) for item in items)

    def find_namespace(self, name: str) -> Meta | None:
        """Return a namespace, or None."""
        found = self._api.find(f"{CORE}/namespaces/{quote(name)}")
        return Meta.from_json(found) if found else None

    def create_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        """Create a namespace."""
        self._api.create(
            f"{CORE}/namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        )

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace; it is gone once everything in it is."""
        self._api.delete(f"{CORE}/namespaces/{quote(name)}")

    def find_secret(self, namespace: str, name: str) -> SecretView | None:
        """Return a Secret with its values, or None."""
        found = self._api.find(core_path(namespace, "secrets", name))
        return SecretView.from_json(found) if found else None

    def find_secret_time(self, namespace: str, name: str) -> datetime | None:
        """Return when a Secret was created, or None when there is none."""
        return created_at(self._api.find(core_path(namespace, "secrets", name)) or {})

    def list_secrets(self, labels: Mapping[str, str]) -> tuple[SecretView, ...]:
        """Return the Secrets of all namespaces that carry all the labels, with their values."""
        items = self._api.list(f"{CORE}/secrets", label_selector(labels))
        return tuple(SecretView.from_json(item) for item in items)

    def list_secrets_in(self, namespace: str) -> tuple[SecretView, ...]:
        """Return the Secrets of one namespace, with their values."""
        items = self._api.list(core_path(namespace, "secrets"))
        return tuple(SecretView.from_json(item) for item in items)

    def list_secrets_of_type(self, kind: str) -> tuple[SecretView, ...]:
        """Return the Secrets of one type in all namespaces, with their values."""
        items = self._api.list(f"{CORE}/secrets", {"fieldSelector": f"type={kind}"})
        return tuple(SecretView.from_json(item) for item in items)

    def create_secret(self, namespace: str, body: Mapping[str, Any]) -> None:
        """Create a Secret."""
        self._api.create(core_path(namespace, "secrets"), body)

    def patch_secret(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Merge a change into a Secret, in place: its UID stays, which kubelets rely on."""
        self._api.patch(core_path(namespace, "secrets", name), body)

    def delete_secret(self, namespace: str, name: str) -> None:
        """Delete a Secret."""
        self._api.delete(core_path(namespace, "secrets", name))

    def delete_lease(self, namespace: str, name: str) -> None:
        """Delete a Lease."""
        self._api.delete(lease_path(namespace, name))

    def find_lease(self, namespace: str, name: str) -> LeaseView | None:
        """Return a Lease, or None."""
        found = self._api.find(lease_path(namespace, name))
        return LeaseView.from_json(found) if found else None

    def create_lease(self, namespace: str, body: Mapping[str, Any]) -> None:
        """Create a Lease; fails when somebody else was faster."""
        self._api.create(f"{COORDINATION}/namespaces/{quote(namespace)}/leases", body)

    def patch_lease(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Change a Lease; with a resourceVersion in the body, only if nobody else has meanwhile."""
        self._api.patch(lease_path(namespace, name), body)

    def list_releases(self, namespace: str, release: str) -> tuple[Meta, ...]:
        """Return the metadata of a Helm release's Secrets, oldest first; never their content."""
        query = label_selector({"owner": "helm", "name": release})
        items = self._api.list(core_path(namespace, "secrets"), query)
        return tuple(sorted((Meta.from_json(item) for item in items), key=_release_number))

    def find_newest_release(self, namespace: str, release: str) -> SecretView | None:
        """Return the Secret of a Helm release's newest revision, with its content, or None."""
        query = {**label_selector({"owner": "helm", "name": release}), "fieldSelector": _RELEASES}
        items = self._api.list(core_path(namespace, "secrets"), query)
        newest = max(items, key=lambda item: _release_number(Meta.from_json(item)), default=None)
        return SecretView.from_json(newest) if newest else None

    def find_service_account(self, namespace: str, name: str) -> ServiceAccountView | None:
        """Return a ServiceAccount, or None."""
        found = self._api.find(core_path(namespace, "serviceaccounts", name))
        return ServiceAccountView.from_json(found) if found else None

    def patch_service_account(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Merge a change into a ServiceAccount; put the resourceVersion that was read in it."""
        self._api.patch(core_path(namespace, "serviceaccounts", name), body)

    def find_chart(self, namespace: str, name: str) -> ChartView | None:
        """Return a HelmChart, or None."""
        found = self._api.find(f"{_CHARTS}/namespaces/{quote(namespace)}/helmcharts/{quote(name)}")
        return ChartView.from_json(found) if found else None

    def list_charts(self) -> tuple[ChartView, ...]:
        """Return the HelmCharts of all namespaces; none without a helm-controller."""
        return tuple(
            ChartView.from_json(item) for item in self._list_if_any(f"{_CHARTS}/helmcharts")
        )

    def create_chart(self, namespace: str, body: Mapping[str, Any]) -> None:
        """Create a HelmChart."""
        self._api.create(f"{_CHARTS}/namespaces/{quote(namespace)}/helmcharts", body)

    def patch_chart(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Merge a change into a HelmChart."""
        path = f"{_CHARTS}/namespaces/{quote(namespace)}/helmcharts/{quote(name)}"
        self._api.patch(path, body)

    def delete_chart(self, namespace: str, name: str) -> None:
        """Delete a HelmChart; its controller uninstalls the release before it is gone."""
        self._api.delete(f"{_CHARTS}/namespaces/{quote(namespace)}/helmcharts/{quote(name)}")

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
        return tuple(
            PodView.from_json(item) for item in self._api.list(core_path(namespace, "pods"))
        )

    def list_pulling_pods(self, namespace: str) -> tuple[PullingPod, ...]:
        """Return the Pods of a namespace as far as their images matter."""
        return tuple(map(PullingPod.from_json, self._api.list(core_path(namespace, "pods"))))

    def list_running_images(self) -> tuple[RunningImage, ...]:
        """Return the images that pods of all namespaces run, each once."""
        items = self._api.list(f"{CORE}/pods", {"fieldSelector": "status.phase=Running"})
        return images_of_pods(items)

    def read_pod_log(self, namespace: str, name: str, *, lines: int, previous: bool = False) -> str:
        """Return the last lines of a pod's log; empty while there is none to read."""
        query = {"tailLines": str(lines), **({"previous": "true"} if previous else {})}
        try:
            return self._api.read_text(f"{core_path(namespace, 'pods', name)}/log", query)
        except ClusterRefusedError as error:
            if error.status in (400, 404):
                return ""
            raise

    def list_services(self, namespace: str | None = None) -> tuple[ServiceView, ...]:
        """Return the Services of a namespace, or of the cluster."""
        path = core_path(namespace, "services") if namespace else f"{CORE}/services"
        return tuple(ServiceView.from_json(item) for item in self._api.list(path))

    def list_claims(self, namespace: str) -> tuple[ClaimView, ...]:
        """Return the PersistentVolumeClaims of a namespace."""
        items = self._api.list(core_path(namespace, "persistentvolumeclaims"))
        return tuple(ClaimView.from_json(item) for item in items)

    def list_warnings(self, namespace: str) -> tuple[EventView, ...]:
        """Return the Warning events of a namespace."""
        items = self._api.list(core_path(namespace, "events"), {"fieldSelector": "type=Warning"})
        return tuple(EventView.from_json(item) for item in items)

    def _list_if_any(self, path: str) -> list[dict[str, Any]]:
        """Return a list, which is empty when the cluster does not know the kind."""
        try:
            return self._api.list(path)
        except ClusterRefusedError as error:
            if error.status == 404:
                return []
            raise


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


def _release_number(meta: Meta) -> int:
    version = meta.labels.get("version", "0")
    return int(version) if version.isdigit() else 0
