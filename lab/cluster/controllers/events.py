"""Event objects: what controllers tell people about what they did and what went wrong."""

import hashlib

from lab.clock import Clock
from lab.cluster.controllers.interface import Api
from lab.cluster.kinds import Object
from lab.cluster.metadata import timestamp


class Recorder:
    """Writes Events; the same words about the same object count up instead of piling up."""

    def __init__(self, api: Api, clock: Clock, component: str) -> None:
        """Write as `component`."""
        self._api = api
        self._clock = clock
        self._component = component

    async def normal(self, about: Object, reason: str, message: str) -> None:
        """Record that something went as it should."""
        await self._record(about, "Normal", reason, message)

    async def warning(self, about: Object, reason: str, message: str) -> None:
        """Record that something went wrong."""
        await self._record(about, "Warning", reason, message)

    async def _record(self, about: Object, kind: str, reason: str, message: str) -> None:
        metadata, now = about["metadata"], timestamp(self._clock.now())
        namespace = metadata.get("namespace") or "default"
        marks = f"{metadata['uid']} {reason} {message}".encode()
        name = f"{metadata['name']}.{hashlib.sha256(marks).hexdigest()[:16]}"
        found = await self._api.find("Event", namespace, name)
        if found:
            found |= {"count": found["count"] + 1, "lastTimestamp": now}
            await self._api.update(found)
            return
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }
        if metadata.get("namespace"):
            event["involvedObject"]["namespace"] = namespace
        await self._api.create(event)
