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


class PrefectBusyError(TemporaryError):
    """Wait, or look at the Prefect server: it gave no slot for a call in time."""


class BlockNotFoundError(FleetError):
    """Create the Prefect block that the fleet file names."""


def is_worth_retrying(error: BaseException) -> bool:
    """Return whether trying the same step again may help: by type, never blindly."""
    return isinstance(error, TemporaryError)


class WaitingForSiteError(WaitingError):
    """Come back later: the site works on it or is offline; the next run takes it up."""


class ParentNotReadyError(WaitingError):
    """Come back when the parent's registry is Online: the site below it can't start before."""

    def __init__(self, site: str, parent: str, found: str) -> None:
        """Say what the parent is instead."""
        super().__init__(
            f"{site} waits for its parent {parent}: {found}. Onboard {parent}, or look why it is "
            f"not Online; the next run takes {site} up."
        )


class SitesBelowError(FleetError):
    """Offboard the sites below first, or in the same run: they are fed by this one."""

    def __init__(self, site: str, below: Sequence[str]) -> None:
        """Name what is still below the site."""
        super().__init__(
            f"{site} feeds {', '.join(below)}: nothing of {site} was removed. Offboard them first, "
            "or name them in the same command."
        )


class RemovalNotApprovedError(FleetError):
    """Look at the plan again: there is more to remove than was approved."""

    def __init__(self, site: str, new: Sequence[str]) -> None:
        """Name what nobody has agreed to."""
        super().__init__(
            f"{site}: since the plan was shown there is more to remove: {', '.join(new)}. Nothing "
            "of it was removed; run the command again and look at the new plan."
        )


class SiteNotReachedError(FleetError):
    """Bring the site back, or say that it is gone for good: `--cloud-only`."""

    def __init__(self, site: str, why: str) -> None:
        """Say what could not be reached."""
        super().__init__(
            f"{site} could not be reached, so nothing was removed, in Azure neither: {why} If the "
            "site is gone for good, run it again with `--cloud-only`."
        )


class ChartLeftoversError(FleetError):
    """Look at the site's cluster: its chart was uninstalled, and parts of it are still there."""


class ParentRefusesRepositoryError(FleetError):
    """Let the parent mirror the repository too: what it excludes can't pass to sites below it."""

    def __init__(self, site: str, ancestor: str, repositories: Sequence[str]) -> None:
        """Name the repositories and who excludes them."""
        super().__init__(
            f"{site} mirrors {', '.join(repositories)}, which {ancestor}, above it, leaves out "
            f"(`repositories.exclude`). All that {site} mirrors passes through {ancestor}: take it "
            "out of that `exclude`, or add it to the one of the site below."
        )


class AdoptionBlockedError(FleetError):
    """Do what each line says, then adopt again: something is in the way, nothing was written."""

    def __init__(self, obstacles: Sequence[str]) -> None:
        """Take one sentence per obstacle."""
        self.obstacles = tuple(obstacles)
        super().__init__("\n".join(self.obstacles))


class NotOnboardedError(FleetError):
    """Run the onboarding: something that it makes is not there."""


class DeploymentFileError(FleetError):
    """Mend the file of deployments, or run the command in the project folder, where it is."""


class PrefectServerMissingError(FleetError):
    """Start a Prefect server, or set PREFECT_API_URL to yours: a temporary one does not do here."""


class WorkPoolMissingError(FleetError):
    """Make the work pool with the printed command, or let `acrfleet deploy --create-pool` do it."""


class NotificationBlockMissingError(FleetError):
    """Make the notification block in the UI under Blocks, then name it as TYPE/NAME."""


class DeploymentRefusedError(FleetError):
    """Read what Prefect said: it did not take the deployments; mend it and deploy again."""
