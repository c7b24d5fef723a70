"""Garbage collection: objects go when all their owners are gone."""

from collections.abc import Iterable, Iterator

from lab.cluster.controllers.interface import Api, Event, Key, is_ending, is_owned_by
from lab.cluster.kinds import Object

_FOREGROUND = "foregroundDeletion"
_ORPHAN = "orphan"


class GarbageCollection:
    """Deletes what nobody owns any more; foreground deletion and orphaning included.

    Keys are (kind, "namespace/name"), because every kind may own and be owned.
    """

    def __init__(self, api: Api) -> None:
        """Work on `api`."""
        self._api = api
        self._gone: dict[Key, Object] = {}

    def keys(self, event: Event) -> Iterable[Key]:
        """Look at owners that went or are going, and at new objects that name owners."""
        metadata = event.object["metadata"]
        key = (event.kind, f"{metadata.get('namespace', '')}/{metadata['name']}")
        if event.type == "DELETED":
            self._gone[key] = event.object
            yield key
        elif is_ending(event.object):
            if {_FOREGROUND, _ORPHAN} & set(_finalizers(event.object)):
                yield key
        elif event.type == "ADDED" and metadata.get("ownerReferences"):
            yield key

    async def reconcile(self, key: Key) -> float | None:
        """Collect around one object."""
        namespace, _, name = key[1].partition("/")
        gone = self._gone.pop(key, None)
        if gone is not None:
            await self._collect(gone)
        obj = await self._api.find(key[0], namespace or None, name)
        if obj is None:
            return None
        if is_ending(obj) and _ORPHAN in _finalizers(obj):
            await self._orphan(obj)
        elif is_ending(obj) and _FOREGROUND in _finalizers(obj):
            return await self._foreground(obj)
        elif obj["metadata"].get("ownerReferences") and await self._is_garbage(obj):
            await self._api.delete(key[0], namespace or None, name)
        return None

    async def _collect(self, gone: Object) -> None:
        for dependent in await self._dependents(gone):
            if await self._is_garbage(dependent):
                await self._delete(dependent)

    async def _foreground(self, owner: Object) -> float | None:
        left = False
        for dependent in await self._dependents(owner):
            await self._delete(dependent, {"propagationPolicy": "Foreground"})
            left = True
        if left:
            return 0.05
        await self._release(owner, _FOREGROUND)
        return None

    async def _orphan(self, owner: Object) -> None:
        uid = owner["metadata"]["uid"]
        for dependent in await self._dependents(owner):
            owners = dependent["metadata"]["ownerReferences"]
            dependent["metadata"]["ownerReferences"] = [o for o in owners if o["uid"] != uid]
            await self._api.update(dependent)
        await self._release(owner, _ORPHAN)

    async def _release(self, owner: Object, finalizer: str) -> None:
        owner["metadata"]["finalizers"].remove(finalizer)
        await self._api.update(owner)

    async def _delete(self, obj: Object, options: Object | None = None) -> None:
        metadata = obj["metadata"]
        if not is_ending(obj):
            await self._api.delete(
                obj["kind"], metadata.get("namespace"), metadata["name"], options
            )

    async def _dependents(self, owner: Object) -> list[Object]:
        found: list[Object] = []
        for kind in await self._api.all_kinds():
            if kind in {"Lease", "Event"}:
                continue
            objects = await self._api.select(kind, owner["metadata"].get("namespace"))
            found += [obj for obj in objects if is_owned_by(obj, owner)]
        return found

    async def _is_garbage(self, obj: Object) -> bool:
        for owner in obj["metadata"].get("ownerReferences", ()):
            if await self._lives(owner, obj["metadata"].get("namespace")):
                return False
        return True

    async def _lives(self, owner: Object, namespace: str | None) -> bool:
        if owner["kind"] not in await self._api.all_kinds():
            return False
        places: Iterator[str | None] = iter((namespace, None))
        for place in places:
            found = await self._api.find(owner["kind"], place, owner["name"])
            if found is not None and found["metadata"]["uid"] == owner["uid"]:
                return True
        return False


def _finalizers(obj: Object) -> list[str]:
    found: list[str] = obj["metadata"].get("finalizers", [])
    return found
