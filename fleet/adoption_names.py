"""Which objects in Azure a cluster uses, and what the fleet file has to say so that they are meant.

The connection string names the connected registry and its sync token, the tokens name their scope
maps, and the pull secrets name the client token. Nothing here is guessed from a likeness of names.
"""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import TypeAdapter, ValidationError

from fleet.adoption import Fate, Finding, Place
from fleet.adoption_sources import Installation
from fleet.azure_objects import ConnectedRegistryState, TokenState, last_segment, same_name
from fleet.cluster_objects import SecretView
from fleet.pull_secrets import read_users
from fleet.sites import Site
from fleet.strict import Strict
from fleet.validation import ConnectedRegistryName, ScopeMapName, TokenName

_RULES = {
    "connected_registry": TypeAdapter(ConnectedRegistryName),
    "sync_scope_map": TypeAdapter(ScopeMapName),
    "sync_token": TypeAdapter(TokenName),
    "client_scope_map": TypeAdapter(ScopeMapName),
    "client_token": TypeAdapter(TokenName),
}
_FREE = ("sync_scope_map", "client_scope_map")
"""Names that need not stay: a token moves to another scope map and keeps its passwords."""


class Login(Strict):
    """A user whose password is somewhere at the site; `where` says so for people."""

    user: str
    where: str


class UsedNames(Strict):
    """The names in Azure that a cluster uses; None: it uses none that can be told."""

    connected_registry: str | None = None
    sync_scope_map: str | None = None
    sync_token: str | None = None
    client_scope_map: str | None = None
    client_token: str | None = None


def logins_of(secrets: Sequence[SecretView], others: Sequence[Login] = ()) -> tuple[Login, ...]:
    """Return every user that a pull secret or a node's registries file holds a password for."""
    found = [
        Login(user=user, where=f"{secret.meta.namespace}/{secret.meta.name}")
        for secret in secrets
        for user in read_users(secret)
    ]
    return (*found, *others)


def client_tokens(state: ConnectedRegistryState | None, logins: Sequence[Login]) -> tuple[str, ...]:
    """Return the client tokens that the connected registry accepts and the site logs in with."""
    accepted = [last_segment(one) for one in (state.client_token_ids if state else ())]
    used = {login.user.casefold() for login in logins}
    return tuple(sorted(name for name in accepted if name.casefold() in used))


def used_names(
    installation: Installation,
    tokens: Mapping[str, TokenState],
    client_token: str | None,
) -> UsedNames:
    """Return the names of a cluster's objects.

    Args:
        installation: The connected registry on the cluster.
        tokens: The tokens in Azure, by name in lower case: the sync token and the client token.
        client_token: The token that the site pulls with, if it could be told.
    """

    def scope_map(token: str | None) -> str | None:
        found = tokens.get(token.casefold()) if token else None
        return last_segment(found.scope_map_id) if found and found.scope_map_id else None

    connection = installation.connection
    return UsedNames(
        connected_registry=connection.name.lower(),
        sync_token=connection.sync_token,
        sync_scope_map=_usable("sync_scope_map", scope_map(connection.sync_token)),
        client_token=client_token,
        client_scope_map=_usable("client_scope_map", scope_map(client_token)),
    )


def compare_names(site: Site, used: UsedNames) -> Iterator[Finding]:
    """Yield an obstacle for every name that the fleet file does not have and the cluster uses."""
    wanted = site.names.model_dump()
    for field, name in used.model_dump(exclude_none=True).items():
        if same_name(wanted[field], name):
            continue
        detail = f"the fleet file says {wanted[field]}; put the lines below into it"
        if not _fits(field, name):
            detail = "the fleet file allows no such name; " + _TOO_ODD[field in _FREE]
        yield Finding(
            place=Place.FILE,
            kind=f"names.{field}",
            name=name,
            fate=Fate.OBSTACLE,
            detail=detail,
        )


_TOO_ODD = {
    True: "leave it out: the token moves to a scope map of the derived name",
    False: "this site can only be onboarded anew, with a connected registry of its own",
}


def name_lines(site: Site, used: UsedNames) -> tuple[str, ...]:
    """Return the `names:` lines that make the fleet file mean what the cluster uses."""
    wanted = site.names.model_dump()
    found = {
        field: name
        for field, name in used.model_dump(exclude_none=True).items()
        if _fits(field, name)
    }
    if all(same_name(wanted[field], name) for field, name in found.items()):
        return ()
    return ("names:", *(f"  {field}: {name}" for field, name in found.items()))


def _usable(field: str, name: str | None) -> str | None:
    """Return a scope map's name if the fleet file can hold it; Azure's own begin with `_`."""
    return name if name and _fits(field, name) else None


def _fits(field: str, name: str) -> bool:
    try:
        _RULES[field].validate_python(name)
    except ValidationError:
        return False
    return True
