"""Which site a request to Azure is about, as far as it can be told from the outside."""

import json
import re
from collections.abc import Iterable
from functools import lru_cache

from aiohttp import web

from lab.azure.state import Cloud

_CHILD = re.compile(
    r"/registries/[^/]+/(?:connectedRegistries|scopeMaps|tokens)/([^/]+)", re.IGNORECASE
)
_TOKEN = re.compile(r"/tokens/([^/]+)$", re.IGNORECASE)


class Sites:
    """Tells sites from the names of connected registries, tokens and scope maps.

    `names` are the sites that the world has; objects whose names begin like a site's name belong to
    it. Without them an object belongs to the connected registry whose name it begins with, and
    otherwise stands for itself.
    """

    def __init__(self, cloud: Cloud) -> None:
        """Start without known sites."""
        self._cloud = cloud
        self.names: list[str] = []

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
        """Return the site of a connected registry, token or scope map with this name."""
        connected = (each for one in self._cloud.registries.values() for each in one.connected)
        return _owner(name, self.names) or _owner(name, connected) or name.lower()


def _owner(name: str, owners: Iterable[str]) -> str | None:
    """Return the longest of `owners` that `name` begins with, letters and digits compared."""
    fitting = [owner for owner in owners if _letters(name).startswith(_letters(owner))]
    return max(fitting, key=len, default=None)


@lru_cache(maxsize=100_000)
def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _token_id(body: bytes) -> str:
    try:
        return str(json.loads(body).get("tokenId"))
    except (ValueError, AttributeError):
        return ""
