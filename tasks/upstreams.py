"""The registries that sites mirror: opened, checked and listed once per run, not once per site."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock

from fleet.azure_objects import RegistryFacts
from fleet.errors import FleetError
from fleet.repositories import select_repositories
from fleet.sites import AcrRegistry, Fleet, Site
from fleet.verification import ProbeImage
from tasks.discovery import check_registry, list_repositories, read_probe_image
from tasks.run_log import warn
from tasks.sessions import RegistrySession, open_registry_session


class UpstreamBrokenError(FleetError):
    """Look at the registry first; none of its sites was touched."""


class Upstream:
    """One registry, ready for its sites; sites that mirror the same share one probe image."""

    def __init__(
        self, cloud: RegistrySession, facts: RegistryFacts, catalog: tuple[str, ...]
    ) -> None:
        """Take the open registry, what was found about it and its repositories."""
        self.cloud, self.facts, self.catalog = cloud, facts, catalog
        self._probes: dict[tuple[object, ...], ProbeImage] = {}
        self._lock = Lock()

    def repositories_of(self, site: Site) -> tuple[str, ...]:
        """Return the repositories that a site mirrors, by its globs."""
        return select_repositories(site.repositories, self.catalog)

    def probe_image_of(self, site: Site) -> ProbeImage:
        """Return the image with which a site's pulls are proven."""
        repositories = self.repositories_of(site)
        key = (site.probe_image, repositories)
        with self._lock:
            if key not in self._probes:
                self._probes[key] = read_probe_image(self.cloud, site, repositories)
            return self._probes[key]


class Upstreams:
    """The registries of a run; one that is broken fails its own sites and no others."""

    def __init__(self, registries: Iterable[AcrRegistry]) -> None:
        """Open each registry and keep what went wrong with it, if anything did."""
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
            facts = check_registry(cloud)
            self._open[registry.key] = Upstream(cloud, facts, list_repositories(cloud))
        except FleetError as error:
            self._broken[registry.key] = f"registry {registry.key}: {error}"
            warn(self._broken[registry.key])


@contextmanager
def open_upstreams(fleet: Fleet, sites: Iterable[Site]) -> Iterator[Upstreams]:
    """Open the registries that these sites use, and close them after the block."""
    used = {site.registry for site in sites}
    upstreams = Upstreams(registry for key, registry in fleet.registries.items() if key in used)
    try:
        yield upstreams
    finally:
        upstreams.close()
