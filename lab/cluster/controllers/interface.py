"""What a controller sees of a cluster, so that it could also run against a real API server."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from lab.cluster.kinds import Object

Key = tuple[str, str]


@dataclass(frozen=True)
class Event:
    """Something happened to an object; `type` is ADDED, MODIFIED or DELETED."""

    type: str
    kind: str
    object: Object

    @property
    def key(self) -> Key:
        """Return namespace (or "") and name."""
        return key_of(self.object)


class Api(Protocol):
    """The requests controllers make. Objects handed out may be changed by whoever got them.

    Every method raises `lab.cluster.errors.ApiError` when the server refuses.
    """

    async def find(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """Return an object, or None."""

    async def select(
        self, kind: str, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Object]:
        """Return the objects of a kind, of one namespace or all."""

    async def create(self, obj: Object) -> Object:
        """Create an object."""

    async def update(self, obj: Object) -> Object:
        """Replace an object, guarded by its resourceVersion."""

    async def update_status(self, obj: Object) -> Object:
        """Replace an object's status, guarded by its resourceVersion."""

    async def delete(
        self, kind: str, namespace: str | None, name: str, options: Object | None = None
    ) -> None:
        """Delete an object; one that is gone already is fine."""

    async def finalize(self, namespace: str) -> None:
        """Take the last finalizer off a namespace."""

    async def namespaced_kinds(self) -> list[str]:
        """Return the names of the kinds that live in namespaces."""

    async def all_kinds(self) -> list[str]:
        """Return the names of all kinds."""


class Controller(Protocol):
    """Keeps objects of one kind as they should be."""

    def keys(self, event: Event) -> Iterable[Key]:
        """Return which objects need a look after an event."""

    async def reconcile(self, key: Key) -> float | None:
        """Bring one object where it should be; return seconds until it needs another look."""


def key_of(obj: Object) -> Key:
    """Return namespace (or "") and name of an object."""
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def owner_reference(owner: Object) -> Object:
    """Return the reference that makes an object owned and controlled by `owner`."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owner_keys(obj: Object, kind: str) -> Iterable[Key]:
    """Return the keys of an object's owners of one kind."""
    namespace = obj["metadata"].get("namespace") or ""
    for owner in obj["metadata"].get("ownerReferences", ()):
        if owner["kind"] == kind:
            yield namespace, owner["name"]


def is_owned_by(obj: Object, owner: Object) -> bool:
    """Return whether an object names `owner` as an owner."""
    uid = owner["metadata"]["uid"]
    return any(ref["uid"] == uid for ref in obj["metadata"].get("ownerReferences", ()))


def is_ending(obj: Object) -> bool:
    """Return whether an object is marked for deletion."""
    return "deletionTimestamp" in obj["metadata"]
