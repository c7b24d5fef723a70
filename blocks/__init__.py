"""Configuration and secrets, kept by Prefect; a block makes clients."""

from blocks.azure_login import AzureLogin
from blocks.registry_settings import RegistrySettings
from blocks.site_ssh import SiteSsh

__all__ = ["AzureLogin", "RegistrySettings", "SiteSsh"]
