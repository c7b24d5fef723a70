"""Names of a site's objects in Azure, derived from the fleet's and the site's name in one place.

The algorithm is frozen: what it once derived is the identity of objects in Azure, so a change here
would orphan them. `tests/fleet/test_names.py` pins examples.

1. `stamp`: the first 8 characters of the lower-case base32 form of the SHA-256 of the fleet's name,
   a line break and the site's name (UTF-8). Neither name can hold a line break.
2. `readable`: the site's name in lower case with everything but `a-z` and `0-9` removed, cut to 28
   characters; `s` goes in front when it does not start with a letter.
3. The connected registry is `readable + stamp`, at most 37 characters; the other objects add an
   ending: `-sync-map`, `-sync`, `-client-map`, `-client`. Only these endings hold a `-`.

The stamp is always there, not only where a name had to be altered: it keeps `oslo-1` apart from
`oslo1`, and the sites of two fleets apart that share one Azure registry. Without it a second fleet
with a site `oslo` would find the first one's objects and take them for its own.

Rules it satisfies (facts, connected-registry.md section 1.5): connected registries
`^[a-z][a-z0-9]{4,39}$`, tokens `^[a-zA-Z][a-zA-Z0-9-]{4,48}$`, scope maps 5 to 49 letters, digits
and `-`.

A further client token is `readable + stamp + - + its name`, its scope map that and `-map`; there
`readable` is cut further where both would be longer than 49 characters. Its name is never `sync` or
`client`, so it meets none of the site's own.
"""

from base64 import b32encode
from hashlib import sha256

from pydantic import Field

from fleet.sites import SiteNames, Strict
from fleet.validation import ConnectedRegistryName, ScopeMapName, TokenName

_READABLE_LENGTH = 28
_STAMP_LENGTH = 8
_LONGEST = 49


class NameOverrides(Strict):
    """Names that the operator chose instead of the derived ones; none: derived."""

    connected_registry: ConnectedRegistryName | None = Field(
        None, description="Connected registry, unique in its Azure registry", examples=["ships01"]
    )
    sync_scope_map: ScopeMapName | None = Field(None, description="Scope map of the sync token")
    sync_token: TokenName | None = Field(
        None, description="Token with which the site fetches from Azure"
    )
    client_scope_map: ScopeMapName | None = Field(None, description="Scope map of the client token")
    client_token: TokenName | None = Field(
        None, description="Token with which the site's nodes pull"
    )


def derive_names(fleet: str, site: str, overrides: NameOverrides | None = None) -> SiteNames:
    """Return the names of a site's five objects; each can be overridden on its own.

    An override changes that one name only: the others stay what they were derived to be.
    """
    base = _readable(site) + _stamp(fleet, site)
    derived = {
        "connected_registry": base,
        "sync_scope_map": f"{base}-sync-map",
        "sync_token": f"{base}-sync",
        "client_scope_map": f"{base}-client-map",
        "client_token": f"{base}-client",
    }
    chosen = overrides.model_dump(exclude_none=True) if overrides else {}
    return SiteNames(**(derived | chosen))


def derive_client_names(fleet: str, site: str, token: str) -> dict[str, str]:
    """Return the names of a further client token and of its scope map, as fields of `SiteNames`."""
    room = _LONGEST - _STAMP_LENGTH - len(f"-{token}-map") - 1
    base = _readable(site, min(room, _READABLE_LENGTH)) + _stamp(fleet, site)
    return {"client_token": f"{base}-{token}", "client_scope_map": f"{base}-{token}-map"}


def _readable(site: str, length: int = _READABLE_LENGTH) -> str:
    kept = "".join(c for c in site.lower() if c in "abcdefghijklmnopqrstuvwxyz0123456789")
    cut = kept[:length]
    return cut if cut[:1].isalpha() else f"s{cut}"


def _stamp(fleet: str, site: str) -> str:
    digest = sha256(f"{fleet}\n{site}".encode()).digest()
    return b32encode(digest).decode().lower()[:_STAMP_LENGTH]
