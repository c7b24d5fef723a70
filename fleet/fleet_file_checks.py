"""Checks over the whole fleet: what no site can see alone."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from fleet.azure_settings import AcrRegistry, RegistryFromBlock
from fleet.fleet_file_merge import Merged
from fleet.fleet_file_models import SiteEntry
from fleet.fleet_file_problems import show_path
from fleet.fleet_file_yaml import Document, Path, Problem
from fleet.scope_maps import MAX_ACTIONS, most_repositories
from fleet.sites import SiteNames

MAX_CONNECTED_REGISTRIES = 50
"""Connected registries per Azure registry (facts, connected-registry.md section 6)."""

_KINDS = {
    "connected registry": ("connected_registry",),
    "scope map": ("sync_scope_map", "client_scope_map"),
    "token": ("sync_token", "client_token"),
}


@dataclass(frozen=True)
class PlacedSite:
    """A site that is valid by itself, with its lines."""

    entry: SiteEntry
    merged: Merged
    registry: str
    names: SiteNames

    def line(self, *path: str | int) -> int:
        """Return the line of one of the site's values."""
        return self.merged.line(path)

    def shown(self, *path: str | int) -> str:
        """Return how one of the site's values is called."""
        return show_path(self.merged.document, self.merged.origin(()) + path)


def check_site_names(document: Document, sites: Sequence[object]) -> Iterator[Problem]:
    """Yield sites that share a name; case does not tell sites apart."""
    first: dict[str, int] = {}
    for place, site in enumerate(sites):
        name = site.get("name") if isinstance(site, dict) else None
        if not isinstance(name, str):
            continue
        line = document.line(("sites", place, "name"))
        if name.lower() in first:
            yield Problem(
                line,
                f"sites[{name}].name is {name}: the site on line {first[name.lower()]} has this"
                " name already; choose another one",
            )
        first.setdefault(name.lower(), line)


def choose_registry(entry: SiteEntry, merged: Merged, keys: Sequence[str]) -> str | Problem:
    """Return the key of a site's registry, or what is wrong with it."""
    path: Path = ("registry",)
    shown = show_path(merged.document, merged.origin(path))
    if entry.registry is None and len(keys) == 1:
        return keys[0]
    if entry.registry is None:
        return Problem(
            merged.line(()), f"{shown} is missing: allowed are {', '.join(keys)}; choose one"
        )
    if entry.registry in keys:
        return entry.registry
    close = get_close_matches(entry.registry, keys, n=1)
    advice = f'did you mean "{close[0]}"?' if close else "choose one or add it to registries"
    return Problem(
        merged.line(path),
        f"{shown} is {entry.registry}: allowed are {', '.join(keys)}; {advice}",
    )


def check_registries(
    document: Document, registries: dict[str, AcrRegistry | RegistryFromBlock]
) -> Iterator[Problem]:
    """Yield registries that are there twice under two keys: limits are counted per registry."""
    first: dict[object, str] = {}
    for key, registry in registries.items():
        same: object = (
            registry.settings_block
            if isinstance(registry, RegistryFromBlock)
            else (registry.name.lower(), registry.cloud)
        )
        if same in first:
            yield Problem(
                document.line(("registries", key)),
                f"{show_path(document, ('registries', key))} is the same registry as"
                f" {first[same]}; keep one of them",
            )
        first.setdefault(same, key)


def check_fleet(document: Document, placed: Sequence[PlacedSite]) -> Iterator[Problem]:
    """Yield everything that goes wrong between sites, or with Azure's limits."""
    by_registry: dict[str, list[PlacedSite]] = defaultdict(list)
    for one in placed:
        by_registry[one.registry].append(one)
        yield from _check_repositories(one)
    for key, sites in by_registry.items():
        yield from _check_number(document, key, len(sites))
        yield from _check_names(key, sites)
    yield from _check_nodes(placed)


def _check_number(document: Document, key: str, number: int) -> Iterator[Problem]:
    if number > MAX_CONNECTED_REGISTRIES:
        yield Problem(
            document.line(("registries", key)),
            f"{show_path(document, ('registries', key))} has {number} sites: allowed are"
            f" {MAX_CONNECTED_REGISTRIES} connected registries on one Azure registry; move"
            f" {number - MAX_CONNECTED_REGISTRIES} to another one",
        )


def _check_names(key: str, sites: Sequence[PlacedSite]) -> Iterator[Problem]:
    for kind, fields in _KINDS.items():
        users: dict[str, PlacedSite] = {}
        for one in sites:
            for field in fields:
                name = getattr(one.names, field)
                other = users.setdefault(name.lower(), one)
                if other is not one or _used_twice(one.names, fields, field):
                    yield Problem(
                        one.line("names", field),
                        f"{one.shown('names', field)} is {name}: site {other.entry.name} has a"
                        f" {kind} of this name on {key} already; choose another under names",
                    )


def _used_twice(names: SiteNames, fields: Sequence[str], field: str) -> bool:
    """Return whether an earlier field of the same site has the same name."""
    earlier = fields[: fields.index(field)]
    return getattr(names, field).lower() in {getattr(names, other).lower() for other in earlier}


def _check_nodes(placed: Sequence[PlacedSite]) -> Iterator[Problem]:
    owners: dict[str, PlacedSite] = {}
    for one in placed:
        for place, node in enumerate(one.entry.nodes):
            other = owners.setdefault(node.endpoint, one)
            if other is not one:
                yield Problem(
                    one.line("nodes", place, "address"),
                    f"{one.shown('nodes', place, 'address')} is {node.address}: site"
                    f" {other.entry.name} has the node {node.endpoint} already; a machine belongs"
                    " to one site, mend the address or the port",
                )


def _check_repositories(one: PlacedSite) -> Iterator[Problem]:
    """Yield when the repositories named in full already need more actions than Azure allows.

    What wildcards select is known only with the registry's catalog; onboarding checks it then.
    """
    mode, literal = one.entry.connected_registry.mode, named_repositories(one)
    fitting = most_repositories(mode)
    if len(literal) > fitting:
        yield Problem(
            one.line("repositories", "include"),
            f"{one.shown('repositories', 'include')} names {len(literal)} repositories: allowed are"
            f" {fitting} in {mode} mode ({MAX_ACTIONS} actions in one scope map); leave"
            f" {len(literal) - fitting} out",
        )


def named_repositories(one: PlacedSite) -> frozenset[str]:
    """Return the repositories that a site names in full and does not exclude."""
    wanted = one.entry.repositories
    literal = {glob for glob in wanted.include if not set(glob) & set("*?[")}
    return frozenset(n for n in literal if not any(fnmatchcase(n, x) for x in wanted.exclude))
