"""Open connections that steps share: to a registry in Azure, and to a site."""

from dataclasses import dataclass

from blocks.azure_login import AzureLogin
from clients.azure_clouds import cloud_endpoints, default_credential
from clients.registry_access import RegistryAccess
from clients.registry_catalog import RegistryCatalog
from fleet.sites import AcrRegistry


@dataclass
class RegistrySession:
    """One Azure Container Registry; shared by the threads of all its sites."""

    registry: AcrRegistry
    access: RegistryAccess
    catalog: RegistryCatalog

    def close(self) -> None:
        """Close the connections, for good."""
        self.access.close()
        self.catalog.close()


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
    return RegistrySession(registry, access, catalog)
