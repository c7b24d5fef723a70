"""What goes wrong where a fleet is worked on by several processes or machines."""

from fleet.errors import FleetError, TemporaryError


class ShardDeploymentMissingError(FleetError):
    """Run `acrfleet deploy`: the Prefect server has no deployment for the shards of this flow."""


class DispatchNeedsServerError(FleetError):
    """Set PREFECT_API_URL, or take `dispatch: deployment` out of the fleet file."""


class ResultStorageNotSharedError(FleetError):
    """Let the worker keep its results where the run that dispatched it can read them."""


class ResultStorageError(TemporaryError):
    """Look at the storage for results: it did not answer, or refused."""


class FleetFileDiffersError(FleetError):
    """Bring the same fleet file, and the same version of acrfleet, to every worker."""


class ShardLostError(FleetError):
    """Look at the named run in Prefect, mend its worker, and start the verb again."""


class DispatchTroubleError(TemporaryError):
    """Look at the Prefect server: it has not answered for a long time."""
