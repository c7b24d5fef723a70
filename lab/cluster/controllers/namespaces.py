"""Namespaces: a default ServiceAccount when they come, an empty house before they go."""

from collections.abc import Iterable

from lab.cluster.controllers.interface import Api, Event, Key, is_ending

_ACCOUNT_SECONDS = 0.03


class DefaultAccounts:
    """Gives every namespace its default ServiceAccount and root certificate, a moment later."""

    def __init__(self, api: Api, ca: str) -> None:
        """Write `ca` into each namespace's kube-root-ca.crt."""
        self._api = api
        self._ca = ca
        self._seen: set[str] = set()

    def keys(self, event: Event) -> Iterable[Key]:
        """Look at new namespaces, and at those whose default account went away."""
        if event.kind == "Namespace" and event.type != "DELETED":
            yield event.key
        elif (event.kind, event.type, event.key[1]) == ("ServiceAccount", "DELETED", "default"):
            yield "", event.key[0]

    async def reconcile(self, key: Key) -> float | None:
        """Create what is missing."""
        name = key[1]
        namespace = await self._api.find("Namespace", None, name)
        if namespace is None or is_ending(namespace):
            self._seen.discard(name)
            return None
        if name not in self._seen:
            self._seen.add(name)
            return _ACCOUNT_SECONDS
        if await self._api.find("ServiceAccount", name, "default") is None:
            await self._api.create(_object("ServiceAccount", name, "default"))
        if await self._api.find("ConfigMap", name, "kube-root-ca.crt") is None:
            config = _object("ConfigMap", name, "kube-root-ca.crt")
            await self._api.create(config | {"data": {"ca.crt": self._ca}})
        return None


class NamespaceRemoval:
    """Empties a namespace that is marked for deletion, then lets it go."""

    def __init__(self, api: Api) -> None:
        """Work on `api`."""
        self._api = api

    def keys(self, event: Event) -> Iterable[Key]:
        """Look at namespaces on their way out."""
        if event.kind == "Namespace" and is_ending(event.object):
            yield event.key

    async def reconcile(self, key: Key) -> float | None:
        """Delete the content; come back until nothing is left."""
        name = key[1]
        namespace = await self._api.find("Namespace", None, name)
        if namespace is None or not is_ending(namespace):
            return None
        left = 0
        for kind in await self._api.namespaced_kinds():
            for obj in await self._api.select(kind, name):
                await self._api.delete(kind, name, obj["metadata"]["name"])
                left += await self._api.find(kind, name, obj["metadata"]["name"]) is not None
        if left:
            return 0.1
        await self._api.finalize(name)
        return None


def _object(kind: str, namespace: str, name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
    }
