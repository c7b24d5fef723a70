"""The errors of plans: kept plans that do not fit, that are too large, or that are out of date."""

from collections.abc import Sequence

from fleet.errors import FleetError

_AGAIN = "make a new plan with `acrfleet plan FLEET_FILE --out PLAN_FILE` and look at it"


class PlanFileError(FleetError):
    """Make a new plan: this file is none, was edited, or is of another fleet or version."""

    def __init__(self, path: str, problem: str) -> None:
        """Say what is wrong with the file."""
        super().__init__(f"{path}: {problem}; nothing was changed: {_AGAIN}.")


class PlanTooLargeError(FleetError):
    """Choose fewer sites, or name the limit that may be passed: `--over`; nothing was changed."""


class PlanMovedError(FleetError):
    """Look at a new plan: what would be done at the site is not what the plan shows any more."""

    def __init__(self, site: str, moved: Sequence[str]) -> None:
        """Take one sentence per difference."""
        self.moved = tuple(moved)
        lines = "\n".join(f"- {one}" for one in moved)
        super().__init__(
            f"{site} is not as it was when the plan was made, and nothing was changed there:\n"
            f"{lines}\nMake a new plan for {site} and look at it."
        )


class PlanBlockedError(FleetError):
    """Do what each line says, then make a new plan: something is in the way at the site."""

    def __init__(self, site: str, obstacles: Sequence[str]) -> None:
        """Take one sentence per obstacle."""
        self.obstacles = tuple(obstacles)
        super().__init__(f"{site}: nothing was changed there.\n" + "\n".join(self.obstacles))
