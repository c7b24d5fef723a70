"""The fleet file: YAML in, a `Fleet` out, or all of its problems at once.

How it works: YAML becomes plain data with line numbers (`fleet_file_yaml`), each site is laid over
the defaults as data (`fleet_file_merge`), pydantic checks the result (`fleet_file_models`), what it
finds is led back to the line on which it stands (`fleet_file_problems`), and at last the sites are
compared with each other (`fleet_file_checks`) and their tree is looked at (`fleet_file_tree`).
"""

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import ValidationError

from fleet.azure_settings import AcrRegistry, RegistryBlockEntry, RegistryEntry, RegistryFromBlock
from fleet.errors import FleetFileError
from fleet.fleet_file_checks import (
    PlacedSite,
    check_fleet,
    check_registries,
    check_site_names,
    choose_registry,
)
from fleet.fleet_file_merge import Merged, merge_site
from fleet.fleet_file_models import DefaultsEntry, FleetHeader, SiteEntry
from fleet.fleet_file_problems import problems_of, secret_problems
from fleet.fleet_file_tree import check_tree, parent_of
from fleet.fleet_file_yaml import Document, Problem, read_document
from fleet.names import derive_names
from fleet.sites import Fleet, ParentSite, Site, SiteSettings
from fleet.strict import Strict
from fleet.waves_check import check_canaries

_Model = TypeVar("_Model", bound=Strict)
_Registries = dict[str, AcrRegistry | RegistryFromBlock]


def parse_fleet(text: str, source: str) -> Fleet:
    """Return the fleet that a fleet file describes.

    Args:
        text: The file's content.
        source: What the file is called in messages.

    Raises:
        FleetFileError: With one sentence per problem, each with file and line, in the file's order.
    """
    document = read_document(text)
    unreadable = document.data is None and document.problems
    fleet = None if unreadable else _Reader(document).fleet()
    if fleet is None or document.problems:
        problems = sorted(set(document.problems))
        raise FleetFileError([f"{source}:{found.line}: {found.text}" for found in problems])
    return fleet


class _Reader:
    """One reading of a document; problems collect in the document."""

    def __init__(self, document: Document) -> None:
        """Take YAML that could be read."""
        self._document = document
        self._problems = document.problems

    def fleet(self) -> Fleet | None:
        """Return the fleet, or None when there are problems."""
        if not isinstance(self._document.data, dict):
            self._problems.append(_not_a_mapping(self._document.data))
            return None
        data = self._document.data
        header = self._check(FleetHeader, Merged(self._document, data))
        registries = self._registries(data.get("registries"))
        placed = list(self._sites(data.get("sites")))
        self._problems += check_fleet(self._document, placed)
        self._problems += check_tree(placed)
        if header and header.waves:
            entries = [one.entry for one in placed]
            self._problems += check_canaries(self._document, header.waves, entries)
        return _assemble(header, registries, placed) if header and not self._problems else None

    def _registries(self, data: Any) -> _Registries:
        found: _Registries = {}
        for key, entry in data.items() if isinstance(data, dict) else ():
            merged = merge_site(self._document, None, entry, ("registries", key))
            if isinstance(entry, dict) and "settings_block" in entry:
                block = self._check(RegistryBlockEntry, merged)
                if block:
                    found[key] = RegistryFromBlock.model_construct(**dict(block), key=key)
            else:
                registry = self._check(RegistryEntry, merged)
                if registry:
                    found[key] = AcrRegistry.model_construct(**dict(registry), key=key)
        self._problems += check_registries(self._document, found)
        return found

    def _defaults(self, defaults: Any) -> dict[str, Any]:
        """Return the defaults; check them by themselves, since sites may override what is wrong."""
        if not isinstance(defaults, dict):
            return {}
        if "name" in defaults:
            line = self._document.line(("defaults", "name"))
            self._problems.append(Problem(line, "defaults.name: names belong to sites; remove it"))
        usable = {key: value for key, value in defaults.items() if key != "name"}
        merged = merge_site(self._document, None, usable, ("defaults",))
        self._problems += secret_problems(merged)
        self._check(DefaultsEntry, merged, partial=True)
        return usable

    def _sites(self, data: Any) -> Iterator[PlacedSite]:
        sites = data if isinstance(data, list) else []
        self._problems += check_site_names(self._document, sites)
        defaults = self._defaults(self._document.data.get("defaults"))
        for place, site in enumerate(sites):
            merged = merge_site(self._document, defaults, site, ("sites", place))
            self._problems += secret_problems(merged)
            entry = self._check(SiteEntry, merged)
            if entry:
                yield from self._place(entry, merged)

    def _place(self, entry: SiteEntry, merged: Merged) -> Iterator[PlacedSite]:
        """Yield the site with its registry and names, even if the top of the file is broken."""
        data = self._document.data
        keys = list(data["registries"]) if isinstance(data.get("registries"), dict) else []
        registry = choose_registry(entry, merged, keys) if keys else ""
        if isinstance(registry, Problem):
            self._problems.append(registry)
            return
        names = derive_names(str(data.get("fleet")), entry.name, entry.names)
        yield PlacedSite(entry, merged, registry, names)

    def _check(
        self, model: type[_Model], merged: Merged, *, partial: bool = False
    ) -> _Model | None:
        try:
            return model.model_validate(merged.data)
        except ValidationError as error:
            self._problems += problems_of(error, model, merged, partial=partial)
            return None


def _assemble(header: FleetHeader, registries: _Registries, placed: list[PlacedSite]) -> Fleet:
    sites = {one.entry.name: one for one in placed}
    return Fleet(
        name=header.fleet,
        registries={k: v for k, v in registries.items() if isinstance(v, AcrRegistry)},
        registry_blocks={k: v for k, v in registries.items() if isinstance(v, RegistryFromBlock)},
        sites=tuple(_resolve(one, header.fleet, parent_of(one, sites)) for one in placed),
        max_sites_at_once=header.max_sites_at_once,
        limits=header.limits,
        waves=header.waves,
        dispatch=header.dispatch,
        shards=header.shards,
    )


def _resolve(one: PlacedSite, fleet: str, parent: ParentSite | None) -> Site:
    settings = {name: getattr(one.entry, name) for name in SiteSettings.model_fields}
    return Site(
        **settings,
        name=one.entry.name,
        fleet=fleet,
        registry=one.registry,
        names=one.names,
        fed_by=parent,
    )


def _not_a_mapping(data: Any) -> Problem:
    found = (
        "is empty" if data is None else f"holds a {'list' if isinstance(data, list) else 'text'}"
    )
    return Problem(
        1,
        f"the file {found}: allowed is a mapping; begin with version: 1, fleet, registries, sites",
    )
