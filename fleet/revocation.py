"""Shutting a site out: what is written in Azure, what stops working, whose passwords it knew.

A token that is disabled and has no passwords at all is how a revocation looks in Azure ever after.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from fleet.access_plan import ExistingAccess, owner_description
from fleet.azure_objects import same_name
from fleet.client_tokens import tokens_of
from fleet.cluster_objects import SecretView
from fleet.connection_string import parse_connection_string
from fleet.errors import NotOursError
from fleet.helm_chart import read_connection_string
from fleet.pull_secrets import TYPE, read_password, read_staged
from fleet.removals import Deactivate, Removal, changed, left_alone
from fleet.sites import Site


@dataclass(frozen=True, slots=True)
class ShutToken:
    """Disable a token and remove its passwords."""

    name: str


Revocation = Removal[ShutToken | Deactivate]


@dataclass(frozen=True)
class Credential:
    """A password of a token that the site knows."""

    token: str
    password: SecretStr


def plan_revocation(
    site: Site, clients: Sequence[tuple[Site, ExistingAccess]], sync: ExistingAccess
) -> tuple[Revocation, ...]:
    """Plan what shuts a site out: all its tokens, then the connected registry.

    Args:
        site: The site.
        clients: The views of its client tokens, each with what Azure has of it.
        sync: What Azure has of its sync token.

    Raises:
        NotOursError: A token was not made by acrfleet for this site; others may be using it.
    """
    return (
        *(_plan_token(view, "client", view.names.client_token, found) for view, found in clients),
        _plan_token(site, "sync", site.names.sync_token, sync),
        _plan_activation(site, sync),
    )


def what_stops(site: Site, below: Sequence[str]) -> str:
    """Say what ends and what does not, for the person who decides."""
    fed = f" {', '.join(below)}, which it feeds, get nothing new either." if below else ""
    return (
        f"{site.name} gets no new images, and its passwords pull nothing from Azure.{fed} Not "
        "ended by this: its own registry hands out what it holds, to whoever has its password, "
        "for as long as it runs."
    )


def credentials_of(site: Site, secrets: Iterable[SecretView]) -> tuple[Credential, ...]:
    """Return every password in a site's Secrets, each once: in use, waiting, and kept."""
    found = dict[tuple[str, str], Credential]()
    for secret in secrets:
        text = read_connection_string(secret)
        parts = parse_connection_string(text) if text else None
        mark, staged = read_staged(secret)
        pulls = tokens_of(site) if secret.type == TYPE else ()
        for token, password in (
            *((one, read_password(secret, one)) for one in pulls),
            (parts.sync_token if parts else "", parts.password if parts else None),
            (mark.token if mark else "", staged),
        ):
            if token and password is not None:
                found[token, password.get_secret_value()] = Credential(token, password)
    return tuple(found.values())


def _plan_token(site: Site, role: str, name: str, existing: ExistingAccess) -> Revocation:
    token = existing.token
    if token is None:
        return left_alone("token", name, "it does not exist")
    scope_map = existing.scope_map
    ours = scope_map is not None and scope_map.description == owner_description(site, role)
    if not ours or scope_map is None or not same_name(token.scope_map_id, scope_map.name):
        raise NotOursError(
            f"token {name} was not made by acrfleet for {site.name}, so others may be using it; "
            "nothing was revoked. If it is the site's alone, shut it with `az acr token update "
            f"--name {name} --registry REGISTRY --status disabled`, and see to the rest by hand"
        )
    if not token.is_enabled and not token.slots:
        return left_alone("token", name, "disabled, and it has no passwords")
    passwords = f"without its {len(token.slots)} passwords" if token.slots else "without passwords"
    return changed("token", name, ShutToken(name), f"disabled, {passwords}")


def _plan_activation(site: Site, sync: ExistingAccess) -> Revocation:
    name, state = site.names.connected_registry, sync.connected_registry
    if state is None or not state.is_active:
        why = "it is not active" if state else "it does not exist"
        return left_alone("activation", name, why)
    return changed("activation", name, Deactivate(name), "deactivated")
