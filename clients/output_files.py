"""Write a file for people or for other programs, which never see half of it."""

import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from fleet.errors import FleetError

_EVERYBODY_READS = 0o644


class OutputFileError(FleetError):
    """Name another file, or mend its folder: what was to be written there could not be."""


def replace_file(path: Path, text: str) -> None:
    """Put text where a file is, or will be, in one step; everybody may read it.

    A reader sees the old file or the new one; so does one who looks after the power failed.

    Raises:
        OutputFileError: The folder is missing, full, or may not be written.
    """
    try:
        _replace(path, text)
    except OSError as error:
        raise OutputFileError(
            f"{path} can't be written: {error.strerror or error}; name another file with --html or "
            "--out, or make its folder"
        ) from None


def _replace(path: Path, text: str) -> None:
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        try:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), _EVERYBODY_READS)
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(file.name).unlink()
            raise
