"""What a pod needs before its container can start: volumes, Secrets, ConfigMaps."""

from collections.abc import Iterator
from dataclasses import dataclass

from lab.cluster.controllers.claims import claims_of
from lab.cluster.controllers.interface import Api
from lab.cluster.kinds import Object

_CLAIM_FIELD = "persistentVolumeClaim"


@dataclass(frozen=True)
class Lack:
    """Something that is missing. `volume` is its volume, or None when the environment needs it."""

    words: str
    volume: str | None


@dataclass(frozen=True)
class _Reference:
    kind: str
    name: str
    keys: tuple[str, ...]
    volume: str | None


async def find_lack(api: Api, pod: Object) -> Lack | None:
    """Return the first thing that keeps a scheduled pod from starting, in the kubelet's words."""
    namespace = pod["metadata"]["namespace"]
    for name in sorted(claims_of(pod)):
        claim = await api.find("PersistentVolumeClaim", namespace, name)
        if claim is None or claim["status"].get("phase") != "Bound":
            return Lack(f'persistentvolumeclaim "{name}" is not bound', name)
    for reference in (*_of_volumes(pod), *_of_environment(pod)):
        words = await _missing(api, namespace, reference)
        if words:
            return Lack(words, reference.volume)
    return None


async def unknown_claim(api: Api, pod: Object) -> str | None:
    """Return why a pod cannot be scheduled: a claim that is not there or cannot be provisioned."""
    namespace = pod["metadata"]["namespace"]
    for name in sorted(claims_of(pod)):
        claim = await api.find("PersistentVolumeClaim", namespace, name)
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        storage_class = claim["spec"].get("storageClassName", "")
        bound = claim["status"].get("phase") == "Bound"
        if not bound and await api.find("StorageClass", None, storage_class) is None:
            return "pod has unbound immediate PersistentVolumeClaims"
    return None


async def _missing(api: Api, namespace: str, reference: _Reference) -> str | None:
    found = await api.find(reference.kind, namespace, reference.name)
    label = reference.kind.lower()
    if found is None:
        return f'{label} "{reference.name}" not found'
    for key in reference.keys:
        if key not in found.get("data", {}):
            if reference.volume is None:
                return f"couldn't find key {key} in {reference.kind} {namespace}/{reference.name}"
            return f"references non-existent {label} key: {key}"
    return None


def _of_volumes(pod: Object) -> Iterator[_Reference]:
    for volume in pod["spec"].get("volumes", ()):
        sources = [volume, *volume.get("projected", {}).get("sources", ())]
        for source in sources:
            yield from _of_source(source, volume["name"])


def _of_source(source: Object, volume: str) -> Iterator[_Reference]:
    for field, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
        found = source.get(field)
        if found and not found.get("optional"):
            keys = tuple(item["key"] for item in found.get("items", ()))
            yield _Reference(kind, found.get("secretName") or found["name"], keys, volume)


def _of_environment(pod: Object) -> Iterator[_Reference]:
    for container in pod["spec"]["containers"]:
        for entry in container.get("env", ()):
            source = entry.get("valueFrom", {})
            for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                found = source.get(field)
                if found and not found.get("optional"):
                    yield _Reference(kind, found["name"], (found["key"],), None)
