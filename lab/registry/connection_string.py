"""The connection string that the chart hands to the registry's pod.

`ConnectedRegistryName=..;SyncTokenName=..;SyncTokenPassword=..;ParentGatewayEndpoint=..;
ParentEndpointProtocol=..` (connected-registry.md 2.4). A password may hold `=`, `+` and `/`, so a
pair splits at its first `=` only.
"""

from dataclasses import dataclass, field

_KEYS = (
    "ConnectedRegistryName",
    "SyncTokenName",
    "SyncTokenPassword",
    "ParentGatewayEndpoint",
    "ParentEndpointProtocol",
)


class BadConnectionStringError(Exception):
    """The registry cannot start from this string; the text names the key, never a value."""


@dataclass(frozen=True)
class ConnectionString:
    """Who the registry is, how it proves it, and where its parent is."""

    connected_registry: str
    sync_token: str
    sync_password: str = field(repr=False)
    gateway: str
    protocol: str


def parse_connection_string(text: str) -> ConnectionString:
    """Return the parts of a connection string.

    Raises:
        BadConnectionStringError: A key is missing, unknown, repeated or empty, or still holds the
            `<placeholder>` that the Azure CLI prints for what it does not know.
    """
    pairs: dict[str, str] = {}
    for part in text.strip().split(";"):
        key, equals, value = part.partition("=")
        if not equals or key not in _KEYS or key in pairs:
            known = key if key in _KEYS else "a part that is none of " + ", ".join(_KEYS)
            raise BadConnectionStringError(f"Invalid connection string: unexpected {known}.")
        pairs[key] = value
    for key in _KEYS:
        value = pairs.get(key, "")
        if not value or (value.startswith("<") and value.endswith(">")):
            raise BadConnectionStringError(f"Invalid connection string: {key} has no value.")
    if pairs["ParentEndpointProtocol"] not in ("http", "https"):
        raise BadConnectionStringError(
            "Invalid connection string: ParentEndpointProtocol is neither http nor https."
        )
    return ConnectionString(*(pairs[key] for key in _KEYS))
