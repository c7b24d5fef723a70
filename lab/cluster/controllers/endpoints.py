"""Endpoints of Services, and the addresses K3s' servicelb gives to LoadBalancers."""

from collections.abc import Iterable

from lab.cluster.controllers.conditions import has_condition
from lab.cluster.controllers.interface import Api, Event, Key, is_ending
from lab.cluster.kinds import Object
from lab.cluster.selection import matches_labels


class EndpointLists:
    """Lists the ready pods behind each Service."""

    def __init__(self, api: Api) -> None:
        """Work on `api`."""
        self._api = api
        self._services: set[Key] = set()

    def keys(self, event: Event) -> Iterable[Key]:
        """Look at Services, and at all of a namespace when one of its pods changes."""
        if event.kind == "Service":
            (self._services.discard if event.type == "DELETED" else self._services.add)(event.key)
            yield event.key
        elif event.kind == "Pod":
            yield from [key for key in self._services if key[0] == event.key[0]]

    async def reconcile(self, key: Key) -> float | None:
        """Write the Endpoints of one Service."""
        service = await self._api.find("Service", *key)
        current = await self._api.find("Endpoints", *key)
        if service is None:
            if current is not None:
                await self._api.delete("Endpoints", *key)
            return None
        selector = service["spec"].get("selector")
        if not selector:
            return None
        pods = [
            pod
            for pod in await self._api.select("Pod", key[0])
            if matches_labels(selector, pod["metadata"].get("labels")) and not is_ending(pod)
        ]
        await self._write(service, current, _subsets(service, pods))
        if service["spec"]["type"] == "LoadBalancer":
            await self._give_addresses(service)
        return None

    async def _write(self, service: Object, current: Object | None, subsets: list[Object]) -> None:
        if current is None:
            metadata = service["metadata"]
            await self._api.create(
                {
                    "apiVersion": "v1",
                    "kind": "Endpoints",
                    "metadata": {
                        "name": metadata["name"],
                        "namespace": metadata["namespace"],
                        "labels": metadata.get("labels", {}),
                    },
                    "subsets": subsets,
                }
            )
        elif current.get("subsets", []) != subsets:
            await self._api.update(current | {"subsets": subsets})

    async def _give_addresses(self, service: Object) -> None:
        nodes = await self._api.select("Node")
        found = [
            {"ip": address["address"], "ipMode": "VIP"}
            for node in nodes
            if has_condition(node, "Ready")
            for address in node["status"]["addresses"]
            if address["type"] == "InternalIP"
        ]
        status = {"loadBalancer": {"ingress": found}}
        if service.get("status") != status:
            await self._api.update_status(service | {"status": status})


def _subsets(service: Object, pods: list[Object]) -> list[Object]:
    ready = [_address(pod) for pod in pods if has_condition(pod, "Ready")]
    waiting = [
        _address(pod)
        for pod in pods
        if not has_condition(pod, "Ready") and pod["status"].get("podIP")
    ]
    if not ready and not waiting:
        return []
    ports = [
        {key: port[key] for key in ("name", "protocol") if key in port}
        | {"port": port["targetPort"] if isinstance(port["targetPort"], int) else port["port"]}
        for port in service["spec"]["ports"]
    ]
    subset: Object = {"ports": ports}
    if ready:
        subset["addresses"] = ready
    if waiting:
        subset["notReadyAddresses"] = waiting
    return [subset]


def _address(pod: Object) -> Object:
    metadata = pod["metadata"]
    return {
        "ip": pod["status"]["podIP"],
        "nodeName": pod["spec"]["nodeName"],
        "targetRef": {
            "kind": "Pod",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
    }
