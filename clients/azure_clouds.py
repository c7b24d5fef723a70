"""Where Azure is and how to log in there: end points per cloud, credentials of azure-identity."""

from dataclasses import dataclass
from typing import Any

from azure.core.credentials import TokenCredential
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from pydantic import SecretStr

from fleet.azure_errors import CloudMismatchError
from fleet.sites import Cloud

_REGISTRY_AUDIENCE = "https://containerregistry.azure.net"


@dataclass(frozen=True, slots=True)
class CloudEndpoints:
    """The addresses of one cloud.

    `authority` None means azure-identity's own default, which is AZURE_AUTHORITY_HOST where set.
    `ca_file` None means the usual certificate authorities.
    """

    authority: str | None
    resource_manager: str
    audience: str
    registry_audience: str
    ca_file: str | None = None
    is_custom: bool = False

    @property
    def connection_verify(self) -> str | bool:
        """Return what verifies server certificates, as azure-core takes it."""
        return self.ca_file or True


_CLOUDS = {
    "public": CloudEndpoints(
        None, "https://management.azure.com", "https://management.azure.com", _REGISTRY_AUDIENCE
    ),
    "government": CloudEndpoints(
        "https://login.microsoftonline.us",
        "https://management.usgovcloudapi.net",
        "https://management.usgovcloudapi.net",
        "https://management.usgovcloudapi.net",
    ),
    "china": CloudEndpoints(
        "https://login.chinacloudapi.cn",
        "https://management.chinacloudapi.cn",
        "https://management.chinacloudapi.cn",
        "https://management.chinacloudapi.cn",
    ),
}


def cloud_endpoints(cloud: Cloud) -> CloudEndpoints:
    """Return the addresses of a cloud; what the file says about single end points wins.

    The registry audiences of the sovereign clouds are those that azure-containerregistry documents.

    Raises:
        CloudMismatchError: A custom cloud does not say where its Resource Manager is.
    """
    known = _CLOUDS.get(cloud.name)
    manager = cloud.resource_manager or (known.resource_manager if known else None)
    if manager is None:
        raise CloudMismatchError(
            "a custom cloud needs `resource_manager`, the URL of its Resource Manager; add it to"
            " the cloud in the fleet file or in the block"
        )
    own_manager = cloud.resource_manager is not None
    audience = cloud.audience or (manager if own_manager or not known else known.audience)
    return CloudEndpoints(
        authority=cloud.authority or (known.authority if known else None),
        resource_manager=manager.rstrip("/"),
        audience=audience.rstrip("/"),
        registry_audience=known.registry_audience if known else _REGISTRY_AUDIENCE,
        ca_file=cloud.ca_file,
        is_custom=known is None or cloud.authority is not None,
    )


def default_credential(endpoints: CloudEndpoints) -> TokenCredential:
    """Return the default chain: environment, workload and managed identity, developer tools."""
    return DefaultAzureCredential(**_options(endpoints))


def secret_credential(
    endpoints: CloudEndpoints, tenant_id: str, client_id: str, secret: SecretStr
) -> TokenCredential:
    """Return a service principal that proves itself with a secret."""
    return ClientSecretCredential(
        tenant_id, client_id, secret.get_secret_value(), **_options(endpoints)
    )


def certificate_credential(
    endpoints: CloudEndpoints,
    tenant_id: str,
    client_id: str,
    certificate: SecretStr,
    password: SecretStr | None,
) -> TokenCredential:
    """Return a service principal that proves itself with a certificate and its key, as PEM.

    Raises:
        ValueError: The text holds no certificate with a private key that the password opens.
    """
    return CertificateCredential(
        tenant_id,
        client_id,
        certificate_data=certificate.get_secret_value().encode(),
        password=password.get_secret_value() if password else None,
        **_options(endpoints),
    )


def managed_identity_credential(client_id: str | None) -> TokenCredential:
    """Return the identity of the machine; with a client ID the user-assigned one."""
    return ManagedIdentityCredential(client_id=client_id)


def workload_identity_credential(
    endpoints: CloudEndpoints, tenant_id: str | None, client_id: str | None, token_file: str | None
) -> TokenCredential:
    """Return the identity of the pod; what is None comes from the AZURE_* variables.

    Raises:
        ValueError: Neither the arguments nor the environment say which identity it is.
    """
    given = {"tenant_id": tenant_id, "client_id": client_id, "token_file_path": token_file}
    known = {key: value for key, value in given.items() if value is not None}
    return WorkloadIdentityCredential(**known, **_options(endpoints))


def _options(endpoints: CloudEndpoints) -> dict[str, Any]:
    """Return what every credential is told about the cloud.

    Instance discovery asks login.microsoftonline.com whether an authority is genuine; a custom one
    is unknown there, and is trusted because the operator named it and its certificate is verified.
    """
    options: dict[str, Any] = {"connection_timeout": 10, "read_timeout": 30}
    if endpoints.authority:
        options["authority"] = endpoints.authority
    if endpoints.is_custom:
        options["disable_instance_discovery"] = True
    if endpoints.ca_file:
        options["connection_verify"] = endpoints.ca_file
    return options
