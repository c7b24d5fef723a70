"""Which site a request to Azure is about, as far as it can be told from the outside."""

import json
import re

from aiohttp import web

from lab.azure.state import Cloud

_CHILD = re.compile(
    r"/registries/[^/]+/(?:connectedRegistries|scopeMaps|tokens)/([^/]+)", re.IGNORECASE
)
_TOKEN = re.compile(r"/tokens/([^/]+)$", re.IGNORECASE)


class Sites:
    """Maps names of connected registries to sites; by default they are the same."""

    def __init__(self, cloud: Cloud) -> None:
        """Start with the cloud's connected registries."""
        self._cloud = cloud
        self.by_connected_registry: dict[str, str] = {}

    def of_request(self, request: web.Request, body: bytes) -> str | None:
        """Return the site of a request to ARM; None when it is about no site."""
        match = _CHILD.search(request.path)
        if match:
            return self.of_name(match[1])
        if request.path.lower().endswith("/generatecredentials"):
            token = _TOKEN.search(_token_id(body))
            return self.of_name(token[1]) if token else None
        return None

    def of_name(self, name: str) -> str:
        """Return the site of a connected registry, token or scope map with this name.

        A name such as `oslo-client` belongs to `oslo` when there is a connected registry oslo.
        """
        known = [each.lower() for each in self.by_connected_registry]
        for registry in self._cloud.registries.values():
            known += [each.lower() for each in registry.connected]
        low = name.lower()
        owners = [each for each in known if low == each or low.startswith(each + "-")]
        owner = max(owners, key=len, default=low)
        return self.by_connected_registry.get(owner, owner)


def _token_id(body: bytes) -> str:
    try:
        return str(json.loads(body).get("tokenId"))
    except (ValueError, AttributeError):
        return ""
