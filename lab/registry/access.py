"""What a client token may do: scope-map actions against what a Docker client asks for."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

_DOCKER_WORDS = {
    "content/read": "pull",
    "content/write": "push",
    "content/delete": "delete",
    "metadata/read": "metadata_read",
    "metadata/write": "metadata_write",
}


@dataclass(frozen=True)
class Access:
    """One entry of a bearer token: a repository or the catalog, and verbs."""

    kind: str
    name: str
    verbs: frozenset[str]


def verbs_on(repository: str, actions: Iterable[str]) -> frozenset[str]:
    """Return what scope-map `actions` allow on a repository, in Docker's words.

    `repositories/samples/*/content/read` covers all below `samples/`, and `repositories/*/...`
    covers every repository (connected-registry.md 1.5).
    """
    verbs = set()
    for action in actions:
        kind, _, rest = action.partition("/")
        pattern, _, verb = _split_verb(rest)
        if kind == "repositories" and fnmatchcase(repository, pattern) and verb in _DOCKER_WORDS:
            verbs.add(_DOCKER_WORDS[verb])
    return frozenset(verbs)


def may_list(repository: str, actions: Iterable[str]) -> bool:
    """Tell whether the catalog shows a repository: content and metadata must be readable."""
    return {"pull", "metadata_read"} <= verbs_on(repository, actions)


def parse_scopes(scopes: Iterable[str]) -> list[Access]:
    """Read `repository:a/b:pull,push` and `registry:catalog:*`; raises ValueError."""
    found = []
    for scope in (word for entry in scopes for word in entry.split()):
        kind, first, rest = scope.partition(":")
        name, second, verbs = rest.rpartition(":")
        if kind not in ("repository", "registry") or not first or not second or not name:
            raise ValueError(f"{scope!r} is not a scope")
        found.append(Access(kind, name, frozenset(verbs.split(","))))
    return found


def grant(wanted: Access, actions: Iterable[str]) -> Access | None:
    """Return the part of `wanted` that the actions allow, or None when that is nothing.

    Who may pull may also have `metadata_read` when the map says so: Docker clients ask for `pull`
    alone and then list tags.
    """
    if wanted.kind == "registry":
        is_catalog = wanted.name == "catalog" and "*" in wanted.verbs
        return wanted if is_catalog else None
    allowed = verbs_on(wanted.name, actions)
    asked = allowed if "*" in wanted.verbs else wanted.verbs | _implied(wanted.verbs)
    verbs = allowed & asked
    return Access(wanted.kind, wanted.name, verbs) if verbs else None


def _implied(verbs: frozenset[str]) -> frozenset[str]:
    return frozenset({"metadata_read"}) if "pull" in verbs else frozenset()


def _split_verb(rest: str) -> tuple[str, str, str]:
    pattern, slash, last = rest.rpartition("/")
    pattern, second, first = pattern.rpartition("/")
    return pattern, slash and second, f"{first}/{last}"
