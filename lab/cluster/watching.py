"""Watches: what was, what happens, bookmarks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from lab.cluster.errors import ApiError, bad_request
from lab.cluster.kinds import Kind, Object
from lab.cluster.selection import Test
from lab.cluster.store import Change, Store

_BOOKMARK_SECONDS = 60.0
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True)
class WatchRequest:
    """What a client wants to see of one kind."""

    kind: Kind
    namespace: str | None
    test: Test
    version: str
    seconds: float
    bookmarks: bool
    initial_events: bool


async def events(store: Store, request: WatchRequest) -> AsyncIterator[Object]:
    """Yield watch events until the time is up."""
    queue: asyncio.Queue[Change] = asyncio.Queue()
    unsubscribe = store.subscribe(queue.put_nowait)
    try:
        try:
            first = list(_first_events(store, request))
        except ApiError as error:
            yield {"type": "ERROR", "object": error.status()}
            return
        for event in first:
            yield event
        deadline = asyncio.get_running_loop().time() + request.seconds
        async for event in _live(store, request, queue, deadline):
            yield event
    finally:
        unsubscribe()


async def _live(
    store: Store, request: WatchRequest, queue: asyncio.Queue[Change], deadline: float
) -> AsyncIterator[Object]:
    now = asyncio.get_running_loop().time
    while (left := deadline - now()) > 0:
        change = None
        with contextlib.suppress(TimeoutError):
            change = await asyncio.wait_for(queue.get(), min(left, _BOOKMARK_SECONDS))
        event = _seen(request, change) if change else None
        if event:
            yield event
        elif change is None and request.bookmarks and now() < deadline:
            yield _bookmark(request.kind, store.revision)


def _first_events(store: Store, request: WatchRequest) -> list[Object]:
    if request.version in {"", "0"} or request.initial_events:
        present = [obj for obj in store.each(request.kind, request.namespace) if request.test(obj)]
        first: list[Object] = [{"type": "ADDED", "object": obj} for obj in present]
        if request.initial_events and request.bookmarks:
            first.append(_bookmark(request.kind, store.revision, initial=True))
        return first
    if not request.version.isdigit():
        raise bad_request(f"invalid resource version: {request.version}")
    changes = store.since(request.kind, int(request.version))
    return [event for event in (_seen(request, change) for change in changes) if event]


def _seen(request: WatchRequest, change: Change) -> Object | None:
    """Return the event as a watcher with this selection sees it, or None."""
    if change.kind.name != request.kind.name:
        return None
    namespace = change.object["metadata"].get("namespace")
    if request.namespace is not None and namespace != request.namespace:
        return None
    before = change.before is not None and request.test(change.before)
    after = change.type != "DELETED" and request.test(change.object)
    if after:
        return {"type": "MODIFIED" if before else "ADDED", "object": change.object}
    return {"type": "DELETED", "object": change.object} if before else None


def _bookmark(kind: Kind, revision: int, *, initial: bool = False) -> Object:
    metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial:
        metadata["annotations"] = {_INITIAL_EVENTS_END: "true"}
    obj = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
    return {"type": "BOOKMARK", "object": obj}
