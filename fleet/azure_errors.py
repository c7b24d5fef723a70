"""The errors of Azure and its registries, named after what the operator does next."""

from fleet.errors import FleetError, TemporaryError


class AzureBusyError(TemporaryError):
    """Wait: Azure was busy, throttled us or lost an answer; the step reads again and goes on."""


class AccessDeniedError(FleetError):
    """Assign the named role: Azure knows who we are and does not let us do this."""


class LoginFailedError(FleetError):
    """Mend the Azure login: no token was issued for it."""


class AzureRefusedError(FleetError):
    """Read what Azure says: it refused the request as it stands.

    `code` is the provider's error code where the answer held one, for people; only documented codes
    may be compared.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        """Take the sentence for the operator and the provider's code."""
        self.code = code
        super().__init__(message)


class RegistryNotFoundError(FleetError):
    """Correct subscription, resource group or name: there is no such registry."""


class RegistryNotReadyError(FleetError):
    """Prepare the registry as told: connected registries cannot be made in it as it is."""


class RepositoriesNotFoundError(FleetError):
    """Correct the globs in the fleet file: the registry's catalog holds nothing for them."""


class TooManyRepositoriesError(FleetError):
    """Narrow the selection: it does not fit into one scope map."""


class NoProbeImageError(FleetError):
    """Name an image that pulls can be proven with: none was found."""


class TokenDisabledError(FleetError):
    """Find out why somebody disabled the token, then enable it; it is never enabled silently."""


class StillLetInError(FleetError):
    """Shut the token in the Azure portal at once: a revoked password is still let in."""

    def __init__(self, site: str, why: str) -> None:
        """Say what was seen."""
        super().__init__(
            f"{site} is not shut out: {why}. Run the revocation again; if that does not help, "
            "delete the site's tokens or its connected registry in the portal."
        )


class ImmutableSettingError(FleetError):
    """Recreate the object or mend the fleet file: Azure cannot change this setting."""


class CloudMismatchError(FleetError):
    """Make the fleet file and the block name the same cloud."""
