"""Rolling sync passwords: the registry goes on with a string that Azure takes, whatever happens."""

import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from kubernetes import client, config

from fleet.results import SiteResult, Status
from lab.thread import LabThread
from tests.flows.lab_runs import change_fleet, module_lab, onboard, result_of, run, writes
from tests.flows.pull_load import pulling
from tests.flows.sync_site import BEFORE, STAGED, SyncSite
from tests.waiting import wait_until

pytestmark = [pytest.mark.flow, pytest.mark.lab, pytest.mark.slow]
PATIENCE = {"online": "20s", "accepted": "20s", "node_ready": "20s"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, prefect_harness: None) -> Iterator[LabThread]:
    assert prefect_harness is None
    with module_lab(tmp_path_factory, sites=4, minute=0.2) as lab:
        change_fleet(lab, rotation={"grace": "1s"}, patience=PATIENCE)
        report = onboard(lab)
        assert not report.having(Status.FAILED), report
        yield lab


class RolledSite(SyncSite):
    """One site of the lab that no other test has used."""

    def azure(self) -> list[str]:
        """Return the writes to Azure about this site's sync token."""
        return [line for line in writes(self.lab) if line.startswith("azure") and self._about(line)]

    def _about(self, line: str) -> bool:
        return self.token().name in line

    def rotate(self, *, now: bool = True) -> SiteResult:
        from flows.rotate import rotate_tokens

        return result_of(run(partial(rotate_tokens, now=now), self.lab, [self.name]), self.name)

    def change(self, **changes: Any) -> None:
        change_fleet(self.lab, self.name, **changes)


SITES = iter(range(4))


@pytest.fixture
def site(lab: LabThread) -> Iterator[RolledSite]:
    entry = lab.info["sites"][next(SITES)]
    with config.new_client_from_config(entry["kubeconfig"]) as api:
        one = RolledSite(lab, entry["name"], client.CoreV1Api(api))
        wait_until(one.is_online)
        yield one
        assert one.refused == []
    lab.call(lab.world.clear_faults)


@contextmanager
def when(condition: Callable[[], bool], act: Callable[[], object]) -> Iterator[None]:
    """Do something in the background as soon as a condition holds."""
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if condition():
                act()
                return
            time.sleep(0.005)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_rotation_under_load_ends_with_a_sync_by_the_new_password_and_no_failed_pull(
    site: RolledSite,
) -> None:
    assert (site.slot(), set(site.token().slots)) == ("password1", {"password1"})
    with site.watched(), pulling(site.lab, site.name) as load:
        result = site.rotate()
        assert result.status is Status.DONE, result
    assert load.failures == []
    assert load.fallbacks > 0, "the pod restarts, and pulls go to the cloud meanwhile"
    assert (site.slot(), set(site.token().slots)) == ("password2", {"password2"})
    assert (site.secret(STAGED), site.secret(BEFORE)) == (None, None)
    wait_until(site.is_online)
    time.sleep(1.1)
    assert site.rotate(now=False).status is Status.DONE
    before = len(writes(site.lab))
    idle = site.rotate(now=False)
    assert (idle.status, idle.changes) == (Status.DONE, 0)
    assert writes(site.lab)[before:] == []


def test_a_registry_that_falls_silent_gets_its_old_string_back_and_is_tried_again_later(
    site: RolledSite,
) -> None:
    site.change(patience={**PATIENCE, "online": "3s"})
    faults = site.lab.faults
    old = site.string()

    def fall_silent() -> None:
        faults.add(part="registry", match="contact", kind="skip", site=site.name)

    with site.watched(), when(lambda: site.string() != old, fall_silent):
        result = site.rotate()
    assert (result.status, result.error) == (Status.WAITING, "WaitingForSiteError"), result
    assert "it did not follow the new connection string" in result.message
    assert site.string() == old
    assert set(site.token().slots) == {"password1", "password2"}
    staged = b64decode(site.secret(STAGED).data["password"]).decode()  # type: ignore[union-attr]  # it is there
    offline = site.rotate(now=False)
    assert (offline.status, site.string()) == (Status.WAITING, old)
    assert "Azure calls it offline" in offline.message
    site.lab.call(site.lab.world.clear_faults)
    wait_until(site.is_online)
    made = site.token().slots["password2"].created
    site.change(patience=PATIENCE)
    with site.watched():
        again = site.rotate(now=False)
    assert again.status is Status.DONE, again
    assert site.string().password.get_secret_value() == staged, "no password was made again"
    assert {name: one.created for name, one in site.token().slots.items()} == {"password2": made}


def test_nothing_is_begun_at_a_site_that_azure_calls_offline(site: RolledSite) -> None:
    site.lab.faults.add(part="registry", match="contact", kind="skip", site=site.name)
    wait_until(lambda: not site.is_online())
    site.change(patience={**PATIENCE, "accepted": "1s"})
    before = site.azure()
    result = site.rotate()
    assert result.status is Status.WAITING, result
    assert "Azure calls it offline" in result.message
    assert (site.azure(), site.secret(STAGED)) == (before, None)
    assert set(site.token().slots) == {"password1"}


def test_a_registry_that_synchronises_once_a_day_keeps_both_passwords_until_it_has(
    site: RolledSite,
) -> None:
    at = site.lab.world.clock.now() + timedelta(hours=12)
    sync = {"schedule": f"0 {at.hour} * * *", "window": "3h"}
    site.change(connected_registry={"sync": sync})
    assert onboard(site.lab, site.name).having(Status.DONE)
    time.sleep(1)
    site.change(patience={**PATIENCE, "accepted": "1s"})
    with site.watched():
        result = site.rotate()
        assert result.status is Status.WAITING, result
        assert "has not synchronised since" in result.message
        assert (site.slot(), set(site.token().slots)) == ("password2", {"password1", "password2"})
        changed = site.lab.world.clock.now()
        site.lab.call(site.lab.world.clock.jump, timedelta(days=1))
        wait_until(lambda: site.last_sync() > changed)
        later = site.rotate(now=False)
    assert later.status is Status.DONE, later
    assert set(site.token().slots) == {"password2"}
    assert site.secret(BEFORE) is None
