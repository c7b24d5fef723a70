"""The errors of the program, named after what the operator does next.

`FleetError` is the root. A `TemporaryError` is worth trying again without anybody doing anything; a
`WaitingError` says that a site is not broken, only not there yet. Everything else needs a person.
Messages are sentences for operators and never hold a secret: they are built from names.
"""

from collections.abc import Sequence


class FleetError(Exception):
    """The root of everything this program raises on purpose."""


class TemporaryError(FleetError):
    """Something that may well work on the next try; tasks retry these."""


class WaitingError(FleetError):
    """A site that is not broken but has not followed yet; a later run takes it up."""


class FleetFileError(FleetError):
    """Mend the fleet file: it holds the listed problems and nothing was changed."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Take one sentence per problem, each with file and line."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class NotOursError(FleetError):
    """Decide who owns an object that exists with other settings than the fleet file's."""


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


class ImmutableSettingError(FleetError):
    """Recreate the object or mend the fleet file: Azure cannot change this setting."""


class CloudMismatchError(FleetError):
    """Make the fleet file and the block name the same cloud."""


class BlockNotFoundError(FleetError):
    """Create the Prefect block that the fleet file names."""


def is_worth_retrying(error: BaseException) -> bool:
    """Return whether trying the same step again may help: by type, never blindly."""
    return isinstance(error, TemporaryError)
