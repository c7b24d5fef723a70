"""Keep and read the marks of runs over a fleet in Prefect's result storage."""

from typing import Any

from prefect import task
from pydantic import ValidationError

from fleet.run_marks import RunMark
from tasks.documents import read_document


def keep_mark(key: str, mark: RunMark) -> None:
    """Write a run's mark, in place of the one before."""
    _mark_task(key, mark.model_dump(mode="json"))


@task(
    name="keep the run's mark",
    persist_result=True,
    result_serializer="json",
    result_storage_key="{parameters[key]}",
    refresh_cache=True,
)
def _mark_task(key: str, mark: dict[str, Any]) -> dict[str, Any]:
    return mark


def read_mark(key: str) -> RunMark | None:
    """Return a run's mark, or None when there is none or it can't be read."""
    text = read_document(key)
    try:
        return RunMark.model_validate_json(text) if text else None
    except ValidationError:
        return None
