"""Read and keep plans in files, for flows."""

from pathlib import Path

from clients.plan_files import read_plan_file, write_plan_file
from fleet.site_plan import FleetPlan


def read_plan(path: str) -> FleetPlan:
    """Return the plan that a file holds.

    Raises:
        PlanFileError: The file can't be read, or holds no plan that can be applied.
    """
    return read_plan_file(Path(path))


def keep_plan(path: str, plan: FleetPlan) -> None:
    """Write a plan to a file, whole or not at all.

    Raises:
        PlanFileError: The file can't be written.
    """
    write_plan_file(Path(path), plan)
