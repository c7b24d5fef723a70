"""The page of `acrfleet report` as a manager's browser shows it, for 500 sites and for one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet.history import DayFigures, History, history_key
from tests.many_sites import FLEET, write_document, write_fleet_file, write_storage

pytestmark = [pytest.mark.ui, pytest.mark.timeout(150)]

OVERLAPS = """() => [...document.querySelectorAll('figure svg')].flatMap(svg => {
    const boxes = [...svg.querySelectorAll('text')].filter(one => one.textContent.trim())
        .map(one => [one.textContent.trim(), one.getBoundingClientRect()]);
    return boxes.flatMap(([name, a], at) => boxes.slice(at + 1)
        .filter(([_, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
            && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1)
        .map(([other, _]) => `${name} / ${other}`));
})"""
OUTSIDE = """() => [...document.querySelectorAll('figure svg')].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter(one => {
        const box = one.getBoundingClientRect();
        return box.left < frame.left - 1 || box.right > frame.right + 1
            || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
    }).map(one => one.textContent.trim());
})"""


@pytest.fixture(
    scope="module", params=[(500, 400), (500, 30), (1, 0)], ids=["500x400", "500x30", "1x0"]
)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a fleet with so many sites and days of history."""
    sites, days = request.param
    folder, now = tmp_path_factory.mktemp("fleet"), datetime.now(UTC)
    history = History(fleet=FLEET)
    for number in range(1, days + 1):
        statuses = {"done": sites - 20, "failed": 5, "waiting": 10, "never": 5}
        made = now - timedelta(days=number)
        figures = DayFigures(made_at=made, sites=sites, statuses=statuses, behind=number)
        history = history.noting(figures)
    write_fleet_file(folder / "fleet.yaml", sites)
    write_storage(folder / "storage", sites, now)
    key = folder / "storage" / history_key(FLEET)
    write_document(key, history.model_dump(mode="json"))
    # A process of its own: Playwright's event loop runs in this one.
    command = ["report", str(folder / "fleet.yaml"), "--html", str(folder / "fleet.html")]
    env = os.environ | {"PREFECT_LOCAL_STORAGE_PATH": str(folder / "storage")}
    subprocess.run([sys.executable, "-m", "cli", *command], env=env, check=True)
    return folder / "fleet.html"


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Any]:
    """The page in a browser; whoever asks for anything but the file fails."""
    shown = browser.new_page(viewport={"width": 1100, "height": 900})
    asked: list[str] = []
    shown.on("request", lambda found: asked.append(found.url))
    complaints: list[str] = []
    shown.on("console", lambda found: complaints.append(found.text))
    shown.goto(file.as_uri())
    shown.screenshot(path=str(file.with_suffix(".png")), full_page=True)
    yield shown
    shown.close()
    assert asked == [file.as_uri()], "one file, and no other request"
    assert complaints == []


@pytest.mark.parametrize("width", [1100, 420])
def test_no_label_lies_on_another_and_none_is_cut_off(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.locator("figure svg text").count() > 30
    assert page.evaluate(OVERLAPS) == []
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"


def test_a_screen_reader_finds_headings_and_a_name_for_every_picture(page: Any) -> None:
    assert page.get_by_role("heading", level=1).count() == 1
    pictures = page.get_by_role("img")
    assert pictures.count() == 5
    for words in ("Sites by status and day", "Sites by last proof", "client passwords"):
        assert page.get_by_role("img", name=words).count() == 1


def test_all_sites_are_a_click_away_without_scripts(page: Any) -> None:
    rows = page.locator("details", has_text="All ").first.locator("tbody tr")
    assert not rows.first.is_visible()
    page.get_by_text("All ", exact=False).first.click()
    assert rows.first.is_visible()
    assert rows.first.inner_text().startswith("site-000")
