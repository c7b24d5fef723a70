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


class FleetFileUnreadableError(FleetError):
    """Give a fleet file that exists and holds UTF-8 text: this one could not be read."""


class NotOursError(FleetError):
    """Decide who owns an object that exists with other settings than the fleet file's."""


class AzureBusyError(TemporaryError):
    """Wait: Azure was busy, throttled us or lost an answer; the step reads again and goes on."""


class PrefectBusyError(TemporaryError):
    """Wait, or look at the Prefect server: it gave no slot for a call in time."""


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


class KubeconfigError(FleetError):
    """Mend the kubeconfig: it cannot be used to reach the cluster safely."""

    def __init__(self, problem: str) -> None:
        """Say what is wrong with it."""
        super().__init__(f"The kubeconfig cannot be used: {problem}.")


class ClusterUnreachableError(TemporaryError):
    """Wait, or look at the site's network: the Kubernetes API did not answer."""


class ClusterUntrustedError(FleetError):
    """Find out who answers: the Kubernetes API's certificate is not the kubeconfig's."""


class ClusterChangedError(TemporaryError):
    """Read the object again and repeat: somebody else wrote it in between."""


class ClusterRefusedError(FleetError):
    """Look at the cluster: its API refused a request, with the reason it gave."""

    def __init__(self, what: str, status: int, reason: str, message: str) -> None:
        """Keep the Status object's reason, so that callers can tell refusals apart."""
        self.status, self.reason = status, reason
        super().__init__(f"The cluster refused to {what}: {status} {reason}: {message}")


class ClusterNotSuitableError(FleetError):
    """Change the cluster or the fleet file: what the chart needs is not there."""


class NoGatewayEndpointError(FleetError):
    """Look at the connected registry in Azure: it does not say where its parent is."""

    def __init__(self, name: str) -> None:
        """Name the connected registry."""
        super().__init__(
            f"The connected registry {name} has no gateway endpoint in Azure, so no connection "
            "string can be built. Check that the dedicated data endpoint of the registry is on "
            "and that the connected registry is a direct child of it."
        )


class SiteAlreadyActivatedError(FleetError):
    """Deactivate the connected registry, if the other installation is really gone."""

    def __init__(self, connected_registry: str, registry: str, why: str) -> None:
        """Say why another installation must hold it, and how to release it."""
        super().__init__(
            f"The connected registry {connected_registry} is Active in Azure for another "
            f"installation: {why}. A second installation is refused with ALREADY_ACTIVATED, and "
            "renewing the sync password would cut off the first. If the first one is gone, run "
            f"`az acr connected-registry deactivate --registry {registry} "
            f"--name {connected_registry}` and start again."
        )


class SyncPasswordRefusedError(FleetError):
    """Find out who renewed the sync password: the parent refuses the one the site has."""


class ChartFailedError(FleetError):
    """Look at the chart's job and pods: the site's registry did not come up."""


class WaitingForSiteError(WaitingError):
    """Come back later: the site works on it or is offline; the next run takes it up."""


class PasswordSlotsTakenError(FleetError):
    """Free a password slot: both hold passwords that somebody else may use."""


class PullTargetMissingError(FleetError):
    """Create the namespace or service account, or take it out of the fleet file."""


class SitePortClosedError(FleetError):
    """Look at the node's firewall and kube-proxy: it does not reach the site's registry."""


class SiteRegistryUnreachableError(TemporaryError):
    """Wait, or look at the registry's pod: it did not answer."""


class SiteRegistrySilentError(FleetError):
    """Look at the site's registry: it answers, but not as a registry does."""


class SiteTokenRefusedError(FleetError):
    """Look at the client token: the site's registry refuses the pull secret's password."""


class SiteImageMissingError(FleetError):
    """Look at the repositories that the site mirrors: it does not have the image."""


class SiteImageDiffersError(FleetError):
    """Wait for the next sync, or look at it: the site serves another digest than Azure."""


class NodePullFailedError(FleetError):
    """Look at the node's containerd.log: it could not pull from the site's registry."""


class NotOnboardedError(FleetError):
    """Run the onboarding: something that it makes is not there."""


class SiteUnreachableError(TemporaryError):
    """Wait, or look at the site's network: the host did not answer SSH in time."""


class ConnectionLostError(TemporaryError):
    """Look again: the connection broke while a command ran, and its outcome is unknown."""


class CommandTimedOutError(TemporaryError):
    """Look at the host: a command took too long and the connection was cut."""


class PortClosedError(TemporaryError):
    """Look at the service behind the port: the host reaches nothing there, or not in time."""


class ForwardingRefusedError(FleetError):
    """Allow TCP forwarding on the host: its SSH server refuses it."""


class HostKeyUnknownError(FleetError):
    """Add the host's key to known_hosts, after comparing it with the host's own."""


class HostKeyChangedError(FleetError):
    """Find out why the host shows another key: a reinstalled host, or somebody in between."""


class LoginRefusedError(FleetError):
    """Give the SSH user this key on the host, or name another key or user."""


class UnsupportedServerError(FleetError):
    """Allow a common algorithm on the host's SSH server: it and we share none."""


class KeyFileError(FleetError):
    """Mend the SSH key or its passphrase: it cannot be used."""


class CommandFailedError(FleetError):
    """Look at the host: a command failed, with the words it said."""


class SudoRefusedError(FleetError):
    """Add the printed sudoers line on the host: sudo does not let the SSH user in."""


class HostFileInvalidError(FleetError):
    """Mend the file on the host: K3s would drop parts of it silently or die of it."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Take one sentence per problem, each with node, file and line."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class HostFileRefusedError(FleetError):
    """Look at the file on the host: it could not be written, and nothing was changed."""


class HostFileChangedError(TemporaryError):
    """Read again and repeat: somebody else wrote the file since it was read."""


class HostsNotReadyError(FleetError):
    """Prepare the hosts as told: every problem of the site's nodes is listed."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Take one sentence per problem, each with the node's name."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class HostsUnreachableError(TemporaryError):
    """Wait, or look at the site's network: some of its nodes could not be looked at."""


class RestartFailedError(FleetError):
    """Read both logs: K3s did not come back with the new file; the old one is in force again."""


class RollbackFailedError(FleetError):
    """Go to the host now: K3s came back neither with the new file nor with the old one."""
