"""`acrfleet metrics` writes OpenMetrics that node_exporter takes too, and says what is known."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as older_text

from cli.main import main
from tests.many_sites import FLEET, images_of, names, record_of, write_fleet_file, write_storage

COUNT = 60


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    write_fleet_file(tmp_path / "fleet.yaml", COUNT)
    write_storage(tmp_path / "storage", COUNT)
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "storage"}):
        yield tmp_path


def write(folder: Path) -> str:
    out = folder / "acrfleet.prom"
    ended = CliRunner().invoke(main, ["metrics", str(folder / "fleet.yaml"), "--out", str(out)])
    assert (ended.exit_code, ended.output) == (0, "")
    return out.read_text()


def values(text: str, name: str) -> dict[tuple[str, ...], float]:
    """Return a metric's values by its labels except the fleet's."""
    (family,) = [one for one in open_metrics(text) if one.name == name]
    return {
        tuple(value for label, value in sorted(sample.labels.items()) if label != "fleet"): (
            sample.value
        )
        for sample in family.samples
    }


def test_both_parsers_read_the_same_from_it(folder: Path) -> None:
    text = write(folder)
    assert text.endswith("# EOF\n")
    read = [
        {(s.name, *sorted(s.labels.items())): s.value for f in parse(text) for s in f.samples}
        for parse in (open_metrics, older_text)
    ]
    assert read[0] == read[1]
    assert {family.type for family in open_metrics(text)} == {"gauge"}
    assert {s.timestamp for f in open_metrics(text) for s in f.samples} == {None}


def test_the_values_are_those_of_the_records(folder: Path) -> None:
    text = write(folder)
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    records = {name: found for name in names(COUNT) if (found := record_of(name, now))}
    status = values(text, "acrfleet_site_status")
    expiry = values(text, "acrfleet_password_expiry_timestamp_seconds")
    for name, record in records.items():
        assert status[name, record.last_status.value] == 1
        assert record.password is not None
        assert record.password.expires is not None
        assert expiry[name, "client"] == pytest.approx(record.password.expires.timestamp())
    assert sum(status.values()) == COUNT
    counts = values(text, "acrfleet_sites")
    assert counts["never",] == COUNT - len(records) > 0
    assert sum(counts.values()) == COUNT


def test_what_is_behind_is_counted_and_dated(folder: Path) -> None:
    text = write(folder)
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    known = {name: found for name in names(COUNT) if (found := images_of(name, now))}
    counted = values(text, "acrfleet_site_images")
    since = values(text, "acrfleet_site_images_behind_since_timestamp_seconds")
    late = {name: len(one.late) for name, one in known.items()}
    assert {name for (name,) in since} == {name for name, count in late.items() if count}
    for name, count in late.items():
        assert counted[name, "behind"] + counted[name, "missing"] == count


def test_a_site_has_few_series_and_its_labels_are_names_alone(folder: Path) -> None:
    samples = [sample for family in open_metrics(write(folder)) for sample in family.samples]
    assert len(samples) <= 22 * COUNT
    assert {label for one in samples for label in one.labels} == {
        "fleet",
        "site",
        "status",
        "use",
        "state",
    }
    assert {one.labels["fleet"] for one in samples} == {FLEET}


def test_chosen_sites_alone_are_counted(folder: Path) -> None:
    command = ["metrics", str(folder / "fleet.yaml"), "--site", "site-00[1-3]"]
    text = CliRunner().invoke(main, command).output
    assert sum(values(text, "acrfleet_sites").values()) == 3
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    known = {name for name in ("site-001", "site-002", "site-003") if record_of(name, now)}
    assert known
    assert {name for name, _ in values(text, "acrfleet_site_status")} == known


def test_a_reader_never_sees_half_a_file(folder: Path) -> None:
    write(folder)
    before = (folder / "acrfleet.prom").stat().st_ino
    write(folder)
    assert (folder / "acrfleet.prom").stat().st_ino != before, "replaced, not written over"
    assert sorted(path.name for path in folder.iterdir()) == [
        "acrfleet.prom",
        "fleet.yaml",
        "storage",
    ]


def test_without_a_file_it_goes_to_the_terminal(folder: Path) -> None:
    ended = CliRunner().invoke(main, ["metrics", str(folder / "fleet.yaml")])
    assert ended.output.startswith("# HELP acrfleet_metrics_made")
