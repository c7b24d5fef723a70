"""The registries that sites mirror: opened, checked and listed once per run, not once per site."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock

from fleet.azure_errors import RepositoriesNotFoundError
from fleet.azure_objects import RegistryFacts
from fleet.errors import FleetError
from fleet.nesting import Descendant, Tree
from fleet.repositories import select_repositories
from fleet.sites import AcrRegistry, Fleet, Site
from fleet.verification import ProbeImage
from tasks.discovery import (
    check_registry,
    list_repositories,
    look_at_registry,
    read_probe_image,
)
from tasks.run_log import warn
from tasks.sessions import RegistrySession, open_registry_session


class UpstreamBrokenError(FleetError):
    """Look at the registry first; none of its sites was touched."""


class Upstream:
    """One registry, ready for its sites; sites that mirror the same share one probe image."""

    def __init__(
        self, cloud: RegistrySession, facts: RegistryFacts, catalog: tuple[str, ...], tree: Tree
    ) -> None:
        """Take the open registry, what was found about it, its repositories, the fleet's tree."""
        self.cloud, self.facts, self.catalog, self.tree = cloud, facts, catalog, tree
        self._probes: dict[tuple[object, ...], ProbeImage] = {}
        self._guards: dict[tuple[object, ...], Lock] = {}
        self._lock = Lock()

    def repositories_of(self, site: Site) -> tuple[str, ...]:
        """Return the repositories that a site mirrors, by its globs; or that its client pulls."""
        found = select_repositories(site.repositories, self.catalog)
        token = site.seen_through
        if token is None or token.repositories is None:
            return found
        return select_repositories(token.repositories, found)

    def below(self, site: Site) -> tuple[Descendant, ...]:
        """Return what is below a site; a site whose globs select nothing stops no other one."""
        return tuple(self.descendant(one) for one in self.tree.below(site))

    def descendant(self, site: Site) -> Descendant:
        """Return a site and what it mirrors, if that can be told."""
        try:
            return Descendant(site, self.repositories_of(site))
        except RepositoriesNotFoundError:
            return Descendant(site, None)

    def probe_image_of(self, site: Site) -> ProbeImage:
        """Return the image that proves a site; one that others need as well is read once."""
        repositories = self.repositories_of(site)
        key = (site.probe_image, repositories)
        with self._lock:
            guard = self._guards.setdefault(key, Lock())
        with guard:
            if key not in self._probes:
                self._probes[key] = read_probe_image(self.cloud, site, repositories)
            return self._probes[key]


class Upstreams:
    """The registries of a run; one that is broken fails its own sites and no others."""

    def __init__(
        self, registries: Iterable[AcrRegistry], tree: Tree, *, looking: bool = False
    ) -> None:
        """Open each registry and keep what went wrong with it; `looking`: and prepare none."""
        self._tree = tree
        self._check = look_at_registry if looking else check_registry
        self._open: dict[str, Upstream] = {}
        self._broken: dict[str, str] = {}
        for registry in registries:
            self._try_to_open(registry)

    def of(self, site: Site) -> Upstream:
        """Return a site's registry, or raise what is wrong with it."""
        if site.registry in self._broken:
            raise UpstreamBrokenError(self._broken[site.registry])
        return self._open[site.registry]

    def close(self) -> None:
        """Close the connections to Azure."""
        for upstream in self._open.values():
            upstream.cloud.close()

    def _try_to_open(self, registry: AcrRegistry) -> None:
        try:
            cloud = open_registry_session(registry)
            facts = self._check(cloud)
            self._open[registry.key] = Upstream(cloud, facts, list_repositories(cloud), self._tree)
        except FleetError as error:
            self._broken[registry.key] = f"registry {registry.key}: {error}"
            warn(self._broken[registry.key])


@contextmanager
def open_upstreams(
    fleet: Fleet, sites: Iterable[Site], *, looking: bool = False
) -> Iterator[Upstreams]:
    """Open the registries that these sites use, and close them after the block.

    Args:
        fleet: The fleet.
        sites: The sites.
        looking: Prepare no registry, not even where the fleet file allows it.
    """
    used = {site.registry for site in sites}
    registries = [registry for key, registry in fleet.registries.items() if key in used]
    upstreams = Upstreams(registries, Tree(fleet.sites), looking=looking)
    try:
        yield upstreams
    finally:
        upstreams.close()
