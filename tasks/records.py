"""Keep and read the sites' records in Prefect's result storage (see `tasks.documents`)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from prefect import task
from pydantic import ValidationError

from fleet.records import SiteRecord, blank_record, record_key
from fleet.sites import Site
from tasks.documents import read_documents
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
    return read_records(fleet, [site])[site]


def read_records(fleet: str, sites: Iterable[str]) -> dict[str, SiteRecord | None]:
    """Return the records of many sites by name, 500 of a folder in a fifth of a second."""
    keys = {site: record_key(fleet, site) for site in sites}
    texts = read_documents(keys.values())
    return {site: _parse(key, texts.get(key)) for site, key in keys.items()}


def _parse(key: str, text: str | None) -> SiteRecord | None:
    if text is None:
        return None
    try:
        return SiteRecord.model_validate_json(text)
    except ValidationError:
        warn(f"the record {key} has a form this version does not know; it will be written anew")
        return None


def latest_record(site: Site, now: datetime) -> SiteRecord:
    """Return what is known about a site, or a blank record."""
    return read_record(site.fleet, site.name) or blank_record(site, now)
