"""Deployments make ReplicaSets, ReplicaSets make Pods."""

import hashlib
import json
from collections.abc import Iterable

from lab.clock import Clock
from lab.cluster.controllers.conditions import has_condition, set_condition
from lab.cluster.controllers.events import Recorder
from lab.cluster.controllers.interface import (
    Api,
    Event,
    Key,
    is_ending,
    is_owned_by,
    key_of,
    owner_keys,
    owner_reference,
)
from lab.cluster.errors import ApiError
from lab.cluster.kinds import Object
from lab.cluster.metadata import random_suffix
from lab.cluster.store import clone

_HASH = "pod-template-hash"
_REVISION = "deployment.kubernetes.io/revision"


class Deployments:
    """Keeps one ReplicaSet per pod template, the newest one scaled up."""

    def __init__(self, api: Api, clock: Clock) -> None:
        """Work on `api`."""
        self._api = api
        self._clock = clock

    def keys(self, event: Event) -> Iterable[Key]:
        """Look at Deployments and at the owners of ReplicaSets."""
        if event.kind == "Deployment":
            yield event.key
        elif event.kind == "ReplicaSet":
            yield from owner_keys(event.object, "Deployment")

    async def reconcile(self, key: Key) -> float | None:
        """Roll out the newest template, then write down how far it is."""
        deployment = await self._api.find("Deployment", *key)
        if deployment is None or is_ending(deployment):
            return None
        owned = [
            item
            for item in await self._api.select("ReplicaSet", key[0])
            if is_owned_by(item, deployment)
        ]
        wanted = _template_hash(deployment)
        newest = next((s for s in owned if s["metadata"]["labels"].get(_HASH) == wanted), None)
        older = [item for item in owned if item is not newest]
        await self._roll_out(deployment, newest, older)
        await self._write_status(deployment, newest, older)
        return None

    async def _roll_out(
        self, deployment: Object, newest: Object | None, older: list[Object]
    ) -> None:
        spec = deployment["spec"]
        recreate = spec["strategy"]["type"] == "Recreate"
        ready = newest is not None and _ready(newest) >= spec["replicas"]
        for item in older:
            if item["spec"]["replicas"] and (recreate or ready):
                item["spec"]["replicas"] = 0
                await self._api.update(item)
        if recreate and any(item["status"].get("replicas") for item in older):
            return
        if newest is None:
            await self._api.create(_replica_set(deployment, len(older) + 1))
        elif newest["spec"]["replicas"] != spec["replicas"]:
            newest["spec"]["replicas"] = spec["replicas"]
            await self._api.update(newest)

    async def _write_status(
        self, deployment: Object, newest: Object | None, older: list[Object]
    ) -> None:
        wanted, now = deployment["spec"]["replicas"], self._clock.now()
        every = [*older, *([newest] if newest else [])]
        total = sum(item["status"].get("replicas", 0) for item in every)
        ready = sum(_ready(item) for item in every)
        counts = {
            "replicas": total,
            "updatedReplicas": newest["status"].get("replicas", 0) if newest else 0,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(wanted - ready, 0),
        }
        status = {"observedGeneration": deployment["metadata"]["generation"]}
        status |= {key: value for key, value in counts.items() if value}
        status["conditions"] = clone(deployment["status"].get("conditions", []))
        done = ready >= wanted
        set_condition(
            status,
            "Available",
            "True" if done else "False",
            now,
            "MinimumReplicasAvailable" if done else "MinimumReplicasUnavailable",
            f"Deployment {'has' if done else 'does not have'} minimum availability.",
        )
        set_condition(
            status,
            "Progressing",
            "True",
            now,
            "NewReplicaSetAvailable" if done else "ReplicaSetUpdated",
        )
        if status != deployment["status"]:
            fresh = await self._api.find("Deployment", *key_of(deployment))
            if fresh is not None:
                await self._api.update_status(fresh | {"status": status})


class ReplicaSets:
    """Keeps as many Pods as a ReplicaSet asks for."""

    def __init__(self, api: Api, recorder: Recorder) -> None:
        """Work on `api`; tell about refused pods through `recorder`."""
        self._api = api
        self._recorder = recorder

    def keys(self, event: Event) -> Iterable[Key]:
        """Look at ReplicaSets and at the owners of Pods."""
        if event.kind == "ReplicaSet":
            yield event.key
        elif event.kind == "Pod":
            yield from owner_keys(event.object, "ReplicaSet")

    async def reconcile(self, key: Key) -> float | None:
        """Create or delete pods, then count them."""
        owner = await self._api.find("ReplicaSet", *key)
        if owner is None or is_ending(owner):
            return None
        pods = [p for p in await self._api.select("Pod", key[0]) if is_owned_by(p, owner)]
        staying = [pod for pod in pods if not is_ending(pod)]
        wanted = owner["spec"]["replicas"]
        for pod in staying[wanted:]:
            await self._api.delete("Pod", key[0], pod["metadata"]["name"])
        refused = False
        for _ in range(wanted - len(staying)):
            refused |= not await self._create_pod(owner)
        await self._write_status(owner)
        return 0.5 if refused else None

    async def _create_pod(self, owner: Object) -> bool:
        template = clone(owner["spec"]["template"])
        name = f"{owner['metadata']['name']}-{random_suffix()}"
        metadata = template.get("metadata", {}) | {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "ownerReferences": [owner_reference(owner)],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        try:
            await self._api.create(pod)
        except ApiError as error:
            await self._recorder.warning(owner, "FailedCreate", f"Error creating: {error}")
            return False
        await self._recorder.normal(owner, "SuccessfulCreate", f"Created pod: {name}")
        return True

    async def _write_status(self, owner: Object) -> None:
        namespace = owner["metadata"]["namespace"]
        pods = [p for p in await self._api.select("Pod", namespace) if is_owned_by(p, owner)]
        ready = sum(has_condition(pod, "Ready") and not is_ending(pod) for pod in pods)
        counts = {"fullyLabeledReplicas": len(pods), "readyReplicas": ready}
        counts["availableReplicas"] = ready
        status = {
            "observedGeneration": owner["metadata"]["generation"],
            "replicas": len(pods),
        } | {key: value for key, value in counts.items() if value}
        if status != owner["status"]:
            await self._api.update_status(owner | {"status": status})


def _ready(replica_set: Object) -> int:
    count: int = replica_set["status"].get("readyReplicas", 0)
    return count


def _template_hash(deployment: Object) -> str:
    text = json.dumps(deployment["spec"]["template"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _replica_set(deployment: Object, revision: int) -> Object:
    metadata, spec = deployment["metadata"], deployment["spec"]
    template, digest = clone(spec["template"]), _template_hash(deployment)
    template.setdefault("metadata", {}).setdefault("labels", {})[_HASH] = digest
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{digest}",
            "namespace": metadata["namespace"],
            "labels": dict(template["metadata"]["labels"]),
            "annotations": {_REVISION: str(revision)},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": spec["replicas"],
            "selector": {"matchLabels": spec["selector"]["matchLabels"] | {_HASH: digest}},
            "template": template,
        },
    }
