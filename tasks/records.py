"""Keep and read the sites' records in Prefect's result storage.

By default that is a folder on this machine; a storage block named in
PREFECT_DEFAULT_RESULT_STORAGE_BLOCK puts the records where a team shares them.
"""

from datetime import datetime
from typing import Any

from prefect import task
from prefect.filesystems import LocalFileSystem, WritableFileSystem
from prefect.results import ResultStore, get_default_result_storage
from prefect.settings import get_current_settings
from pydantic import ValidationError

from fleet.records import SiteRecord, blank_record, record_key
from fleet.sites import Site
from tasks.run_log import warn


def keep_record(fleet: str, site: str, record: SiteRecord) -> None:
    """Write a site's record, in place of the one before."""
    _record_task(fleet, site, record.model_dump(mode="json"))


@task(
    name="keep record",
    task_run_name="keep record of {site}",
    persist_result=True,
    result_serializer="json",
    result_storage_key=record_key("{parameters[fleet]}", "{parameters[site]}"),
    refresh_cache=True,
)
def _record_task(fleet: str, site: str, record: dict[str, Any]) -> dict[str, Any]:
    return record


def read_record(fleet: str, site: str) -> SiteRecord | None:
    """Return a site's record, or None when there is none or it can't be read."""
    key = record_key(fleet, site)
    try:
        return SiteRecord.model_validate(ResultStore(result_storage=_storage()).read(key).result)
    except ValidationError:
        warn(f"the record {key} has a form this version does not know; it will be written anew")
    except (ValueError, OSError):
        return None
    return None


def _storage() -> WritableFileSystem:
    """Return where records are; without a server to ask, none is started for it."""
    settings = get_current_settings()
    if settings.api.url is None and settings.results.default_storage_block is None:
        return LocalFileSystem(basepath=str(settings.results.local_storage_path))
    storage = get_default_result_storage()
    assert isinstance(storage, WritableFileSystem)  # noqa: S101 - a coroutine only inside a loop
    return storage


def latest_record(site: Site, now: datetime) -> SiteRecord:
    """Return what is known about a site, or a blank record."""
    return read_record(site.fleet, site.name) or blank_record(site, now)
