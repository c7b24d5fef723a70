"""Two runs never write to one site at once."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import get_current_settings

from fleet.sites import Site
from tasks.prefect_limits import make_limit
from tasks.site_locks import SiteBusyError, limit_name, site_to_itself
from tests.builders import a_site

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]


def test_a_second_run_of_the_same_site_is_told_to_wait() -> None:
    with (
        site_to_itself(a_site("bodo")),
        pytest.raises(SiteBusyError, match="another run"),
        site_to_itself(a_site("bodo"), patience=1.0),
    ):
        pytest.fail("two runs were let in")


def test_another_site_is_free_and_a_finished_run_leaves_the_site_free() -> None:
    with site_to_itself(a_site("alta"), patience=10), site_to_itself(a_site("vardo"), patience=10):
        pass
    with site_to_itself(a_site("alta"), patience=10):
        pass


def test_a_run_that_fails_leaves_the_site_free() -> None:
    with pytest.raises(ValueError, match="broken"), site_to_itself(a_site("narvik"), patience=10):
        raise ValueError("broken")
    with site_to_itself(a_site("narvik"), patience=10):
        pass


def test_runs_that_make_the_same_limit_at_once_have_both_made_it() -> None:
    """One looks before, and creates after, the other has created it."""
    name = "acrfleet-made-twice"
    with get_client(sync_client=True) as client:

        def create_before(request: httpx.Request) -> None:
            if request.method == "POST" and not made:
                made.append(name)
                with get_client(sync_client=True) as other:
                    make_limit(other, name, 3)

        made: list[str] = []
        client._client.event_hooks["request"].append(create_before)
        make_limit(client, name, 2)
        assert made
        assert client.read_global_concurrency_limit_by_name(name).limit == 2


HOLD = """
import sys, time
from tasks.prefect_limits import make_limit
from tasks.site_locks import site_to_itself
from tests.builders import a_site
with site_to_itself(a_site(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold_and_be_killed(name: str, environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, name], stdout=subprocess.PIPE, env=environment
    ) as holder:
        assert holder.stdout is not None
        assert b"held\n" in iter(holder.stdout.readline, b"")
        holder.kill()


@pytest.mark.slow
def test_a_killed_run_does_not_keep_the_next_one_waiting() -> None:
    settings = get_current_settings()
    server = {"PREFECT_API_URL": str(settings.api.url), "PREFECT_HOME": str(settings.home)}
    hold_and_be_killed("mehamn", os.environ | server)
    with site_to_itself(a_site("mehamn"), patience=5.0):
        pass


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_slot_that_a_temporary_server_took_into_its_grave_is_given_back(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    environment["PREFECT_HOME"] = str(tmp_path)
    environment["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "120"
    hold_and_be_killed("berlevag", environment)
    hold_and_be_killed("berlevag", environment)


def test_a_run_that_waits_goes_on_when_the_other_one_ends() -> None:
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with site_to_itself(a_site("kirkenes"), patience=10):
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(30)
    threading.Timer(1.0, leave.set).start()
    with site_to_itself(a_site("kirkenes"), patience=30):
        pass
    thread.join(30)


def test_a_slot_that_was_lost_while_the_server_was_away_is_taken_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasks.site_locks._RENEW", 0.2)
    site = a_site("honningsvag")
    file = Path(get_current_settings().home) / "acrfleet-locks" / limit_name(site)
    with site_to_itself(site, patience=10), get_client(sync_client=True) as client:
        lease = UUID(file.read_text())
        client.release_concurrency_slots_with_lease(lease)
        deadline = time.monotonic() + 30
        while file.read_text() in ("", str(lease)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert slots_taken(client, site) == 1
    with get_client(sync_client=True) as client:
        assert slots_taken(client, site) == 0


def slots_taken(client: SyncPrefectClient, site: Site) -> int:
    return client.read_global_concurrency_limit_by_name(limit_name(site)).active_slots
