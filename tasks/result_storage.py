"""Open Prefect's storage for results, so that it works for as long as a run takes."""

from typing import Any

from prefect.filesystems import WritableFileSystem
from prefect.results import get_default_result_storage


def open_result_storage() -> WritableFileSystem:
    """Return the storage that the settings name; Prefect keeps it for this process.

    Raises:
        ValueError: There is no such block.
    """
    storage = get_default_result_storage()
    assert isinstance(storage, WritableFileSystem)  # noqa: S101 - a coroutine only inside a loop
    login: Any = getattr(storage, "credentials", None)
    if hasattr(login, "_create_credential") and login.connection_string is None:
        keep_login(login)
    return storage


def keep_login(login: Any) -> None:
    """Give prefect-azure's `AzureBlobStorageCredentials` a login that outlasts its being closed."""
    from clients.lasting_login import LastingLogin, lasting_login  # half a second of imports

    if not isinstance(login._credential, LastingLogin):  # noqa: SLF001 - there is no other way in
        made = lasting_login(login.tenant_id, login.client_id, login.client_secret)
        login._credential = made  # noqa: SLF001
