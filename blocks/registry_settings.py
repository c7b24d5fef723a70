"""Where an Azure Container Registry is, kept by Prefect instead of in the fleet file."""

from typing import Literal, Self

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl, ValidationError

from blocks.loading import load_block
from fleet.errors import FleetFileError
from fleet.sites import AcrRegistry, RegistryFromBlock


class RegistrySettings(Block):
    """An Azure Container Registry: its address in Azure and the login that manages it.

    Example:
        ```python
        from blocks import RegistrySettings

        RegistrySettings(
            subscription_id="00000000-0000-0000-0000-000000000000",
            resource_group="edge",
            name="contosoedge",
            azure_login="fleet-operator",
        ).save("contosoedge")

        settings = RegistrySettings.load("BLOCK_NAME")
        ```
    """

    _block_type_name = "Registry settings"
    _block_type_slug = "acrfleet-registry-settings"
    _description = "An Azure Container Registry that is the parent of connected registries."
    _documentation_url = HttpUrl(
        "https://learn.microsoft.com/azure/container-registry/intro-connected-registry"
    )

    subscription_id: str = Field(
        default=..., title="Subscription", description="The Azure subscription, a GUID."
    )
    resource_group: str = Field(
        default=..., title="Resource group", description="The resource group of the registry."
    )
    name: str = Field(
        default=..., title="Name", description="The registry's name, without .azurecr.io."
    )
    azure_login: str | None = Field(
        default=None,
        title="Azure login",
        description="Name of the Azure login block; none: the default chain.",
    )
    cloud: Literal["public", "government", "china"] = Field(
        default="public",
        title="Cloud",
        description="Which Azure; end points of a custom cloud belong into the Azure login.",
    )
    enable_data_endpoint: bool = Field(
        default=False,
        title="Enable data endpoint",
        description="May turn on the dedicated data endpoint where it is off.",
    )
    max_concurrent_calls: int = Field(
        default=8,
        ge=1,
        le=64,
        title="Concurrent calls",
        description="How many calls to Azure at the same time, over all sites.",
    )

    @classmethod
    def named(cls, name: str) -> Self:
        """Load a saved block.

        Raises:
            BlockNotFoundError: There is none of that name.
        """
        return load_block(cls, name)

    def registry(self, wanted: RegistryFromBlock) -> AcrRegistry:
        """Return the registry in the fleet's vocabulary; what the fleet file says wins.

        Raises:
            FleetFileError: The block holds something that Azure would refuse.
        """
        told = wanted.model_dump(exclude={"settings_block"}, exclude_none=True)
        own = self.model_dump(include=set(type(self).model_fields))
        try:
            return AcrRegistry.model_validate({**own, "cloud": {"name": self.cloud}, **told})
        except ValidationError as error:
            raise FleetFileError(
                [
                    f"Prefect block {self.get_block_type_slug()}/{wanted.settings_block}: field"
                    f" {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
                    for problem in error.errors()
                ]
            ) from None
