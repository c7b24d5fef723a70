"""What a fleet is: registries and sites, after defaults and overrides are resolved.

These models are the vocabulary of the whole program. `fleet.fleet_file` makes them from YAML; they
hold no secret and are safe to print.
"""

from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Cloud(Strict):
    """Where Azure is. `custom` names its own end points, as Azure Stack and the lab do."""

    name: Literal["public", "government", "china", "custom"] = "public"
    authority: str | None = Field(None, description="Login authority, for example https://host")
    resource_manager: str | None = Field(None, description="Resource Manager URL")
    audience: str | None = Field(None, description="Audience of management tokens")
    ca_file: str | None = Field(None, description="PEM file that verifies these end points")


class AcrRegistry(Strict):
    """One Azure Container Registry that is the parent of connected registries."""

    key: str = Field(description="The name this fleet file gives it")
    subscription_id: str
    resource_group: str
    name: str
    cloud: Cloud = Cloud()
    azure_login: str | None = Field(None, description="Azure login block; none: default chain")
    enable_data_endpoint: bool = Field(
        False, description="May turn on the dedicated data endpoint where it is off"
    )
    max_concurrent_calls: int = Field(8, ge=1, le=64)


class Mode(StrEnum):
    """Whether sites may push to their registry."""

    READ_ONLY = "ReadOnly"
    READ_WRITE = "ReadWrite"


class Repositories(Strict):
    """Which repositories a site mirrors, as globs over the registry's catalog."""

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()


class Sync(Strict):
    """When a site fetches content and messages; the schedule is a 5-field cron in UTC."""

    schedule: str = "* * * * *"
    window: timedelta | None = None
    message_ttl: timedelta = timedelta(days=2)


class GarbageCollection(Strict):
    """When the site's registry removes blobs nobody refers to."""

    enabled: bool = True
    schedule: str = "0 0 * * *"


class ConnectedRegistry(Strict):
    """Settings of the connected registry resource in Azure."""

    mode: Mode = Mode.READ_ONLY
    sync: Sync = Sync()
    log_level: Literal["Debug", "Information", "Warning", "Error", "None"] = "Information"
    audit_log: bool = False
    garbage_collection: GarbageCollection = GarbageCollection()
    notifications: tuple[str, ...] = ()


class Storage(Strict):
    """The volume that holds the mirrored images."""

    class_name: str = "local-path"
    size: str = "20Gi"


class Service(Strict):
    """How the site's registry is reached inside the site."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    cluster_ip: IPv4Address | IPv6Address | None = None


class Chart(Strict):
    """The connected registry's Helm chart and the values given to it."""

    reference: str = "oci://mcr.microsoft.com/acr/connected-registry/chart"
    version: str
    namespace: str = "connected-registry"
    release: str = "connected-registry"
    http_enabled: bool = True
    chunk_size_mb: int | None = Field(None, ge=1, le=1024)
    storage: Storage = Storage()
    service: Service = Service()
    extra_values: dict[str, Any] = Field(default_factory=dict)


class Jump(Strict):
    """A host through which a node is reached; it uses the site's SSH login."""

    address: str
    port: int = Field(22, ge=1, le=65535)
    user: str | None = None


class Node(Strict):
    """One machine of a site's cluster."""

    name: str = Field(description="Kubernetes node name; the address when the file gives none")
    address: str
    port: int = Field(22, ge=1, le=65535)
    user: str | None = Field(None, description="SSH user; none: the site's")
    role: Literal["server", "agent"] = "server"
    jump: Jump | None = None


class Ssh(Strict):
    """How to log in to a site's nodes. The block, where named, wins over the files."""

    block: str | None = None
    user: str | None = None
    key_file: str | None = None
    known_hosts: str | None = Field(None, description="File; none: ~/.ssh/known_hosts")


class Host(Strict):
    """What the nodes are."""

    distribution: Literal["k3s"] = "k3s"
    sudo: bool = Field(True, description="Use `sudo -n` where the SSH user is not root")


class ClusterAccess(Strict):
    """How the Kubernetes API is reached: through SSH, or straight with a kubeconfig file."""

    kubeconfig: str | None = Field(None, description="Local file; none: through the first server")


class PullSecrets(Strict):
    """Where the credentials for pulling are put."""

    name: str = "acrfleet-pull"
    namespaces: tuple[str, ...] = ("default",)
    namespace_labels: dict[str, str] = Field(default_factory=dict)
    service_accounts: tuple[str, ...] = ("default",)
    expires_after: timedelta | None = None


class Patience(Strict):
    """How long to wait for a site before it is reported as waiting or failed."""

    online: timedelta = timedelta(minutes=15)
    accepted: timedelta = timedelta(minutes=15)
    node_ready: timedelta = timedelta(minutes=5)


class SiteNames(Strict):
    """The names of a site's objects in Azure; stable for ever once used."""

    connected_registry: str
    sync_scope_map: str
    sync_token: str
    client_scope_map: str
    client_token: str


class Site(Strict):
    """One edge site with everything resolved: defaults merged, names derived."""

    name: str
    fleet: str
    registry: str = Field(description="Key of the registry in the fleet file")
    repositories: Repositories
    connected_registry: ConnectedRegistry = ConnectedRegistry()
    chart: Chart
    nodes: tuple[Node, ...]
    ssh: Ssh = Ssh()
    host: Host = Host()
    cluster: ClusterAccess = ClusterAccess()
    pull_secrets: PullSecrets = PullSecrets()
    patience: Patience = Patience()
    names: SiteNames
    probe_image: str | None = Field(None, description="repo:tag to prove pulls with; none: chosen")
    tags: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)

    def servers(self) -> tuple[Node, ...]:
        """Return the server nodes, in the order in which they are restarted."""
        return tuple(node for node in self.nodes if node.role == "server")

    def agents(self) -> tuple[Node, ...]:
        """Return the agent nodes."""
        return tuple(node for node in self.nodes if node.role == "agent")


class Fleet(Strict):
    """A whole fleet file, resolved."""

    name: str
    registries: dict[str, AcrRegistry]
    sites: tuple[Site, ...]
    max_sites_at_once: int | None = Field(
        None, ge=1, description="Sites worked on at once; none: what the database bears"
    )
