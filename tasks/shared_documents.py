"""Documents that one run writes and another one reads, as they are, in Prefect's result storage."""

import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from prefect.filesystems import LocalFileSystem
from pydantic import ValidationError

from fleet.dispatch_errors import ResultStorageError
from fleet.strict import Strict
from tasks.result_storage import open_result_storage

Document = TypeVar("Document", bound=Strict)


class SharedDocuments:
    """The storage, opened once: finding it asks the Prefect server."""

    def __init__(self) -> None:
        """Open the storage that the settings name."""
        # Its methods give coroutines, but only inside a loop.
        self._storage: Any = open_result_storage()

    def write(self, key: str, document: Strict) -> None:
        """Write a document, in place of the one before.

        Raises:
            ResultStorageError: The storage did not take it.
        """
        content = document.model_dump_json().encode()
        try:
            _quietly(self._storage.write_path, key, content)
        except Exception as error:
            raise _trouble(f"did not take {key}", error) from error

    def read(self, key: str, kind: type[Document]) -> Document | None:
        """Return a document, or None where there is none, or only half of one.

        Raises:
            ResultStorageError: The storage did not answer.
        """
        try:
            content: Any = _quietly(self._storage.read_path, key)
        except Exception as error:
            if says_missing(error):
                return None
            raise _trouble(f"did not give {key}", error) from error
        try:
            return kind.model_validate_json(content)
        except ValidationError:
            return None

    def forget_old(self, folder: str, age: timedelta) -> None:
        """Remove the documents below `folder` that were last written longer ago than `age`.

        Only where the storage is a folder on a disk. Blob storage has lifecycle rules for that
        (docs/how-to/run-on-several-machines.md), and Prefect's blocks for it cannot delete.
        """
        if not isinstance(self._storage, LocalFileSystem):
            return
        top = Path(self._storage.basepath or "").expanduser() / folder
        before = time.time() - age.total_seconds()
        with suppress(OSError):  # another run may be at it, too
            for path in sorted(top.rglob("*"), reverse=True):
                if path.stat().st_mtime >= before:
                    continue  # an empty folder may be about to be written to
                if path.is_file():
                    path.unlink()
                elif not any(path.iterdir()):
                    path.rmdir()

    def __str__(self) -> str:
        """Say where it is."""
        place = getattr(self._storage, "basepath", None) or getattr(
            self._storage, "container_name", ""
        )
        return f"{type(self._storage).__name__} {place}".strip()


def _quietly(call: Callable[..., Any], *arguments: object) -> Any:
    """Make a call outside of the run: prefect-azure writes a line for each into the run's log."""
    return Context().run(call, *arguments)


def _trouble(what: str, error: Exception) -> ResultStorageError:
    """Return one error for those of all storages."""
    return ResultStorageError(f"the storage for results {what}: {type(error).__name__}")


def says_missing(error: BaseException) -> bool:
    """Return whether a storage means that there is no such document.

    A folder says ValueError, prefect-azure RuntimeError with Azure's ResourceNotFoundError behind.
    """
    behind = error.__cause__ or error
    if type(behind).__name__ == "ResourceNotFoundError" or isinstance(error, FileNotFoundError):
        return True
    return isinstance(error, ValueError) and "does not exist" in str(error)
