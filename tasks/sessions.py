"""Open connections that steps share: to a registry in Azure, and to a site."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from blocks.azure_login import AzureLogin
from blocks.site_ssh import SiteSsh
from clients.azure_clouds import cloud_endpoints, default_credential
from clients.cluster import Cluster, open_cluster
from clients.edge_node import EdgeNode
from clients.local_files import read_kubeconfig_file
from clients.registry_access import RegistryAccess
from clients.registry_catalog import RegistryCatalog
from clients.site_registry import SiteRegistry
from clients.ssh_host import SshEndpoint, SshHost, SshLogin
from fleet.chart_installer import InstallerChoice
from fleet.distributions import DISTRIBUTIONS
from fleet.errors import WaitingError
from fleet.outcomes import SiteEndpoint
from fleet.site_certificates import Authorities
from fleet.sites import AcrRegistry, Chart, Jump, Node, Site, Tls
from tasks.site_certificates import load_authorities


@dataclass
class RegistrySession:
    """One Azure Container Registry; shared by the threads of all its sites."""

    registry: AcrRegistry
    access: RegistryAccess
    catalog: RegistryCatalog
    login: object = None

    def close(self) -> None:
        """Close the connections, those of the login too, for good."""
        self.access.close()
        self.catalog.close()
        close_login = getattr(self.login, "close", None)
        if close_login is not None:
            close_login()


def open_registry_session(registry: AcrRegistry) -> RegistrySession:
    """Make the clients of a registry; nothing is sent before the first step needs it.

    The login is the Azure login block that the registry names, or without one the default chain.

    Raises:
        BlockNotFoundError: The named block does not exist.
        CloudMismatchError: Block and fleet file name different clouds.
        LoginFailedError: The block holds no usable identity.
    """
    if registry.azure_login:
        login = AzureLogin.named(registry.azure_login)
        endpoints = login.endpoints_for(registry.cloud)
        credential = login.credential(registry.cloud)
    else:
        endpoints = cloud_endpoints(registry.cloud)
        credential = default_credential(endpoints)
    access = RegistryAccess(registry, credential, endpoints)
    catalog = RegistryCatalog(
        registry, credential, endpoints, lambda: access.read_registry().login_server
    )
    return RegistrySession(registry, access, catalog, credential)


class SiteNodes:
    """A site's nodes over SSH, by name. Use it from one thread, each node from one more."""

    def __init__(self, site: Site, way: "SshWay", stack: ExitStack) -> None:
        """Take what is needed to connect; `stack` closes what was opened."""
        self.site = site
        self._way, self._stack = way, stack
        self._jumps: dict[Jump, SshHost] = {}
        self.nodes = {node.name: self._node(node) for node in site.nodes}

    def _node(self, node: Node) -> EdgeNode:
        port = node.port if "port" in node.model_fields_set else self._way.port
        jump = node.jump or self._way.jump
        endpoint = SshEndpoint(node.address, port, node.user, node.name)
        host = self._host(endpoint, self._jump(jump) if jump else None)
        distribution = DISTRIBUTIONS[self.site.host.distribution]
        return EdgeNode(host, sudo=self.site.host.sudo, name=node.name, distribution=distribution)

    def _jump(self, jump: Jump) -> SshHost:
        if jump not in self._jumps:
            endpoint = SshEndpoint(jump.address, jump.port, jump.user, f"jump host {jump.address}")
            self._jumps[jump] = self._host(endpoint, None)
        return self._jumps[jump]

    def _host(self, endpoint: SshEndpoint, via: SshHost | None) -> SshHost:
        return self._stack.enter_context(SshHost(endpoint, self._way.login, via))


