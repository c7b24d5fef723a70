"""Read fleet files from disk."""

from pathlib import Path

from fleet.errors import FleetFileUnreadableError
from fleet.fleet_file import parse_fleet
from fleet.sites import Fleet


def read_fleet(path: Path) -> Fleet:
    """Return the fleet that a file describes.

    Raises:
        FleetFileUnreadableError: The file is missing, may not be read, or is not UTF-8 text.
        FleetFileError: The file can be read but has problems: all of them, with their lines.
    """
    return parse_fleet(_read_text(path), str(path))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FleetFileUnreadableError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text"
        ) from None
    except FileNotFoundError:
        raise FleetFileUnreadableError(f"{path}: there is no such file; check the path") from None
    except OSError as error:
        raise FleetFileUnreadableError(
            f"{path}: {error.strerror}; give a file that you may read"
        ) from None
