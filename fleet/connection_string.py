"""The connection string: what a connected registry needs to find and prove itself to its parent.

The order of the parts, without a trailing semicolon, is the one that the Azure CLI prints
(facts/connected-registry.md §2.4). A password may hold `=`, so parts are split at the first one.
"""

from pydantic import SecretStr

from fleet.errors import NoGatewayEndpointError
from fleet.sites import Strict

_NAME = "ConnectedRegistryName"
_TOKEN = "SyncTokenName"  # noqa: S105 - the name of a part, not its value
_PASSWORD = "SyncTokenPassword"  # noqa: S105 - the name of a part, not its value
_GATEWAY = "ParentGatewayEndpoint"
_PROTOCOL = "ParentEndpointProtocol"


class Connection(Strict):
    """The parts of a connection string; the parent is always the cloud registry, so https."""

    name: str
    sync_token: str
    password: SecretStr
    gateway_endpoint: str
    protocol: str = "https"


def build_connection_string(
    name: str, sync_token: str, password: SecretStr, gateway_endpoint: str | None
) -> SecretStr:
    """Return the connection string of a connected registry whose parent is the cloud registry.

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
        _PROTOCOL: "https",
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