class SiteSession(SiteNodes):
    """One site: its nodes over SSH and its cluster through the first server.

    Connections are opened when they are first needed, kept for all steps, and opened again when
    they dropped. Use it from one thread. `held` has what had to wait because it restarts something.
    """

    def __init__(self, site: Site, cloud: RegistrySession, way: "SshWay", stack: ExitStack) -> None:
        """Take what is needed to connect; `stack` closes what was opened."""
        super().__init__(site, way, stack)
        self.cloud = cloud
        self._cluster: Cluster | None = None
        self._ca: tuple[Tls, Authorities | None] | None = None
        self._registry: tuple[SiteEndpoint, Authorities | None, SiteRegistry] | None = None
        self._registry_stack = stack.enter_context(ExitStack())
        self.kubeconfigs: Mapping[str, SecretStr | None] = {}
        self.held: dict[str, WaitingError] = {}
        self.installer: tuple[Chart, InstallerChoice] | None = None

    @property
    def server(self) -> EdgeNode:
        """Return the first server: the way to the cluster and to the site's registry."""
        return self.nodes[self.site.servers()[0].name]

    @property
    def cluster(self) -> Cluster:
        """Return the cluster's API, straight or through the first server."""
        if self._cluster is None:
            self._cluster = self._stack.enter_context(self._open_cluster())
        return self._cluster

    @contextmanager
    def seen_as(self, view: Site) -> Iterator["SiteSession"]:
        """Let the steps inside the block look after one client token: a view of `clients_of`."""
        own, self.site = self.site, view
        try:
            yield self
        finally:
            self.site = own

    def read_ca(self) -> Authorities | None:
        """Return the CAs that verify the site's registry; read once, none: this machine's.

        Raises:
            SiteAuthorityMissingError: The site's cluster does not hold it yet.
            SiteAuthorityError: It is no CA that is valid today.
        """
        tls = self.site.chart.tls
        if tls is None:
            return None
        if self._ca is None or self._ca[0] != tls:
            cluster = self.cluster if tls.ca_secret else None
            self._ca = (tls, load_authorities(self.site, cluster))
        return self._ca[1]

    @contextmanager
    def open_registry(self, endpoint: SiteEndpoint) -> Iterator[SiteRegistry]:
        """Reach the site's own registry as the first server reaches it.

        One connection serves all steps of a run; after an error the next step gets a new one.
        """
        wanted = (endpoint, self.read_ca())
        try:
            if self._registry is None or self._registry[:2] != wanted:
                self._registry = (*wanted, self._connect_registry(*wanted))
            yield self._registry[2]
        except BaseException:
            self._registry = None
            raise

    def _connect_registry(self, endpoint: SiteEndpoint, ca: Authorities | None) -> SiteRegistry:
        self._registry_stack.close()
        forward = self._registry_stack.enter_context(
            self.server.host.forward(endpoint.address, endpoint.port)
        )
        return self._registry_stack.enter_context(SiteRegistry(endpoint, forward.port, ca=ca))

    def _open_cluster(self) -> AbstractContextManager[Cluster]:
        if self.site.cluster.kubeconfig:
            return open_cluster(read_kubeconfig_file(self.site.cluster.kubeconfig))
        found = self.kubeconfigs.get(self.server.name) or self.server.read_kubeconfig()
        return open_cluster(found.get_secret_value(), self.server.host)


@contextmanager
def open_site(site: Site, cloud: RegistrySession) -> Iterator[SiteSession]:
    """Open a site for the steps inside the block, and close every connection after it.

    Raises:
        BlockNotFoundError: The SSH block that the site names does not exist.
    """
    with ExitStack() as stack:
        yield SiteSession(site, cloud, _way(site), stack)


@contextmanager
def open_nodes(site: Site) -> Iterator[dict[str, EdgeNode]]:
    """Open a site's nodes alone, for looks that need neither its cluster nor Azure.

    Raises:
        BlockNotFoundError: The SSH block that the site names does not exist.
    """
    with ExitStack() as stack:
        yield SiteNodes(site, _way(site), stack).nodes


@dataclass(frozen=True)
class SshWay:
    """How a site's nodes are reached where the fleet file says nothing of its own."""

    login: SshLogin
    port: int = 22
    jump: Jump | None = None


def _way(site: Site) -> SshWay:
    if site.ssh.block:
        block = SiteSsh.named(site.ssh.block)
        return SshWay(block.login(), block.port, block.jump())
    files = site.ssh
    return SshWay(
        SshLogin(
            user=files.user,
            key_file=Path(files.key_file) if files.key_file else None,
            known_hosts_file=Path(files.known_hosts) if files.known_hosts else None,
        )
    )
