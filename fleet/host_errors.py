"""The errors of a site's machines and the way to them, named after what the operator does next."""

from collections.abc import Sequence

from fleet.errors import FleetError, TemporaryError


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


class HostBusyError(TemporaryError):
    """Wait: another run changes files on the host at this moment."""


class UnfinishedChangeError(TemporaryError):
    """Wait: an earlier run's change is still unproven; it is undone before the next one."""


class DeadManFiredError(TemporaryError):
    """Look at the host's journal: the change was not proven in time, so the host undid it."""


class HostsNotReadyError(FleetError):
    """Prepare the hosts as told: every problem of the site's nodes is listed."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Take one sentence per problem, each with the node's name."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class HostsUnreachableError(TemporaryError):
    """Wait, or look at the site's network: some of its nodes could not be looked at."""

    def __init__(self, message: str, *, are_all: bool = False) -> None:
        """Take a line per node; `are_all`: none of those that were looked for has answered."""
        self.are_all = are_all
        super().__init__(message)


class NodeLostError(FleetError):
    """Look at the host: it was told to restart a service and could not be reached since then."""


class RestartForbiddenError(FleetError):
    """Allow the restart in the fleet file, or restart the nodes yourself: they need it."""


class RestartFailedError(FleetError):
    """Read both logs: K3s did not come back with the new file; the old one is in force again."""


class RollbackFailedError(FleetError):
    """Go to the host now: K3s came back neither with the new file nor with the old one."""
