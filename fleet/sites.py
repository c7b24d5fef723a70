"""What a fleet is: registries and sites, after defaults and overrides are resolved.

These models are the vocabulary of the whole program. `fleet.fleet_file` makes them from YAML; they
hold no secret and are safe to print.
"""

from collections import Counter
from collections.abc import Mapping
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
from fleet.chart_settings import Chart, Service, Storage, Tls
from fleet.maintenance import Maintenance
from fleet.plan_limits import Limits
from fleet.pull_settings import ClientToken, PullSecrets
from fleet.reconcile_settings import Reconcile
from fleet.shard_settings import Dispatch, Shards
from fleet.site_nodes import Host, Jump, Node, Ssh
from fleet.site_times import Patience, Rotation
from fleet.strict import Strict
from fleet.validation import (
    ConnectedRegistryName,
    FilePath,
    ImageReference,
    PlainName,
    ScopeMapName,
    Tag,
    TokenName,
    broken_combination,
    broken_rule,
)
from fleet.validation_cluster import (
    RegistryEndpoint,
)
from fleet.wave_settings import Waves

__all__ = [
    "AcrRegistry",
    "Chart",
    "ClientToken",
    "Cloud",
    "ClusterAccess",
    "ConnectedRegistry",
    "Dispatch",
    "Fleet",
    "GarbageCollection",
    "Host",
    "Jump",
    "Maintenance",
    "Mode",
    "Node",
    "ParentSite",
    "Patience",
    "PullSecrets",
    "RegistryFromBlock",
    "Repositories",
    "Rotation",
    "Service",
    "Shards",
    "Site",
    "SiteNames",
    "Ssh",
    "Storage",
    "Strict",
    "Sync",
    "Tls",
    "Waves",
]


class ClusterAccess(Strict):
    """How the Kubernetes API is reached: through SSH, or straight with a kubeconfig file."""

    kubeconfig: FilePath | None = Field(
        None, description="Local file; none: through the first server"
    )


class SiteNames(Strict):
    """The names of a site's objects in Azure; stable for ever once used."""

    connected_registry: ConnectedRegistryName
    sync_scope_map: ScopeMapName
    sync_token: TokenName
    client_scope_map: ScopeMapName
    client_token: TokenName


class ParentSite(Strict):
    """The site from whose registry another one fetches its images and its messages."""

    name: PlainName
    connected_registry: ConnectedRegistryName
    protocol: Literal["http", "https"]


class SiteSettings(Strict):
    """What a site is told; in the fleet file `defaults` may hold any of it."""

    parent: PlainName | None = Field(
        None, description="Site from whose registry it is fed; none: the Azure registry"
    )
    parent_endpoint: RegistryEndpoint | None = Field(
        None, description="HOST[:PORT] where it reaches the parent's registry; none: as Azure says"
    )
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
    client_tokens: tuple[ClientToken, ...] = Field(
        (), description="Client tokens besides the site's own, for a part of its repositories"
    )
    rotation: Rotation = Field(Rotation(), description="When passwords are rolled")
    reconcile: Reconcile = Field(
        Reconcile(), description="What is mended without asking when a site has drifted"
    )
    patience: Patience = Field(Patience(), description="How long to wait for the site")
    maintenance: Maintenance | None = Field(
        None, description="When something may be restarted at the site; none: always"
    )
    probe_image: ImageReference | None = Field(
        None, description="repo:tag to prove pulls with; none: chosen"
    )
    tags: tuple[Tag, ...] = Field((), description="Tags of the site's runs in Prefect")
    labels: dict[Tag, str] = Field(default_factory=dict, description="Free notes about the site")

    @field_validator("parent_endpoint")
    @classmethod
    def _needs_a_parent(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and "parent" in info.data and info.data["parent"] is None:
            raise broken_combination("there is no parent to reach; add parent or remove the line")
        return value

    @field_validator("client_tokens")
    @classmethod
    def _are_told_apart(
        cls, tokens: tuple[ClientToken, ...], info: ValidationInfo
    ) -> tuple[ClientToken, ...]:
        own = info.data.get("pull_secrets")
        secrets = [one.pull_secrets.name for one in tokens] + ([own.name] if own else [])
        for what, values in (
            ("client tokens are called", [one.name for one in tokens]),
            ("client tokens have the pull secret", secrets),
        ):
            value, count = Counter(values).most_common(1)[0] if values else ("", 0)
            if count > 1:
                raise broken_rule(f"{count} {what} {value}; give each its own")
        return tokens

    @field_validator("maintenance")
    @classmethod
    def _has_room_for_a_restart(
        cls, value: Maintenance | None, info: ValidationInfo
    ) -> Maintenance | None:
        patience = info.data.get("patience")
        if value is not None and patience is not None and value.length < patience.node_ready:
            raise broken_combination(
                "no restart ever begins in a window that is shorter than patience.node_ready; "
                "make it longer"
            )
        return value

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
    fed_by: ParentSite | None = Field(None, description="The parent; none: the Azure registry")
    seen_through: ClientToken | None = Field(
        None,
        description="The further client token that this view is for; none: its own",
    )

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
    limits: Limits = Field(
        Limits(), description="How large a plan may be that is applied without naming the limit"
    )
    waves: Waves | None = Field(
        None, description="In which pieces changing runs go over the fleet; none: all at once"
    )
    dispatch: Dispatch = Field(
        Dispatch.IN_PROCESS,
        description="Where sites are worked on: in the run itself, or by workers, as a deployment",
    )
    shards: Shards = Field(Shards(), description="How a run is cut into runs that workers take up")

    def without_windows(self) -> "Fleet":
        """Return the fleet with sites that may be disturbed at any time."""
        sites = tuple(site.model_copy(update={"maintenance": None}) for site in self.sites)
        return self.model_copy(update={"sites": sites})

    def without_preparations(self) -> "Fleet":
        """Return the fleet with registries that no run may prepare for it."""
        off = {"enable_data_endpoint": False}
        registries = {key: one.model_copy(update=off) for key, one in self.registries.items()}
        return self.model_copy(update={"registries": registries})

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
