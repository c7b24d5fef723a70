"""The page that `acrfleet report` writes: complete, self-contained, and safe to open."""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from cli.main import main
from fleet.history import DayFigures, History, history_key
from fleet.records import record_key
from fleet.results import Status
from tests.builders import a_record
from tests.many_sites import FLEET, names, write_document, write_fleet_file, write_storage

COUNT, DAYS = 500, 100
NASTY = "<script>alert('x')</script> & \"quotes\""


class Page(HTMLParser):
    """What a browser would find: tags, ids, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, *names: str) -> list[str]:
        return [value for name, value in self.attributes if name in names]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, now = tmp_path_factory.mktemp("fleet"), datetime.now(UTC)
    write_fleet_file(folder / "fleet.yaml", COUNT)
    write_storage(folder / "storage", COUNT, now)
    bad = a_record("site-001", last_status=Status.FAILED, last_verb="verify", last_message=NASTY)
    write_document(folder / "storage" / record_key(FLEET, "site-001"), bad.model_dump(mode="json"))
    history = History(fleet=FLEET)
    for number in range(1, DAYS):
        statuses = {"done": 400 + number, "failed": 100 - number}
        made = now - timedelta(days=number)
        history = history.noting(DayFigures(made_at=made, sites=COUNT, statuses=statuses))
    write_document(folder / "storage" / history_key(FLEET), history.model_dump(mode="json"))
    return folder


@pytest.fixture(autouse=True)
def _storage(folder: Path) -> Iterator[None]:
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: folder / "storage"}):
        yield


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: folder / "storage"}):
        out = folder / "fleet.html"
        ended = CliRunner().invoke(main, ["report", str(folder / "fleet.yaml"), "--html", str(out)])
    assert ended.exit_code == 0, ended.output
    assert f"{COUNT} sites" in ended.output
    assert oct(out.stat().st_mode)[-3:] == "644"
    return Page(out.read_text())


def test_the_page_needs_nothing_from_outside(page: Page) -> None:
    assert [value for value in page.values("src", "href", "xlink:href") if value[0] != "#"] == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not re.search(r"@import|url\((?!#)", page.text)
    assert "default-src 'none'" in " ".join(page.values("content"))


def test_every_picture_says_what_it_shows_and_no_id_is_given_twice(page: Page) -> None:
    assert page.tags.count("svg") == 5
    assert page.values("role") == ["img"] * 5
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert set(page.values("aria-labelledby")) <= set(ids)
    used = {value[1:] for value in page.values("href", "xlink:href")}
    used |= {
        found for value in page.values("clip-path") for found in re.findall(r"#([^)]+)", value)
    }
    assert used <= set(ids)
    assert f"figures of {DAYS} days" in page.text
    assert re.search(r"\d+ client passwords: oldest \d+ days, first ends in \d+ days\.", page.text)


def test_what_a_site_said_is_text_and_never_markup(page: Page) -> None:
    assert NASTY in page.text
    assert page.tags.count("script") == 0


def test_every_site_is_in_the_page_and_those_that_need_a_look_come_first(page: Page) -> None:
    attention, rest = page.text.split(f"All {COUNT} sites")
    assert len(set(re.findall(r"^site-\d{3}", rest, re.MULTILINE))) == COUNT
    assert attention.index("Sites that need attention") < attention.index("site-001verify failed")


@pytest.mark.slow
def test_a_page_of_chosen_sites_says_so_and_has_no_days_of_the_whole_fleet(folder: Path) -> None:
    out = folder / "some.html"
    command = ["report", str(folder / "fleet.yaml"), "--html", str(out), "--site", "site-00*"]
    ended = CliRunner().invoke(main, command)
    assert ended.exit_code == 0, ended.output
    text = Page(out.read_text()).text
    assert set(re.findall(r"^site-\d{3}", text, re.MULTILINE)) == set(names(10))
    assert f"These are 10 of the fleet's {COUNT} sites." in text
    assert "There are figures of one day" in text


@pytest.mark.slow
def test_the_figures_of_the_page_are_those_of_status(folder: Path, page: Page) -> None:
    shown = CliRunner().invoke(main, ["status", str(folder / "fleet.yaml")]).output
    (done,) = re.findall(r"\((\d+) done", shown)
    assert f"{done} of {COUNT} sites came well out of their last run" in page.text


@pytest.mark.slow
def test_a_folder_that_is_not_there_is_wrong_input(folder: Path) -> None:
    out = folder / "no/such/folder/fleet.html"
    ended = CliRunner().invoke(main, ["report", str(folder / "fleet.yaml"), "--html", str(out)])
    assert ended.exit_code == 2
    assert "can't be written: No such file or directory" in ended.output


@pytest.mark.slow
def test_without_matplotlib_it_says_what_to_install(folder: Path) -> None:
    code = "import sys; sys.modules['matplotlib'] = None; from cli.main import main; main()"
    out = folder / "never.html"
    command = ["report", str(folder / "fleet.yaml"), "--html", str(out)]
    ended = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "pip install '.[report]'" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not out.exists()
