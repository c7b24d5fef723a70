"""The objects of one cluster, their revisions, and what changed lately."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from lab.cluster.errors import expired
from lab.cluster.kinds import Kind, Object

JsonData = TypeVar("JsonData")

HISTORY = 200
_HISTORY_OF = {"Lease": 20}


def clone(value: JsonData) -> JsonData:
    """Return a deep copy of JSON data."""
    return cast("JsonData", _clone(value))


def _clone(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clone(item) for item in value]
    return value


@dataclass(frozen=True)
class Change:
    """One step in the history of a kind; `type` is ADDED, MODIFIED or DELETED."""

    revision: int
    type: str
    kind: Kind
    object: Object
    before: Object | None


Listener = Callable[[Change], None]


class Store:
    """Keeps objects by kind, namespace and name.

    Objects handed out are the stored ones: callers clone before they change anything.
    """

    def __init__(self) -> None:
        """Start empty at revision 1."""
        self.revision = 1
        self._objects: dict[str, dict[tuple[str, str], Object]] = {}
        self._history: dict[str, deque[Change]] = {}
        self._forgotten: dict[str, int] = {}
        self._listeners: list[Listener] = []

    def find(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """Return an object or None."""
        return self._objects.get(kind.name, {}).get((namespace or "", name))

    def each(self, kind: Kind, namespace: str | None = None) -> list[Object]:
        """Return all objects of a kind, ordered by namespace and name."""
        items = self._objects.get(kind.name, {})
        return [items[key] for key in sorted(items) if namespace is None or key[0] == namespace]

    def put(self, kind: Kind, obj: Object) -> Object:
        """Store an object under the next revision and tell the listeners."""
        metadata = obj["metadata"]
        key = (metadata.get("namespace") or "", metadata["name"])
        items = self._objects.setdefault(kind.name, {})
        before = items.get(key)
        self.revision += 1
        metadata["resourceVersion"] = str(self.revision)
        items[key] = obj
        self._tell(Change(self.revision, "MODIFIED" if before else "ADDED", kind, obj, before))
        return obj

    def remove(self, kind: Kind, obj: Object) -> Object:
        """Drop an object, tell the listeners, and return it as it was last."""
        metadata = obj["metadata"]
        before = self._objects[kind.name].pop((metadata.get("namespace") or "", metadata["name"]))
        self.revision += 1
        last = clone(obj)
        last["metadata"]["resourceVersion"] = str(self.revision)
        self._tell(Change(self.revision, "DELETED", kind, last, before))
        return last

    def since(self, kind: Kind, revision: int) -> Iterator[Change]:
        """Return what happened to a kind after a revision.

        Raises:
            ApiError: 410, when the history no longer reaches that far back.
        """
        if revision < self._forgotten.get(kind.name, 0):
            raise expired(f"too old resource version: {revision} ({self.revision})")
        return iter([c for c in self._history.get(kind.name, ()) if c.revision > revision])

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` at every change; returns a function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _tell(self, change: Change) -> None:
        name = change.kind.name
        history = self._history.get(name)
        if history is None:
            history = self._history[name] = deque(maxlen=_HISTORY_OF.get(name, HISTORY))
        if len(history) == history.maxlen:
            self._forgotten[name] = history[0].revision
        history.append(change)
        for listener in list(self._listeners):
            listener(change)
