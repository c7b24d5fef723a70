"""What an operator sees in the Prefect UI: runs and sites by name, pages, tables, colours."""

from collections.abc import Iterator
from typing import Any

import pytest

from lab.thread import LabThread

pytestmark = [pytest.mark.ui, pytest.mark.timeout(400)]


@pytest.fixture
def page(browser: Any, server: str, runs: LabThread) -> Iterator[Any]:
    context = browser.new_context(base_url=server, viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(90_000)
    assert runs.info["sites"]
    yield context.new_page()
    context.close()


def open_artifact(page: Any, words: str, key: str) -> None:
    """Go where an operator goes: to the artifacts, type some words, open the latest one.

    The link is followed by its address: the search writes itself into the page's address some time
    after the typing, which takes a quick visitor back from where a click has led.
    """
    page.goto("/v2/artifacts")
    page.get_by_placeholder("Search artifacts").fill(words)
    page.get_by_text("1 artifact", exact=True).wait_for()
    page.goto(page.get_by_role("link", name=key).first.get_attribute("href"))
    page.locator("a[href*='/artifacts/artifact/']").first.click()
    page.wait_for_url("**/artifacts/artifact/**")


def read_page(page: Any, site: str, title: str) -> str:
    """Open a site's page by the site's name and return its text."""
    open_artifact(page, site, f"site-lab-{site}")
    shown = page.get_by_test_id("markdown-display")
    shown.get_by_role("heading", name=title).wait_for()
    return str(shown.inner_text())


def test_a_site_is_found_by_its_name_and_its_page_shows_what_proves_it(page: Any) -> None:
    text = read_page(page, "oslo", "oslo: onboard done")
    assert "pulls vessel/" in text
    assert "What proves that images pull" in text
    assert "sha256:" in text
    assert " UTC" in text
    assert page.get_by_role("link", name="onboard oslo", exact=True).count() == 1
    page.get_by_role("link", name="All sites of lab").click()
    page.wait_for_url("**/artifacts/key/fleet-lab")


def test_a_site_that_failed_says_why_and_what_to_do(page: Any) -> None:
    text = read_page(page, "singapore", "singapore: onboard failed")
    assert "nothing/*" in text
    assert "docs/reference/errors.md" in text


def test_the_table_of_the_fleet_shows_first_who_needs_somebody(page: Any) -> None:
    open_artifact(page, "fleet", "fleet-lab")
    table = page.get_by_test_id("table-display")
    table.locator("tbody tr").first.wait_for()
    rows = table.locator("tbody tr").all_inner_texts()
    assert [row.split()[:2] for row in rows] == [
        ["singapore", "failed"],
        ["rotterdam", "waiting"],
        ["oslo", "done"],
    ]
    page.get_by_role("link", name="singapore", exact=True).click()
    page.wait_for_url("**/artifacts/key/site-lab-singapore")


def test_runs_are_named_and_tagged_and_a_waiting_site_is_not_green(page: Any) -> None:
    page.goto("/v2/runs")
    page.get_by_role("link", name="onboard oslo, rotterdam, singapore").wait_for()
    for tag in ("fleet:lab", "verb:onboard", "site:oslo", "registry:acrfleetlab"):
        assert page.get_by_text(tag, exact=True).count() == 1
    page.goto("/v2/runs?tab=task-runs")
    page.get_by_placeholder("Search by task run name").fill("onboard rotterdam")
    page.get_by_text("1 Task run", exact=True).wait_for()
    waiting = page.get_by_text("Waiting", exact=True)
    assert waiting.count() == 1
    red, green, blue = colour_of(waiting)
    assert max(red, green, blue) - min(red, green, blue) < 20, "grey, neither green nor red"


def colour_of(badge: Any) -> tuple[int, int, int]:
    """Return the red, green and blue that are behind a badge."""
    script = """element => {
        const paint = document.createElement('canvas').getContext('2d');
        while (getComputedStyle(element).backgroundColor.match(/, 0\\)$|transparent/))
            element = element.parentElement;
        paint.fillStyle = getComputedStyle(element).backgroundColor;
        paint.fillRect(0, 0, 1, 1);
        return Array.from(paint.getImageData(0, 0, 1, 1).data.slice(0, 3));
    }"""
    red, green, blue = badge.evaluate(script)
    return red, green, blue


def test_the_progress_bar_of_the_run_is_full_and_counts_who_did_not_get_through(page: Any) -> None:
    open_artifact(page, "progress", "progress-lab")
    page.get_by_text("onboard lab: 3 of 3 sites, 1 failed, 1 waiting").wait_for()
    assert "100%" in page.get_by_test_id("progress-display").inner_text()
