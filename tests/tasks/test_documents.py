"""Records and images come back from any storage, many at once, and what is missing is missing."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.filesystems import LocalFileSystem, RemoteFileSystem
from prefect.settings import (
    PREFECT_DEFAULT_RESULT_STORAGE_BLOCK,
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW,
    temporary_settings,
)

from fleet.errors import FleetError
from fleet.freshness import SiteImages, images_key
from fleet.history import DayFigures, history_key
from fleet.records import record_key
from fleet.sites import Fleet
from tasks.documents import read_documents
from tasks.history import note_day, read_history
from tasks.records import keep_record, read_records
from tasks.site_images import keep_images, note_no_contact, read_images
from tests.builders import NOW, a_record, a_registry, a_site
from tests.many_sites import write_document

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]
SITES = ("aden", "bergen", "cork")


@pytest.fixture(params=["folder", "block of a folder", "block of a remote storage"])
def _storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    name, place = f"s{uuid4().hex[:8]}", str(tmp_path)
    if request.param == "folder":
        changes = {PREFECT_LOCAL_STORAGE_PATH: tmp_path}
    elif request.param == "block of a folder":
        LocalFileSystem(basepath=place).save(name)
        changes = {PREFECT_DEFAULT_RESULT_STORAGE_BLOCK: f"local-file-system/{name}"}
    else:
        RemoteFileSystem(basepath=f"memory://{name}").save(name)
        changes = {PREFECT_DEFAULT_RESULT_STORAGE_BLOCK: f"remote-file-system/{name}"}
    with temporary_settings(changes | {PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore"}):
        yield


@pytest.mark.usefixtures("_storage")
def test_what_was_kept_comes_back_and_a_site_without_it_has_none() -> None:
    images = SiteImages(fleet="northsea", site="aden", checked_at=NOW)
    keep_record("northsea", "aden", a_record("aden", last_changes=3))
    keep_record("northsea", "aden", a_record("aden", last_changes=4))
    keep_images(images)
    records = read_records("northsea", SITES)
    assert records == {
        "aden": a_record("aden", last_changes=4),
        "bergen": None,
        "cork": None,
    }
    assert read_images("northsea", SITES) == {"aden": images, "bergen": None, "cork": None}
    note_no_contact(a_site("aden"), FleetError("no link\nmore"))
    later = read_images("northsea", ["aden"])["aden"]
    assert later is not None
    assert (later.checked_at, later.problem) == (NOW, "no link")


@pytest.mark.usefixtures("_storage")
def test_a_run_of_part_of_the_fleet_leaves_figures_that_are_minutes_old() -> None:
    sites = tuple(a_site(name) for name in SITES)
    fleet = Fleet(name="northsea", registries={"northsea": a_registry()}, sites=sites)
    keep_record("northsea", "aden", a_record("aden"))
    note_day(fleet, worked_on=1)
    (first,) = read_history("northsea").days
    assert (first.sites, first.statuses) == (3, {"waiting": 1, "never": 2})
    keep_record("northsea", "bergen", a_record("bergen"))
    note_day(fleet, worked_on=1)
    assert read_history("northsea").days == (first,)
    note_day(fleet, worked_on=3)
    (second,) = read_history("northsea").days
    assert second.statuses == {"waiting": 2, "never": 1}


def test_what_is_half_written_or_of_another_version_does_not_hide_the_rest(tmp_path: Path) -> None:
    keys = {name: record_key("northsea", name) for name in SITES}
    write_document(tmp_path / keys["aden"], a_record("aden").model_dump(mode="json"))
    write_document(tmp_path / keys["bergen"], {"fleet": "northsea", "of": "a later version"})
    (tmp_path / keys["cork"]).write_text('{"metadata": {"serial')
    write_document(tmp_path / history_key("northsea"), {"fleet": "northsea", "days": [{"x": 1}]})
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path}):
        assert read_records("northsea", SITES) == {
            "aden": a_record("aden"),
            "bergen": None,
            "cork": None,
        }
        assert set(read_documents([*keys.values(), images_key("northsea", "aden")])) == {
            keys["aden"],
            keys["bergen"],
        }
        assert read_history("northsea").days == ()
    assert DayFigures(made_at=NOW, sites=0, statuses={}).day.isoformat() == "2026-11-24"
