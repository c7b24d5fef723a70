"""What a fleet is: registries and sites, after defaults and overrides are resolved.

These models are the vocabulary of the whole program. `fleet.fleet_file` makes them from YAML; they
hold no secret and are safe to print.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from fleet.azure_settings import (
    AcrRegistry,
    Cloud,
    ConnectedRegistry,
    GarbageCollection,
    Mode,
    RegistryFromBlock,
    Repositories,
    Sync,
    refuse_twins,
)
from fleet.chart_settings import Chart, Service, Storage
from fleet.strict import Strict
from fleet.validation import (
    BlockName,
    ConnectedRegistryName,
    FilePath,
    Flag,
    ImageReference,
    PlainName,
    Port,
    ScopeMapName,
    Tag,
    TokenName,
    broken_combination,
    broken_rule,
)
from fleet.validation_cluster import (
    HostAddress,
    LabelKey,
    LabelValue,
    NamespaceName,
    NodeName,
    ObjectName,
    UserName,
)
from fleet.validation_time import Expiry, Wait

__all__ = [
    "AcrRegistry",
    "Chart",
    "Cloud",
    "ClusterAccess",
    "ConnectedRegistry",
    "Fleet",
    "GarbageCollection",
    "Host",
    "Jump",
    "Mode",
    "Node",
    "Patience",
    "PullSecrets",
    "RegistryFromBlock",
    "Repositories",
    "Service",
    "Site",
    "SiteNames",
    "Ssh",
    "Storage",
    "Strict",
    "Sync",
]


class Jump(Strict):
    """A host through which a node is reached; it uses the site's SSH login."""

    address: HostAddress = Field(description="Host name or IP address")
    port: Port = Field(22, description="SSH port")
    user: UserName | None = Field(None, description="SSH user; none: the site's")


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address.lower()


class Node(Strict):
    """One machine of a site's cluster."""

    address: HostAddress = Field(description="Host name or IP address, as the jump host sees it")
    name: NodeName = Field(
        default_factory=lambda data: data.get("address", ""),
        description="Kubernetes node name; none: the address",
    )
    port: Port = Field(22, description="SSH port")
    user: UserName | None = Field(None, description="SSH user; none: the site's")
    role: Literal["server", "agent"] = Field("server", description="What K3s is on it")
    jump: Jump | None = Field(None, description="Host through which it is reached")

    @property
    def endpoint(self) -> str:
        """Return what no two nodes may share: address, port and the jump host's, if any."""
        via = f" via {_host(self.jump.address)}:{self.jump.port}" if self.jump else ""
        return f"{_host(self.address)}:{self.port}{via}"


class Ssh(Strict):
    """How to log in to a site's nodes. The block, where named, wins over the files."""

    block: BlockName | None = Field(None, description="Site SSH block")
    user: UserName | None = Field(None, description="SSH user of all nodes")
    key_file: FilePath | None = Field(None, description="Private key on this machine")
    known_hosts: FilePath | None = Field(None, description="File; none: ~/.ssh/known_hosts")


class Host(Strict):
    """What the nodes are."""

    distribution: Literal["k3s"] = Field("k3s", description="Kubernetes distribution")
    sudo: Flag = Field(True, description="Use `sudo -n` where the SSH user is not root")


class ClusterAccess(Strict):
    """How the Kubernetes API is reached: through SSH, or straight with a kubeconfig file."""

    kubeconfig: FilePath | None = Field(
        None, description="Local file; none: through the first server"
    )


