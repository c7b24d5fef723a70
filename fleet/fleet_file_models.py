"""The shape of the fleet file as written; `fleet.sites` has the shape after it is resolved."""

from typing import Any, Literal

from pydantic import Field

from fleet.azure_settings import RegistryBlockEntry, RegistryEntry
from fleet.names import NameOverrides
from fleet.plan_limits import Limits
from fleet.shard_settings import Dispatch, Shards
from fleet.sites import SiteSettings
from fleet.strict import Strict
from fleet.validation import PlainName, WholeNumber
from fleet.wave_settings import Waves


class DefaultsEntry(SiteSettings):
    """What all sites share; a site overrides it key by key, lists as a whole."""

    registry: PlainName | None = Field(
        None, description="Which of the registries; none: the only one there is"
    )
    names: NameOverrides = Field(
        NameOverrides(), description="Names in Azure; none: derived from fleet and site"
    )


class SiteEntry(DefaultsEntry):
    """One site."""

    name: PlainName = Field(description="Name of the site; its names in Azure derive from it")


class _FleetTop(Strict):
    version: Literal[1] = Field(description="Version of this format")
    fleet: PlainName = Field(description="Name of the fleet; names in Azure derive from it")
    max_sites_at_once: WholeNumber | None = Field(
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


class FleetHeader(_FleetTop):
    """The top of the file; registries, defaults and sites are looked at one by one."""

    registries: dict[PlainName, Any] = Field(min_length=1, description="The Azure registries")
    defaults: dict[str, Any] = Field(default_factory=dict)
    sites: tuple[Any, ...] = Field(min_length=1, description="The sites")


class FleetDocument(_FleetTop):
    """A fleet: registries, defaults and sites."""

    registries: dict[PlainName, RegistryEntry | RegistryBlockEntry] = Field(
        min_length=1, description="The Azure registries, each under a key that sites name"
    )
    defaults: DefaultsEntry | None = Field(None, description="What all sites share")
    sites: tuple[SiteEntry, ...] = Field(min_length=1, description="The sites")
