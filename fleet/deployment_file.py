"""The file of deployments: what `acrfleet deploy` changes in it before Prefect applies it."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from fleet.errors import DeploymentFileError

_WORKING_DIRECTORY = "prefect.deployments.steps.set_working_directory"


def check_deployments(content: object, source: str) -> dict[str, Any]:
    """Return a file's content if it has deployments with entry point and pool, one per name.

    Raises:
        DeploymentFileError: Names the file and what is missing.
    """
    entries = content.get("deployments") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(entries, list) or not entries:
        raise DeploymentFileError(f"{source} has no list `deployments`; take the one of acrfleet")
    for number, entry in enumerate(entries, 1):
        where = f"{source}: deployment {number}"
        if not isinstance(entry, dict) or not {"name", "entrypoint"} <= entry.keys():
            raise DeploymentFileError(f"{where} needs `name` and `entrypoint`")
        pool = entry.get("work_pool")
        if not isinstance(pool, dict) or not isinstance(pool.get("name"), str):
            raise DeploymentFileError(f"{where} ({entry['entrypoint']}) needs `work_pool: name`")
    return content


def with_choices(
    content: Mapping[str, Any], folder: str, pool: str | None, fleet_file: str | None
) -> dict[str, Any]:
    """Return the file's content as it is to be applied.

    Args:
        content: What `check_deployments` returned.
        folder: The project folder, from which workers run the flows.
        pool: The work pool of all deployments; None: as the file says.
        fleet_file: Path of the fleet file on the worker's machine; None: as the file says.
    """
    chosen = {key: deepcopy(value) for key, value in content.items() if key != "definitions"}
    chosen.setdefault("pull", [{_WORKING_DIRECTORY: {"directory": folder}}])
    # YAML anchors are shared objects; each deployment gets its own.
    chosen["deployments"] = [deepcopy(entry) for entry in content["deployments"]]
    for entry in chosen["deployments"]:
        if pool is not None:
            entry["work_pool"]["name"] = pool
        if fleet_file is not None:
            entry["parameters"] = {**entry.get("parameters", {}), "fleet_file": fleet_file}
    return chosen


def pools_of(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the work pools that the deployments need."""
    return tuple(sorted({entry["work_pool"]["name"] for entry in content["deployments"]}))


def when_of(entry: Mapping[str, Any]) -> str:
    """Say when a deployment runs by itself, in the words of the file."""
    return ", ".join(_words(one) for one in entry.get("schedules") or ()) or "on demand"


def _words(schedule: object) -> str:
    if not isinstance(schedule, dict):
        return str(schedule)
    if "cron" in schedule:
        return f"{schedule['cron']} {schedule.get('timezone', 'UTC')}"
    if "interval" in schedule:
        return f"every {schedule['interval']} s"
    return str(schedule.get("rrule", "by a schedule"))
