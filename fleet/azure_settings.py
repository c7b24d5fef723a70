"""The part of the fleet's vocabulary that is about Azure; `fleet.sites` passes it on."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from fleet.errors import FleetFileError
from fleet.strict import Strict
from fleet.validation import (
    BlockName,
    FilePath,
    Flag,
    HttpsUrl,
    Notification,
    PlainName,
    RegistryName,
    RepositoryGlob,
    ResourceGroup,
    SubscriptionId,
    WholeNumber,
    broken_combination,
)
from fleet.validation_time import CONTINUOUS, Cron, MessageTtl, Window


class Cloud(Strict):
    """Where Azure is. `custom` names its own end points, as Azure Stack and the lab do."""

    name: Literal["public", "government", "china", "custom"] = Field(
        "public", description="Which Azure; custom needs authority and resource_manager"
    )
    authority: HttpsUrl | None = Field(
        None, description="Login authority, for example https://host", validate_default=True
    )
    resource_manager: HttpsUrl | None = Field(
        None, description="Resource Manager URL", validate_default=True
    )
    audience: str | None = Field(None, description="Audience of management tokens", min_length=1)
    ca_file: FilePath | None = Field(None, description="PEM file that verifies these end points")

    @field_validator("authority", "resource_manager", "audience")
    @classmethod
    def _only_custom_clouds_have_end_points(
        cls, value: str | None, info: ValidationInfo
    ) -> str | None:
        name = info.data.get("name")
        if name == "custom" and value is None and info.field_name != "audience":
            raise broken_combination("a custom cloud needs it; add the URL")
        if name not in ("custom", None) and value is not None:
            raise broken_combination(
                f"the {name} cloud has its own; remove the line or set name: custom"
            )
        return value


def _spell_out(cloud: Any) -> Any:
    """Take `cloud: china` for `cloud: {name: china}`."""
    return {"name": cloud} if isinstance(cloud, str) else cloud


class RegistryEntry(Strict):
    """One Azure Container Registry, as the fleet file describes it."""

    subscription_id: SubscriptionId = Field(description="Azure subscription (a GUID)")
    resource_group: ResourceGroup = Field(description="Resource group of the registry")
    name: RegistryName = Field(description="Name of the registry, without .azurecr.io")
    cloud: Annotated[Cloud, BeforeValidator(_spell_out)] = Field(
        Cloud(), description="Which Azure; none: the public one"
    )
    azure_login: BlockName | None = Field(
        None, description="Azure login block; none: default chain"
    )
    enable_data_endpoint: Flag = Field(
        False, description="May turn on the dedicated data endpoint where it is off"
    )
    max_concurrent_calls: WholeNumber = Field(
        8, ge=1, le=64, description="Azure calls at the same time, over all sites"
    )


class AcrRegistry(RegistryEntry):
    """One Azure Container Registry that is the parent of connected registries."""

    key: PlainName = Field(description="The name this fleet file gives it")


class RegistryBlockEntry(Strict):
    """A registry whose address is in a Prefect block; what is none here, the block decides."""

    settings_block: BlockName = Field(
        description="Registry settings block that holds subscription, resource group and name"
    )
    enable_data_endpoint: Flag | None = Field(
        None, description="May turn on the dedicated data endpoint; none: as the block says"
    )
    max_concurrent_calls: WholeNumber | None = Field(
        None, ge=1, le=64, description="Azure calls at the same time; none: as the block says"
    )


class RegistryFromBlock(RegistryBlockEntry):
    """A registry whose block has yet to be read."""

    key: PlainName = Field(description="The name this fleet file gives it")


def refuse_twins(registries: Mapping[str, AcrRegistry]) -> None:
    """Refuse the same registry under two keys: limits and names are checked per key.

    Raises:
        FleetFileError: Two keys hold one registry.
    """
    keys: dict[tuple[str, Cloud], str] = {}
    for key, registry in registries.items():
        other = keys.setdefault((registry.name.lower(), registry.cloud), key)
        if other != key:
            raise FleetFileError(
                [f"registries.{key} is the same registry as {other}; keep one of them"]
            )


class Mode(StrEnum):
    """Whether sites may push to their registry."""

    READ_ONLY = "ReadOnly"
    READ_WRITE = "ReadWrite"


class Repositories(Strict):
    """Which repositories a site mirrors, as globs over the registry's catalog."""

    include: tuple[RepositoryGlob, ...] = Field(
        min_length=1, description="Globs of what is mirrored", examples=[["vessel/*"]]
    )
    exclude: tuple[RepositoryGlob, ...] = Field(
        (), description="Globs of what is left out again", examples=[["vessel/tests"]]
    )


class Sync(Strict):
    """When a site fetches content and messages; the schedule is a 5-field cron in UTC."""

    schedule: Cron = Field(
        CONTINUOUS, description="When a sync starts: 5-field cron in UTC; * * * * * is continuous"
    )
    window: Window = Field(
        None,
        description="How long a sync may take, 1h to 7d; needed unless the sync is continuous",
        validate_default=True,
    )
    message_ttl: MessageTtl = Field(
        timedelta(days=2), description="How long Azure keeps messages for the site, 1d to 90d"
    )

    @field_validator("window")
    @classmethod
    def _fits_the_schedule(cls, window: timedelta | None, info: ValidationInfo) -> timedelta | None:
        schedule = info.data.get("schedule")
        if schedule == CONTINUOUS and window is not None:
            raise broken_combination(
                f"a continuous schedule ({CONTINUOUS}) has no window, Azure drops it; "
                "set window: null or choose a schedule with pauses"
            )
        if schedule not in (CONTINUOUS, None) and window is None:
            raise broken_combination(
                f"the schedule {schedule} needs a window of 1h to 7d; "
                f'add one or sync continuously ("{CONTINUOUS}")'
            )
        return window


class GarbageCollection(Strict):
    """When the site's registry removes blobs nobody refers to."""

    enabled: Flag = Field(True, description="Whether it runs at all")
    schedule: Cron = Field("0 0 * * *", description="When: 5-field cron in UTC")


class ConnectedRegistry(Strict):
    """Settings of the connected registry resource in Azure."""

    mode: Mode = Field(Mode.READ_ONLY, description="Whether the site may push to its registry")
    sync: Sync = Field(Sync(), description="When the site fetches content and messages")
    log_level: Literal["Debug", "Information", "Warning", "Error", "None"] = Field(
        "Information", description="How much the site's registry logs"
    )
    audit_log: Flag = Field(False, description="Whether it writes an audit log")
    garbage_collection: GarbageCollection = Field(
        GarbageCollection(), description="When blobs nobody refers to are removed"
    )
    notifications: tuple[Notification, ...] = Field(
        (), description="Events sent to Azure: name[:tag]:push|delete|*", examples=[["crew/*:*"]]
    )
