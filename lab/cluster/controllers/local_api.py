"""The controllers' interface to a cluster in the same process."""

from collections.abc import Mapping

from lab.cluster.errors import ApiError
from lab.cluster.kinds import Object
from lab.cluster.object_api import ObjectApi
from lab.cluster.selection import matches_labels
from lab.cluster.store import clone


class LocalApi:
    """Implements `Api` on an `ObjectApi`, without HTTP: no faults, no audit, never down."""

    def __init__(self, api: ObjectApi) -> None:
        """Work on `api`."""
        self._api = api

    async def find(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """Return an object, or None."""
        found = self._api.store.find(self._api.kinds.named(kind), namespace, name)
        return clone(found) if found else None

    async def select(
        self, kind: str, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Object]:
        """Return the objects of a kind, of one namespace or all."""
        wanted = dict(labels or {})
        found = self._api.store.each(self._api.kinds.named(kind), namespace)
        return [
            clone(obj) for obj in found if matches_labels(wanted, obj["metadata"].get("labels"))
        ]

    async def create(self, obj: Object) -> Object:
        """Create an object."""
        kind = self._api.kinds.named(obj["kind"])
        made = self._api.create(kind, obj["metadata"].get("namespace"), obj)
        return clone(made)

    async def update(self, obj: Object) -> Object:
        """Replace an object, guarded by its resourceVersion."""
        return self._replace(obj, status=False)

    async def update_status(self, obj: Object) -> Object:
        """Replace an object's status, guarded by its resourceVersion."""
        return self._replace(obj, status=True)

    def _replace(self, obj: Object, *, status: bool) -> Object:
        metadata = obj["metadata"]
        kind = self._api.kinds.named(obj["kind"])
        changed = self._api.replace(
            kind, metadata.get("namespace"), metadata["name"], obj, status=status
        )
        return clone(changed)

    async def delete(
        self, kind: str, namespace: str | None, name: str, options: Object | None = None
    ) -> None:
        """Delete an object; one that is gone already is fine."""
        try:
            self._api.delete(self._api.kinds.named(kind), namespace, name, options)
        except ApiError as error:
            if error.code != 404:
                raise

    async def finalize(self, namespace: str) -> None:
        """Take the last finalizer off a namespace."""
        kind = self._api.kinds.named("Namespace")
        current = self._api.read(kind, None, namespace)
        self._api.drop_if_released(kind, clone(current) | {"spec": {}})

    async def namespaced_kinds(self) -> list[str]:
        """Return the names of the kinds that live in namespaces."""
        return [kind.name for kind in self._api.kinds if kind.namespaced]

    async def all_kinds(self) -> list[str]:
        """Return the names of all kinds."""
        return [kind.name for kind in self._api.kinds]
