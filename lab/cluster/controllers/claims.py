"""Volume claims: K3s' local-path class binds a claim once a pod that uses it has a node."""

from collections.abc import Iterable

from lab.cluster.controllers.events import Recorder
from lab.cluster.controllers.interface import Api, Event, Key, is_ending
from lab.cluster.kinds import Object

_WAITING = "waiting for first consumer to be created before binding"


class Claims:
    """Provisions volumes for claims whose storage class exists; drops them when claims go."""

    def __init__(self, api: Api, recorder: Recorder, bind_seconds: float) -> None:
        """Bind a claim `bind_seconds` after it can be bound."""
        self._api = api
        self._recorder = recorder
        self._bind_seconds = bind_seconds
        self._due: set[str] = set()

    def keys(self, event: Event) -> Iterable[Key]:
        """Look at claims, and at those that scheduled pods use."""
        if event.kind == "PersistentVolumeClaim":
            yield event.key
        elif event.kind == "Pod" and event.object["spec"].get("nodeName"):
            for name in claims_of(event.object):
                yield event.key[0], name

    async def reconcile(self, key: Key) -> float | None:
        """Bind a claim when its time has come."""
        claim = await self._api.find("PersistentVolumeClaim", *key)
        if claim is None:
            await self._drop_volumes(key)
            return None
        if claim["status"].get("phase") == "Bound" or is_ending(claim):
            return None
        name = claim["spec"].get("storageClassName", "")
        storage_class = await self._api.find("StorageClass", None, name) if name else None
        if storage_class is None:
            text = f'storageclass.storage.k8s.io "{name}" not found'
            await self._recorder.warning(claim, "ProvisioningFailed", text)
            return 1.0
        waits = storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
        node = await self._node_of(key)
        if waits and not node:
            await self._recorder.normal(claim, "WaitForFirstConsumer", _WAITING)
            return None
        uid = claim["metadata"]["uid"]
        if uid not in self._due:
            self._due.add(uid)
            return self._bind_seconds
        await self._bind(claim, storage_class, node)
        return None

    async def _node_of(self, key: Key) -> str:
        """Return the node of a scheduled pod that uses the claim, or an empty text."""
        for pod in await self._api.select("Pod", key[0]):
            if key[1] in claims_of(pod) and pod["spec"].get("nodeName"):
                return str(pod["spec"]["nodeName"])
        return ""

    async def _bind(self, claim: Object, storage_class: Object, node: str) -> None:
        metadata, spec = claim["metadata"], claim["spec"]
        name = f"pvc-{metadata['uid']}"
        capacity = {"storage": spec["resources"]["requests"]["storage"]}
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        }
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "accessModes": spec["accessModes"],
                "capacity": capacity,
                "claimRef": reference,
                "persistentVolumeReclaimPolicy": storage_class["reclaimPolicy"],
                "storageClassName": storage_class["metadata"]["name"],
                "local": {"path": f"/var/lib/rancher/k3s/storage/{name}"},
                "nodeAffinity": _only(node),
            },
        }
        made = await self._api.create(volume)
        await self._api.update_status(made | {"status": {"phase": "Bound"}})
        spec["volumeName"] = name
        bound = await self._api.update(claim)
        status = {"phase": "Bound", "capacity": capacity, "accessModes": spec["accessModes"]}
        await self._api.update_status(bound | {"status": status})

    async def _drop_volumes(self, key: Key) -> None:
        for volume in await self._api.select("PersistentVolume"):
            reference = volume["spec"].get("claimRef", {})
            if (reference.get("namespace"), reference.get("name")) != key:
                continue
            if volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
                await self._api.delete("PersistentVolume", None, volume["metadata"]["name"])
            elif volume["status"].get("phase") != "Released":
                await self._api.update_status(volume | {"status": {"phase": "Released"}})


def _only(node: str) -> Object:
    """Return the affinity without which a real API server refuses a local volume."""
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}


def claims_of(pod: Object) -> set[str]:
    """Return the names of the claims a pod mounts."""
    volumes = pod["spec"].get("volumes", ())
    return {
        v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v
    }
