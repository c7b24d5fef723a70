"""The connection string: what a connected registry needs to find and prove itself to its parent.

The order of the parts, without a trailing semicolon, is the one that the Azure CLI prints
(facts/connected-registry.md §2.4). A password may hold `=`, so parts are split at the first one.
"""

from typing import Literal

from pydantic import SecretStr

from fleet.cluster_errors import NoGatewayEndpointError
from fleet.sites import Site, Strict

_NAME = "ConnectedRegistryName"
_TOKEN = "SyncTokenName"  # noqa: S105 - the name of a part, not its value
_PASSWORD = "SyncTokenPassword"  # noqa: S105 - the name of a part, not its value
_GATEWAY = "ParentGatewayEndpoint"
_PROTOCOL = "ParentEndpointProtocol"


class Connection(Strict):
    """The parts of a connection string."""

    name: str
    sync_token: str
    password: SecretStr
    gateway_endpoint: str
    protocol: str = "https"


def choose_gateway(
    site: Site, from_azure: str | None
) -> tuple[str | None, Literal["http", "https"]]:
    """Return where a site's registry finds its parent, and what is spoken there.

    The registry in the cloud speaks https only. A parent at another site speaks what its chart was
    told; Azure shows the address that it reported, which is one of its own cluster, so the fleet
    file may name the one under which it is reached from outside.
    """
    if site.fed_by is None:
        return from_azure, "https"
    return site.parent_endpoint or from_azure, site.fed_by.protocol


def build_connection_string(
    name: str,
    sync_token: str,
    password: SecretStr,
    gateway_endpoint: str | None,
    protocol: Literal["http", "https"] = "https",
) -> SecretStr:
    """Return the connection string of a connected registry.

    Args:
        name: Its name.
        sync_token: The name of its sync token.
        password: One of the sync token's passwords.
        gateway_endpoint: Where its parent answers, HOST or HOST:PORT.
        protocol: What the parent speaks; the registry in the cloud speaks https only.

    Raises:
        NoGatewayEndpointError: Azure has not said where the parent is.
    """
    if not gateway_endpoint:
        raise NoGatewayEndpointError(name)
    parts = {
        _NAME: name,
        _TOKEN: sync_token,
        _PASSWORD: password.get_secret_value(),
        _GATEWAY: gateway_endpoint,
        _PROTOCOL: protocol,
    }
    return SecretStr(";".join(f"{key}={value}" for key, value in parts.items()))


def parse_connection_string(text: SecretStr) -> Connection | None:
    """Return the parts of a connection string, or None when it is not one of ours."""
    parts = dict(part.split("=", 1) for part in text.get_secret_value().split(";") if "=" in part)
    if set(parts) != {_NAME, _TOKEN, _PASSWORD, _GATEWAY, _PROTOCOL}:
        return None
    return Connection(
        name=parts[_NAME],
        sync_token=parts[_TOKEN],
        password=SecretStr(parts[_PASSWORD]),
        gateway_endpoint=parts[_GATEWAY],
        protocol=parts[_PROTOCOL],
    )


def same_connection(one: SecretStr, other: SecretStr) -> bool:
    """Return whether two connection strings mean the same; Azure's names have no case."""
    first, second = parse_connection_string(one), parse_connection_string(other)
    if first is None or second is None:
        return one == other
    return _folded(first) == _folded(second)


def _folded(connection: Connection) -> tuple[str, ...]:
    names = (
        connection.name,
        connection.sync_token,
        connection.gateway_endpoint,
        connection.protocol,
    )
    return (*(name.casefold() for name in names), connection.password.get_secret_value())
