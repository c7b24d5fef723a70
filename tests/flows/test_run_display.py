"""How a run shows in the Prefect UI while it goes on: its name, its tags, its progress bar."""

import time
from collections.abc import Callable
from typing import Any, NoReturn
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.context import get_run_context

from fleet.sites import Fleet
from tasks.progress import announce, tell
from tasks.progress_bar import showing_progress
from tasks.run_names import name_run
from tests.builders import a_registry, a_site
from tests.flows.artifacts import artifacts_of

pytestmark = [
    pytest.mark.flow,
    pytest.mark.timeout(500),
    pytest.mark.usefixtures("prefect_harness"),
]


@pytest.fixture
def fleet() -> str:
    return f"fleet-{uuid4().hex[:8]}"


def bars_of(fleet: str) -> list[tuple[str | None, Any]]:
    """Return description and share of each progress bar of a fleet."""
    return [(one.description, one.data) for one in artifacts_of(f"progress-{fleet}")]


def bars_once(fleet: str, is_it: Callable[[str], bool]) -> list[tuple[str | None, Any]]:
    """Return the same as soon as a bar says something; it moves once a second at most."""
    deadline = time.monotonic() + 30
    while True:
        found = bars_of(fleet)
        if any(is_it(text or "") for text, _ in found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_a_bar_moves_with_each_site_that_ends_and_counts_who_did_not_get_through(
    fleet: str,
) -> None:
    seen = []

    @flow(name="test")
    def run() -> None:
        with showing_progress(fleet, "onboard", 4):
            seen.extend(bars_of(fleet))
            tell("installs the chart", site="oslo")
            tell("fine", "done", site="oslo")
            tell("no link", "failed", site="riga")
            seen.extend(bars_once(fleet, lambda text: "2 of 4" in text))
            announce("wave 2 of 2")
            tell("is away", "waiting", site="turku")
            tell("done before", "skipped", site="bergen")

    run()
    assert [*seen, *bars_of(fleet)] == [
        (f"onboard {fleet}: 0 of 4 sites", 0.0),
        (f"onboard {fleet}: 2 of 4 sites, 1 failed", 50.0),
        (f"onboard {fleet}: 4 of 4 sites, 1 failed, 1 waiting; wave 2 of 2", 100.0),
    ]


def test_the_bar_of_a_run_that_was_broken_off_says_so(fleet: str) -> None:
    @flow(name="test")
    def run() -> NoReturn:
        with showing_progress(fleet, "rotate", 2):
            tell("fine", "done", site="oslo")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert bars_of(fleet) == [
        (f"rotate {fleet}: 1 of 2 sites; the run was broken off", 50.0),
    ]


def test_one_site_needs_no_bar(fleet: str) -> None:
    @flow(name="test")
    def run() -> None:
        with showing_progress(fleet, "verify", 1):
            tell("fine", "done", site="oslo")

    run()
    assert bars_of(fleet) == []


def test_a_run_gets_its_name_and_tags_once_its_sites_are_known() -> None:
    sites = (a_site("oslo"), a_site("riga"))
    fleet = Fleet(name="northsea", registries={"northsea": a_registry()}, sites=sites)

    @flow(name="test", flow_run_name="verify sites of /etc/fleet.yaml")
    def named() -> str:
        name_run("verify", fleet, sites)
        return str(get_run_context().flow_run.id)

    with get_client(sync_client=True) as client:
        run = client.read_flow_run(named())
    assert run.name == "verify oslo, riga"
    assert {"verb:verify", "fleet:northsea", "registry:northsea", "site:oslo"} <= set(run.tags)
