"""The errors of a site's cluster and chart, named after what the operator does next."""

from fleet.errors import FleetError, TemporaryError


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
            "string can be built. Check that the dedicated data endpoint of the registry is on; "
            "below another site, say in the fleet file where that is: `parent_endpoint`."
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


class HelmMissingError(FleetError):
    """Install helm 3.17 or newer on the machine that runs acrfleet: this site needs it."""


class ChartUnreachableError(TemporaryError):
    """Wait, or look at this machine's network: the chart's registry did not answer helm."""


class HelmRecordUnreadableError(FleetError):
    """Look at Helm's record of the release: it cannot be read, so nothing was changed."""
