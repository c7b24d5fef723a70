"""Read the fleet file and fill in what blocks hold of it."""

from pathlib import Path

from clients import fleet_files
from fleet.sites import Fleet


def read_fleet(path: str) -> Fleet:
    """Return the fleet of a file; raises `FleetFileError` with every problem in it."""
    return fleet_files.read_fleet(Path(path))
