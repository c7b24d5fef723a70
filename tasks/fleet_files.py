"""Read the fleet file and fill in what blocks hold of it."""

from pathlib import Path

from blocks.registry_settings import RegistrySettings
from clients.fleet_files import read_fleet as read_fleet_file
from fleet.sites import Fleet


def read_fleet(path: str) -> Fleet:
    """Return the fleet of a file, with the registries that blocks describe.

    Raises:
        FleetFileUnreadableError, FleetFileError: The file, with every problem in it.
        BlockNotFoundError: A registry names a block that does not exist.
    """
    fleet = read_fleet_file(Path(path))
    wanted = fleet.registry_blocks
    if not wanted:
        return fleet
    return fleet.with_registries(
        {
            key: RegistrySettings.named(entry.settings_block).registry(entry)
            for key, entry in wanted.items()
        }
    )
