"""Azure on a laptop: the login service, ARM and the registries' data plane, over TLS.

`python -m lab azure` starts it alone. docs/reference/lab-azure.md says what is emulated.
"""

from lab.azure.azure_lab import AzureLab
from lab.azure.registry_lab import ALREADY_ACTIVATED, ClientToken, RegistryLab, SyncView

__all__ = ["ALREADY_ACTIVATED", "AzureLab", "ClientToken", "RegistryLab", "SyncView"]