class PullSecrets(Strict):
    """Where the credentials for pulling are put."""

    name: ObjectName = Field("acrfleet-pull", description="Name of the Secret")
    namespaces: tuple[NamespaceName, ...] = Field(("default",), description="Namespaces by name")
    namespace_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Namespaces that have all these labels, too",
        validate_default=True,
    )
    service_accounts: tuple[ObjectName, ...] = Field(
        ("default",), description="Service accounts that get the Secret, in each namespace"
    )
    expires_after: Expiry = Field(None, description="Lifetime of a password; none: no expiry")

    @field_validator("namespace_labels")
    @classmethod
    def _go_somewhere(cls, labels: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if not labels and info.data.get("namespaces") == ():
            raise broken_combination("without namespaces it has to select some; add either")
        return labels


class Patience(Strict):
    """How long to wait for a site before it is reported as waiting or failed."""

    online: Wait = Field(timedelta(minutes=15), description="Until the registry is Online")
    accepted: Wait = Field(timedelta(minutes=15), description="Until it accepts a new password")
    node_ready: Wait = Field(timedelta(minutes=5), description="Until a restarted node is Ready")


class SiteNames(Strict):
    """The names of a site's objects in Azure; stable for ever once used."""

    connected_registry: ConnectedRegistryName
    sync_scope_map: ScopeMapName
    sync_token: TokenName
    client_scope_map: ScopeMapName
    client_token: TokenName


class SiteSettings(Strict):
    """What a site is told; in the fleet file `defaults` may hold any of it."""

    repositories: Repositories = Field(description="Which repositories the site mirrors")
    connected_registry: ConnectedRegistry = Field(
        ConnectedRegistry(), description="Settings of the connected registry in Azure"
    )
    chart: Chart = Field(description="The Helm chart and its values")
    nodes: tuple[Node, ...] = Field(min_length=1, description="The machines of the site's cluster")
    ssh: Ssh = Field(Ssh(), description="How to log in to the nodes")
    host: Host = Field(Host(), description="What the nodes are")
    cluster: ClusterAccess = Field(ClusterAccess(), description="How the Kubernetes API is reached")
    pull_secrets: PullSecrets = Field(PullSecrets(), description="Where pull credentials go")
    patience: Patience = Field(Patience(), description="How long to wait for the site")
    probe_image: ImageReference | None = Field(
        None, description="repo:tag to prove pulls with; none: chosen"
    )
    tags: tuple[Tag, ...] = Field((), description="Tags of the site's runs in Prefect")
    labels: dict[Tag, str] = Field(default_factory=dict, description="Free notes about the site")

    @field_validator("nodes")
    @classmethod
    def _has_a_server_and_no_twins(cls, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        if all(node.role == "agent" for node in nodes):
            raise broken_rule("at least one node has to be a server; give one of them role: server")
        for verb, values in (
            ("called", [node.name for node in nodes]),
            ("at", [node.endpoint for node in nodes]),
        ):
            value, count = Counter(values).most_common(1)[0]
            if count > 1:
                raise broken_rule(f"{count} nodes are {verb} {value}; keep one or mend the others")
        return nodes


class Site(SiteSettings):
    """One edge site with everything resolved: defaults merged, names derived."""

    name: PlainName
    fleet: PlainName
    registry: PlainName = Field(description="Key of the registry in the fleet file")
    names: SiteNames

    def servers(self) -> tuple[Node, ...]:
        """Return the server nodes, in the order in which they are restarted."""
        return tuple(node for node in self.nodes if node.role == "server")

    def agents(self) -> tuple[Node, ...]:
        """Return the agent nodes."""
        return tuple(node for node in self.nodes if node.role == "agent")


class Fleet(Strict):
    """A whole fleet file, resolved.

    A registry is in `registries`, or in `registry_blocks` until `with_registries` has put what the
    blocks say in its place: reading a block needs Prefect, which this package does not know.
    """

    name: PlainName
    registries: dict[str, AcrRegistry]
    sites: tuple[Site, ...]
    registry_blocks: dict[str, RegistryFromBlock] = Field(default_factory=dict)
    max_sites_at_once: int | None = Field(
        None, ge=1, description="Sites worked on at once; none: what the database bears"
    )

    def with_registries(self, read: Mapping[str, AcrRegistry]) -> "Fleet":
        """Return the fleet with registries that were read from blocks.

        Raises:
            FleetFileError: A block holds a registry that the fleet has already.
        """
        refuse_twins({**self.registries, **read})
        left = {key: block for key, block in self.registry_blocks.items() if key not in read}
        return self.model_copy(
            update={"registries": {**self.registries, **read}, "registry_blocks": left}
        )
