"""The lab's controllers on a real API server: their `Api` interface over HTTPS, and a watch.

lab.cluster's controllers are written against a small interface, so that what plays K3s'
helm-controller and the pods here is the same code as in the lab, held to a real API server's rules.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from lab.cluster.errors import ApiError
from lab.cluster.kinds import BUILT_IN, Kind, Object

_HELM, _CRD = "helm.cattle.io", "apiextensions.k8s.io"
_MORE = (
    Kind(_HELM, "v1", "HelmChart", "helmcharts", status=True),
    Kind(_HELM, "v1", "HelmChartConfig", "helmchartconfigs"),
    Kind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", False),
    Kind("storage.k8s.io", "v1", "StorageClass", "storageclasses", False),
    Kind(
        "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False
    ),
)
KINDS = {kind.name: kind for kind in (*BUILT_IN, *_MORE)}


@dataclass(frozen=True)
class Change:
    """Something happened to an object: ADDED, MODIFIED or DELETED."""

    type: str
    kind: Kind
    object: Object


class RemoteApi:
    """Implements `lab.cluster.controllers.interface.Api`; use it on one event loop."""

    def __init__(self, server: str, context: ssl.SSLContext) -> None:
        """Speak to `server` with the client certificate in `context`."""
        self._server, self._context = server, context
        self._session: aiohttp.ClientSession | None = None
        self._listeners: list[Callable[[Change], None]] = []
        self._watches: list[asyncio.Task[None]] = []

    async def open(self, *watched: str) -> None:
        """Connect, and watch these kinds."""
        connector = aiohttp.TCPConnector(ssl=self._context)
        timeout = aiohttp.ClientTimeout(total=None, connect=10, sock_read=600)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        self._watches = [asyncio.create_task(self._watch(KINDS[name])) for name in watched]

    async def close(self) -> None:
        """Disconnect."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Have a listener told of every change of a watched kind."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def find(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """Return an object, or None."""
        try:
            return await self.request("GET", path_of(KINDS[kind], namespace, name))
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def select(
        self, kind: str, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Object]:
        """Return the objects of a kind, of one namespace or all."""
        query = {
            "labelSelector": ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        }
        found = await self.request("GET", path_of(KINDS[kind], namespace), query=query)
        return [_named(item, KINDS[kind]) for item in found.get("items") or []]

    async def create(self, obj: Object) -> Object:
        """Create an object."""
        kind = KINDS[obj["kind"]]
        return await self.request("POST", path_of(kind, obj["metadata"].get("namespace")), obj)

    async def update(self, obj: Object) -> Object:
        """Replace an object. A pod that got a node is bound, since a replacement can't do that."""
        metadata, kind = obj["metadata"], KINDS[obj["kind"]]
        path = path_of(kind, metadata.get("namespace"), metadata["name"])
        if kind.name == "Pod":
            target = {"apiVersion": "v1", "kind": "Node", "name": obj["spec"]["nodeName"]}
            names = {key: metadata[key] for key in ("name", "namespace")}
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": names, "target": target}
            await self.request("POST", f"{path}/binding", binding)
            return obj
        return await self.request("PUT", path, obj)

    async def update_status(self, obj: Object) -> Object:
        """Replace an object's status."""
        metadata = obj["metadata"]
        path = path_of(KINDS[obj["kind"]], metadata.get("namespace"), metadata["name"])
        return await self.request("PUT", f"{path}/status", obj)

    async def delete(
        self, kind: str, namespace: str | None, name: str, options: Object | None = None
    ) -> None:
        """Delete an object; one that is gone already is fine."""
        try:
            await self.request("DELETE", path_of(KINDS[kind], namespace, name), options)
        except ApiError as error:
            if error.code != 404:
                raise

    async def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """Send a request and return the JSON of the answer; raises ApiError."""
        assert self._session is not None
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body)
        wanted = {key: value for key, value in (query or {}).items() if value}
        async with self._session.request(
            method, self._server + path, data=data, params=wanted, headers={"Content-Type": kind}
        ) as answer:
            found = _parse(await answer.read())
        if answer.status >= 300:
            words = str(found.get("message"))
            raise ApiError(answer.status, str(found.get("reason")), f"{method} {path}: {words}")
        return found

    async def _watch(self, kind: Kind) -> None:
        """Tell the listeners of every change, beginning with what is there; again when cut off."""
        while True:
            with suppress(ApiError, aiohttp.ClientError, OSError, TimeoutError, ValueError):
                listed = await self.request("GET", path_of(kind, None))
                for item in listed.get("items") or []:
                    self._tell("ADDED", kind, item)
                async for line in self._follow(kind, listed["metadata"]["resourceVersion"]):
                    event = json.loads(line)
                    if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
                        break
                    self._tell(event["type"], kind, event["object"])
            await asyncio.sleep(0.2)

    async def _follow(self, kind: Kind, version: str) -> AsyncIterator[bytes]:
        assert self._session is not None
        query = {"watch": "true", "resourceVersion": version}
        url = self._server + path_of(kind, None)
        async with self._session.get(url, params=query, read_bufsize=2**22) as answer:
            async for line in answer.content:
                yield line

    def _tell(self, type_: str, kind: Kind, obj: Object) -> None:
        for listener in self._listeners:
            listener(Change(type_, kind, _named(obj, kind)))


def path_of(kind: Kind, namespace: str | None, name: str = "") -> str:
    """Return the path of an object, or of a collection where no name is given."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    place = f"/namespaces/{namespace}" if namespace and kind.namespaced else ""
    return f"{root}{place}/{kind.plural}" + (f"/{name}" if name else "")


def _parse(data: bytes) -> Object:
    """Return an answer's object; a path that is not served is answered in plain text."""
    try:
        found: Object = json.loads(data or b"{}")
    except ValueError:
        return {"message": data.decode(errors="replace").strip(), "reason": "NotFound"}
    return found


def _named(obj: Any, kind: Kind) -> Object:
    """Return an item of a list with the fields that lists leave out."""
    return {"apiVersion": kind.api_version, "kind": kind.name} | dict(obj)
