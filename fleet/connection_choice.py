"""Which connection string a site gets: the one it holds, or one with a new sync password."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from fleet.azure_objects import ConnectedRegistryState, PasswordSlot
from fleet.cluster_errors import SiteAlreadyActivatedError
from fleet.cluster_objects import SecretView
from fleet.connection_string import build_connection_string, choose_gateway, parse_connection_string
from fleet.errors import NotOursError
from fleet.helm_chart import connection_secret_body, is_ours, read_connection_string
from fleet.outcomes import Action
from fleet.passwords import Keep, PasswordMark, Renew, choose_sync_password
from fleet.sites import Site


@dataclass(frozen=True)
class HeldPassword:
    """A sync password that works and is at the site."""

    value: SecretStr
    mark: PasswordMark


def choose_connection(
    site: Site,
    registry: str,
    found: SecretView | None,
    state: ConnectedRegistryState,
    slots: Mapping[str, PasswordSlot],
    now: datetime,
) -> HeldPassword | Renew:
    """Return the sync password of a site's connection string, or which slot is to be generated.

    Args:
        site: The site.
        registry: Name of the registry in Azure, for messages.
        found: The connection Secret.
        state: The connected registry.
        slots: The passwords of the sync token that Azure has.
        now: The present, UTC.

    Raises:
        NotOursError: The Secret was made by somebody else.
        SiteAlreadyActivatedError: Another installation uses the connected registry.
        PasswordSlotsTakenError: An adopted password is gone and both slots are somebody else's.
    """
    if found is not None and not is_ours(found.meta.labels):
        raise NotOursError(
            f"Secret {found.meta.namespace}/{found.meta.name} at {site.name} was not made by "
            "acrfleet. Delete it, or choose another `chart.release`."
        )
    text = read_connection_string(found) if found else None
    held = parse_connection_string(text) if text else None
    mark = PasswordMark.from_annotations(found.meta.annotations) if found and held else None
    choice = choose_sync_password(site.names.sync_token, slots, mark, now)
    if isinstance(choice, Keep):
        assert held is not None  # noqa: S101 - a kept password was in the Secret
        return HeldPassword(held.password, choice.mark)
    if found is None and state.is_active:
        why = f"the cluster of {site.name} has no connection string that acrfleet made"
        raise SiteAlreadyActivatedError(site.names.connected_registry, registry, why)
    return choice


def connection_text(site: Site, password: SecretStr, gateway: str | None) -> SecretStr:
    """Return a site's connection string; `gateway` is what Azure shows of its parent.

    Raises:
        NoGatewayEndpointError: Neither Azure nor the fleet file says where the parent is.
    """
    gateway, protocol = choose_gateway(site, gateway)
    names = site.names
    return build_connection_string(
        names.connected_registry, names.sync_token, password, gateway, protocol
    )


def says_otherwise(found: SecretView | None, text: SecretStr) -> bool:
    """Return whether the connection Secret is there and holds another string than this."""
    return found is not None and read_connection_string(found) != text


def compare_connection(
    site: Site, found: SecretView | None, text: SecretStr, mark: PasswordMark
) -> Action:
    """Return what to do with the connection Secret, so that it holds this string and mark."""
    if found is None:
        return Action.CREATED
    wanted: Mapping[str, Any] = connection_secret_body(site, text, mark)["metadata"]
    same = (
        not says_otherwise(found, text)
        and wanted["labels"].items() <= found.meta.labels.items()
        and wanted["annotations"].items() <= found.meta.annotations.items()
    )
    return Action.UNCHANGED if same else Action.CHANGED
