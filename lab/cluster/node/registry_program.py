"""The connected registry's pod: what runs in it is the world's business."""

from collections.abc import Callable
from typing import Any

from lab.cluster.helm.charts import service_port
from lab.cluster.helm.engine import full_values
from lab.cluster.helm.releases import TYPE, decode_release
from lab.cluster.kinds import Object
from lab.cluster.node.containers import Container
from lab.cluster.object_api import ObjectApi

Workload = Callable[[dict[str, Any], str, str, str, int, bool], None]
_LABEL = "app.kubernetes.io/name"
_NAME = "connected-registry"


def is_registry(pod: Object) -> bool:
    """Return whether a pod is a connected registry's."""
    labels = pod["metadata"].get("labels", {})
    return bool(labels.get(_LABEL) == _NAME and "pod-template-hash" in labels)


class RegistryProgram:
    """Tells the world to run, and to stop, what the release's values describe."""

    def __init__(self, api: ObjectApi, workload: Workload) -> None:
        """Read releases from `api`; tell `workload`."""
        self._api = api
        self._workload = workload
        self._told: tuple[dict[str, Any], str, str, str, int] | None = None

    def start(self, container: Container) -> None:
        """Have the world run the registry; without its release the pod fails with words."""
        metadata = container.pod["metadata"]
        namespace, name = metadata["namespace"], metadata["labels"]["app.kubernetes.io/instance"]
        values = self._values(namespace, name)
        service = self._api.store.find(self._api.kinds.named("Service"), namespace, name)
        if values is None or service is None:
            container.log(f"no deployed release {name} with a Service in {namespace}")
            container.exit(1)
            return
        address = service["spec"]["clusterIP"]
        self._told = (values, namespace, name, address, service_port(values))
        self._workload(*self._told, True)

    def stop(self) -> None:
        """Have the world stop it."""
        if self._told is not None:
            self._workload(*self._told, False)
            self._told = None

    def _values(self, namespace: str, name: str) -> dict[str, Any] | None:
        found = [
            decode_release(secret)
            for secret in self._api.store.each(self._api.kinds.named("Secret"), namespace)
            if secret["type"] == TYPE and secret["metadata"]["labels"].get("name") == name
        ]
        if not found:
            return None
        return full_values(max(found, key=lambda release: release.revision))
