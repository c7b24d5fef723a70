"""Plans in files on this machine."""

import os
from pathlib import Path

from fleet.fleet_plan import read_plan, write_plan
from fleet.plan_errors import PlanFileError
from fleet.site_plan import FleetPlan


def read_plan_file(path: Path) -> FleetPlan:
    """Return the plan that a file holds.

    Raises:
        PlanFileError: The file can't be read, or holds no plan that can be applied.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise PlanFileError(str(path), "this is not a plan of acrfleet") from None
    except OSError as error:
        words = f"it can't be read ({error.strerror})"
        raise PlanFileError(str(path), words) from None
    return read_plan(text, str(path))


def write_plan_file(path: Path, plan: FleetPlan) -> None:
    """Write a plan to a file, whole or not at all.

    Raises:
        PlanFileError: The file can't be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(write_plan(plan), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        words = f"the plan can't be written there ({error.strerror}); give another file"
        raise PlanFileError(str(path), words) from None
