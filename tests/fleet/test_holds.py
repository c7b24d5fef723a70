"""What has to wait at a site before it restarts something, and how that is said."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.azure_objects import ConnectedRegistryState
from fleet.connected_registries import wanted_settings
from fleet.holds import (
    NodeBusyError,
    PullWatch,
    WindowClosedError,
    all_held,
    first_sync_words,
    moves_endpoint,
    restarting_changes,
    window_error,
)
from fleet.maintenance import Maintenance
from fleet.sites import ConnectedRegistry, Patience, Sync
from tests.builders import a_site

CASES = yaml.safe_load(
    (Path(__file__).parents[1] / "cases" / "pulls_under_way.yaml").read_text(encoding="utf-8")
)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NIGHTLY = ConnectedRegistry(sync=Sync(schedule="0 1 * * *", window="4h"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_downloads_are_told_from_what_was_left_of_them(case: dict[str, Any]) -> None:
    watch = PullWatch()
    assert [watch.see(pulls, at) for at, pulls in case["looks"]] == case["busy"]


@pytest.mark.parametrize(
    ("connection", "synced", "registry", "goes_on"),
    [
        ("Online", False, ConnectedRegistry(), True),
        ("Syncing", False, ConnectedRegistry(), True),
        ("Online", True, ConnectedRegistry(), False),
        ("Syncing", True, ConnectedRegistry(), False),
        ("Offline", False, ConnectedRegistry(), False),
        ("Online", False, NIGHTLY, False),
        ("Syncing", False, NIGHTLY, True),
    ],
)
def test_the_first_sync_is_seen_in_azure(
    connection: str, synced: bool, registry: ConnectedRegistry, goes_on: bool
) -> None:
    state = ConnectedRegistryState(
        name="oslo",
        mode="ReadOnly",
        settings=wanted_settings(a_site(connected_registry=registry)),
        sync_token_id=None,
        connection_state=connection,
        last_sync=NOW if synced else None,
    )
    assert bool(first_sync_words(state)) is goes_on


def test_without_a_connected_registry_nothing_synchronises() -> None:
    assert first_sync_words(None) == ""


def test_the_window_has_to_stay_open_for_as_long_as_a_node_may_take() -> None:
    window = Maintenance(cron="0 11 * * *", length="70m")
    site = a_site(maintenance=window, patience=Patience(node_ready="10m"))
    assert window_error(site, "oslo-1: k3s", NOW) is None
    error = window_error(site, "oslo-1: k3s", NOW.replace(second=1))
    assert str(error) == (
        "oslo-1: k3s; it waits: the maintenance window closes in 599 s, and a restart may take "
        "10 min; the next one opens Wed 2026-11-25 11:00 UTC."
    )


def test_everything_that_waits_is_one_error_the_window_first() -> None:
    busy, closed = NodeBusyError("a is busy"), WindowClosedError("b is closed")
    error = all_held("oslo", [busy, closed])
    assert type(error) is WindowClosedError
    assert str(error) == "oslo: what restarts nothing is done.\nb is closed\na is busy"
    assert type(all_held("oslo", [busy])) is NodeBusyError
    assert all_held("oslo", []) is None


def test_a_change_of_labels_restarts_nothing() -> None:
    assert restarting_changes(["labels"]) == ()
    assert restarting_changes(["labels", "version"]) == ("version",)


@pytest.mark.parametrize(
    ("names", "moves"),
    [(["version"], False), (["pvc", "sync"], False), (["httpEnabled"], True), (["service"], True)],
)
def test_some_changes_of_a_chart_move_the_registry(names: list[str], moves: bool) -> None:
    assert moves_endpoint(names) is moves
