"""One lab site with its access granted in Azure, and a session to it, for tests of single steps."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from blocks import AzureLogin
from clients.registry_access import RegistryAccess
from clients.registry_catalog import RegistryCatalog
from fleet.fleet_file import parse_fleet
from fleet.outcomes import SiteEndpoint
from fleet.sites import AcrRegistry, Fleet, Patience, Site
from fleet.verification import ProbeImage
from lab.thread import LabThread
from tasks.access import grant_client_access, grant_sync_access
from tasks.charts import deliver_connection_string, install_chart, wait_until_online
from tasks.hosts import configure_nodes
from tasks.sessions import RegistrySession, SiteSession, open_site
from tests.azure_lab_fixture import FAST

REPOSITORIES = ("vessel/navigation", "vessel/crew-portal")
PATIENCE = Patience(
    online=timedelta(seconds=30), accepted=timedelta(seconds=20), node_ready=timedelta(seconds=20)
)

AT_EASE = replace(FAST, read=60)
"""A request that hangs goes on hanging while a test does something else on a busy machine."""


@dataclass
class SiteBench:
    """A running lab and a session to its first site."""

    lab: LabThread
    site: Site
    cloud: RegistrySession
    session: SiteSession

    @property
    def login_server(self) -> str:
        return str(self.lab.info["registries"][0]["login_server"])

    def writes(self) -> list[str]:
        """Return what was written since the last call, as `part action target`.

        Registries that start or end, maybe those of an earlier test, are not written by anybody.
        """
        lines = [
            f"{line['part']} {line['action']} {line['target']}"
            for line in self.lab.audit
            if line["part"] in ("azure", "cluster", "hosts")
        ]
        self.lab.world.audit.path.write_text("")
        return lines

    def with_site(self, **changes: Any) -> SiteSession:
        """Return a session to the same site as another fleet file describes it."""
        self.session.site = self.site.model_copy(update=changes)
        return self.session

    def bring_online(self) -> SiteEndpoint:
        """Do what onboarding does before the pull secrets."""
        deliver_connection_string.fn(self.session)
        install_chart.fn(self.session)
        return wait_until_online.fn(self.session)

    def configure(self, endpoint: SiteEndpoint) -> None:
        configure_nodes.fn(self.session, endpoint, self.login_server)

    def probe(self, repository: str = REPOSITORIES[0], tag: str = "1.4.0") -> ProbeImage:
        digest = self.cloud.catalog.find_digest(repository, tag)
        return ProbeImage(repository=repository, tag=tag, digest=str(digest))


@dataclass
class LabSites:
    """A running lab whose sites are handed out one after the other, so that tests can share it."""

    lab: LabThread
    fleet: Fleet
    cloud: RegistrySession
    handed_out: int = 0

    @contextmanager
    def next_site(self) -> Iterator[SiteBench]:
        """Grant the next site its access in Azure and open it."""
        self.handed_out += 1
        site = self.fleet.sites[self.handed_out - 1].model_copy(update={"patience": PATIENCE})
        grant_sync_access(self.cloud.access, site, REPOSITORIES)
        grant_client_access(self.cloud.access, site, REPOSITORIES)
        with open_site(site, self.cloud) as session:
            bench = SiteBench(self.lab, site, self.cloud, session)
            bench.writes()
            yield bench
        self.lab.call(self.lab.world.clear_faults)


@contextmanager
def lab_sites(
    folder: Path, *, sites: int, minute: float = 0.3, **options: Any
) -> Iterator[LabSites]:
    """Start a lab; a lab minute lasts `minute` seconds; the rest is LabThread's."""
    with LabThread(folder=folder / "lab", sites=sites, minute=minute, **options) as lab:
        fleet = parse_fleet((folder / "lab/fleet.yaml").read_text(), "fleet.yaml")
        registry = fleet.registries[fleet.sites[0].registry]
        with a_registry_session(lab.info["azure"], registry) as cloud:
            yield LabSites(lab, fleet, cloud)


@contextmanager
def a_registry_session(
    azure: Mapping[str, Any], registry: AcrRegistry
) -> Iterator[RegistrySession]:
    """Open a registry with the login in a lab's `info["azure"]`."""
    login = AzureLogin(
        kind="service principal with secret",
        tenant_id=azure["tenant_id"],
        client_id=azure["client_id"],
        client_secret=azure["client_secret"],
        cloud="custom",
        authority=azure["authority"],
        resource_manager=azure["resource_manager"],
        audience=azure["audience"],
        ca_file=azure["ca_file"],
    )
    endpoints, credential = login.endpoints_for(registry.cloud), login.credential(registry.cloud)
    access = RegistryAccess(registry, credential, endpoints, AT_EASE)
    catalog = RegistryCatalog(
        registry, credential, endpoints, lambda: access.read_registry().login_server
    )
    session = RegistrySession(registry, access, catalog)
    try:
        yield session
    finally:
        session.close()
