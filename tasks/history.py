"""Keep how the fleet stood on each day; read by reports."""

from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import task

from fleet.history import History, figures_of, history_key, read_history_text
from fleet.sites import Fleet
from tasks.documents import read_document
from tasks.run_log import warn
from tasks.site_views import read_views

_AT_MOST_EVERY = timedelta(minutes=10)


def note_day(fleet: Fleet, worked_on: int) -> None:
    """Note how the fleet stands after a run; trouble with it is only a warning.

    It reads the records of all sites. So that a thousand runs of one site do not do that a
    thousand times, a run of part of the fleet leaves figures that are ten minutes old.

    Args:
        fleet: The whole fleet.
        worked_on: How many sites the run was about.
    """
    try:
        history, now = read_history(fleet.name), datetime.now(UTC)
        recent = history.last is not None and now - history.last < _AT_MOST_EVERY
        if recent and worked_on < len(fleet.sites):
            return
        figures = figures_of(read_views(fleet.name, fleet.sites), now)
        _history_task(fleet.name, history.noting(figures).model_dump(mode="json"))
    except Exception as error:  # noqa: BLE001 - what is only looked at never fails a run
        warn(f"the day could not be added to the history of {fleet.name}: {type(error).__name__}")


@task(
    name="keep history",
    task_run_name="keep history of {fleet}",
    persist_result=True,
    result_serializer="json",
    result_storage_key=history_key("{parameters[fleet]}"),
    refresh_cache=True,
    cache_result_in_memory=False,
)
def _history_task(fleet: str, history: dict[str, Any]) -> dict[str, Any]:
    return history


def read_history(fleet: str) -> History:
    """Return what was noted of a fleet's days so far."""
    return read_history_text(fleet, read_document(history_key(fleet)))
