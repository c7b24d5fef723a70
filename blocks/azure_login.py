"""How the program logs in to Azure: a service principal, an identity, or the default chain."""

from typing import Literal, Self

from azure.core.credentials import TokenCredential
from prefect.blocks.core import Block
from pydantic import Field, HttpUrl, SecretStr, model_validator

from blocks.loading import load_block
from clients.azure_clouds import (
    CloudEndpoints,
    certificate_credential,
    cloud_endpoints,
    default_credential,
    managed_identity_credential,
    secret_credential,
    workload_identity_credential,
)
from fleet.azure_errors import CloudMismatchError, LoginFailedError
from fleet.sites import Cloud

Kind = Literal[
    "default chain",
    "service principal with secret",
    "service principal with certificate",
    "managed identity",
    "workload identity",
]
_NEEDED: dict[str, tuple[str, ...]] = {
    "service principal with secret": ("tenant_id", "client_id", "client_secret"),
    "service principal with certificate": ("tenant_id", "client_id", "certificate"),
}


_UNSAID = Cloud()


class AzureLogin(Block):
    """A login to Azure: who the program is and which cloud it talks to.

    Example:
        ```python
        from blocks import AzureLogin

        AzureLogin(
            kind="service principal with secret",
            tenant_id="00000000-0000-0000-0000-000000000001",
            client_id="00000000-0000-0000-0000-000000000002",
            client_secret="...",
        ).save("fleet-operator")

        login = AzureLogin.load("BLOCK_NAME")
        ```
    """

    _block_type_name = "Azure login"
    _block_type_slug = "acrfleet-azure-login"
    _description = "A service principal, an identity or the default chain, in any Azure cloud."
    _documentation_url = HttpUrl(
        "https://learn.microsoft.com/azure/developer/python/sdk/authentication/overview"
    )

    kind: Kind = Field(
        default="default chain",
        title="Kind",
        description="How to log in; the default chain looks at the environment, then at identities"
        " of the machine, then at the developer tools.",
    )
    tenant_id: str | None = Field(
        default=None, title="Tenant ID", description="The directory of a service principal."
    )
    client_id: str | None = Field(
        default=None,
        title="Client ID",
        description="The application of a service principal, or a user-assigned identity.",
    )
    client_secret: SecretStr | None = Field(
        default=None, title="Client secret", description="The secret of a service principal."
    )
    certificate: SecretStr | None = Field(
        default=None,
        title="Certificate",
        description="The certificate of a service principal with its private key, as PEM text.",
    )
    certificate_password: SecretStr | None = Field(
        default=None, title="Certificate password", description="Opens the private key."
    )
    token_file: str | None = Field(
        default=None,
        title="Token file",
        description="The projected token of a workload identity; none: AZURE_FEDERATED_TOKEN_FILE.",
    )
    cloud: Literal["public", "government", "china", "custom"] = Field(
        default="public", title="Cloud", description="Which Azure; custom names its own end points."
    )
    authority: str | None = Field(
        default=None, title="Authority", description="Login URL of a custom cloud."
    )
    resource_manager: str | None = Field(
        default=None,
        title="Resource Manager",
        description="Resource Manager URL of a custom cloud.",
    )
    audience: str | None = Field(
        default=None, title="Audience", description="Audience of a custom cloud's tokens."
    )
    ca_file: str | None = Field(
        default=None,
        title="CA file",
        description="PEM file that verifies the end points of a custom cloud.",
    )

    @model_validator(mode="after")
    def _everything_the_kind_needs_is_there(self) -> Self:
        missing = [name for name in _NEEDED.get(self.kind, ()) if not getattr(self, name)]
        if missing:
            raise ValueError(f"a {self.kind} needs {', '.join(missing)}")
        if self.cloud == "custom" and not (self.authority and self.resource_manager):
            raise ValueError("a custom cloud needs authority and resource_manager")
        return self

    @classmethod
    def named(cls, name: str) -> Self:
        """Load a saved block.

        Raises:
            BlockNotFoundError: There is none of that name.
        """
        return load_block(cls, name)

    def cloud_settings(self) -> Cloud:
        """Return the cloud of this login in the fleet's vocabulary."""
        return Cloud(
            name=self.cloud,
            authority=self.authority,
            resource_manager=self.resource_manager,
            audience=self.audience,
            ca_file=self.ca_file,
        )

    def credential(self, cloud: Cloud = _UNSAID) -> TokenCredential:
        """Return a credential of azure-identity; no token is requested yet.

        Args:
            cloud: The cloud that the fleet file names, if it names one.

        Raises:
            CloudMismatchError: File and block both name a cloud, and not the same one.
            LoginFailedError: What the block holds is no usable certificate or identity.
        """
        endpoints = self.endpoints_for(cloud)
        try:
            return self._credential(endpoints)
        except ValueError:
            raise LoginFailedError(
                f"the Azure login block does not make a {self.kind}: check the certificate and its"
                " password, or the tenant, client and token file of the workload identity"
            ) from None

    def endpoints_for(self, cloud: Cloud = _UNSAID) -> CloudEndpoints:
        """Return the addresses to use for a registry whose fleet file names `cloud`.

        A file that leaves its cloud at the default says nothing, and the block's cloud counts; and
        the other way round.

        Raises:
            CloudMismatchError: File and block both name a cloud, and not the same one.
        """
        own = self.cloud_settings()
        if cloud == _UNSAID or own == _UNSAID:
            return cloud_endpoints(own if cloud == _UNSAID else cloud)
        if _address(cloud) != _address(own):
            raise CloudMismatchError(
                f"the fleet file says cloud {_shown(cloud)}, the Azure login block {_shown(own)};"
                " make them the same, or leave one of them out"
            )
        return cloud_endpoints(cloud if cloud.ca_file else own)

    def _credential(self, endpoints: CloudEndpoints) -> TokenCredential:
        tenant, client = self.tenant_id or "", self.client_id or ""
        match self.kind:
            case "service principal with secret":
                secret = self.client_secret or SecretStr("")
                return secret_credential(endpoints, tenant, client, secret)
            case "service principal with certificate":
                certificate = self.certificate or SecretStr("")
                return certificate_credential(
                    endpoints, tenant, client, certificate, self.certificate_password
                )
            case "managed identity":
                return managed_identity_credential(self.client_id)
            case "workload identity":
                return workload_identity_credential(
                    endpoints, self.tenant_id, self.client_id, self.token_file
                )
        return default_credential(endpoints)


def _address(cloud: Cloud) -> tuple[str, str, str]:
    authority, manager = cloud.authority or "", cloud.resource_manager or ""
    return cloud.name, authority.rstrip("/").casefold(), manager.rstrip("/").casefold()


def _shown(cloud: Cloud) -> str:
    manager = f" ({cloud.resource_manager})" if cloud.resource_manager else ""
    return f"{cloud.name}{manager}"
