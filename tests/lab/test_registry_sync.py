"""The edge registry as its parent sees it: activation, heartbeats, syncs."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from lab.registry.volume import Settings
from tests.lab.edge_bench import GATEWAY, MINUTE, a_bench, a_password, a_token, connection_string

pytestmark = pytest.mark.lab


@pytest.fixture
def bench(tmp_path):
    with a_bench(tmp_path) as one:
        yield one


@pytest.fixture
def synced(bench):
    bench.start()
    bench.wait_synced()
    return bench


def test_a_new_password_is_refused_before_the_tick_and_accepted_after(synced):
    hold = synced.faults.add(part="registry", kind="skip", match="sync")
    synced.parent.token = a_token(
        a_password("password1", "first"), a_password("password2", "second")
    )
    time.sleep(5 * MINUTE)
    assert synced.login("second").status_code == 401
    synced.faults.active.remove(hold)
    synced.wait(lambda: synced.login("second").status_code == 200)
    assert synced.login("first").status_code == 200


def test_a_removed_password_works_until_the_tick(synced):
    synced.parent.token = a_token(a_password("password2", "second"))
    synced.wait(lambda: synced.login("first").status_code == 401)
    assert synced.login("second").status_code == 200


def test_a_disabled_token_is_refused_after_the_tick(synced):
    synced.parent.token = replace(synced.parent.token, enabled=False)
    synced.wait(lambda: synced.login("first").status_code == 401)


def test_a_registry_is_online_while_it_runs_and_offline_after_missed_heartbeats(synced):
    assert synced.parent.state == "Online"
    assert any(report.last_sync for report in synced.parent.reports)
    assert synced.parent.reports[-1].host == "10.43.200.10"
    synced.stop()
    assert synced.parent.state == "Online"
    synced.wait(lambda: synced.parent.state == "Offline")


def test_a_site_without_link_serves_what_it_has_and_catches_up_later(synced):
    synced.edge.has_link = False
    synced.parent.token = a_token(a_password("password2", "second"))
    synced.wait(lambda: synced.parent.state == "Offline")
    assert synced.get("/v2/vessel/nav/manifests/1.0", synced.token("first")).status_code == 200
    assert synced.login("second").status_code == 401
    synced.edge.has_link = True
    synced.wait(lambda: synced.login("second").status_code == 200)
    assert synced.parent.state == "Online"


def test_silence_beyond_the_messages_life_ends_in_a_recovery_and_then_a_sync(synced):
    synced.edge.has_link = False
    synced.wait(lambda: synced.parent.state == "Offline")
    synced.parent.token = a_token(a_password("password2", "second"))
    synced.clock.jump(timedelta(days=3))
    synced.edge.has_link = True
    synced.wait(lambda: "recovery service" in " ".join(synced.edge.log))
    assert synced.login("second").status_code == 401
    synced.wait(lambda: synced.login("second").status_code == 200)


def test_a_scheduled_registry_syncs_at_its_time_only(synced):
    synced.parent.settings = Settings(schedule="0 3 1 1 *")
    synced.wait_synced()
    synced.parent.token = a_token(a_password("password2", "second"))
    time.sleep(5 * MINUTE)
    assert synced.login("second").status_code == 401
    assert synced.parent.state == "Online"
    synced.clock.jump(timedelta(days=366))
    synced.wait(lambda: synced.login("second").status_code == 200)


def test_a_resync_that_was_asked_for_does_not_wait_for_the_schedule(synced):
    synced.parent.settings = Settings(schedule="0 3 1 1 *")
    synced.wait_synced()
    synced.parent.token = a_token(a_password("password2", "second"))
    synced.parent.resync = True
    synced.wait(lambda: synced.login("second").status_code == 200)


def test_a_schedule_that_nobody_can_read_is_said_and_the_registry_stays_online(synced):
    synced.parent.settings = Settings(schedule="? ? ? ? ?")
    synced.wait(lambda: "Cannot follow the schedule" in synced.edge.log[-1])
    reports = len(synced.parent.reports)
    synced.wait(lambda: len(synced.parent.reports) > reports)
    assert synced.parent.state == "Online"


def test_a_bad_connection_string_is_the_pods_last_word(bench):
    bench.start("ConnectedRegistryName=oslo")
    assert bench.pod == [(False, "Invalid connection string: SyncTokenName has no value.")]
    assert not bench.edge.is_serving


def test_a_gateway_that_nobody_answers_for_is_a_bad_connection_string(bench):
    bench.start(connection_string().replace(GATEWAY, "elsewhere.data.azurecr.io"))
    assert bench.pod[0][0] is False
    assert "elsewhere.data.azurecr.io" in bench.pod[0][1]


def test_a_wrong_sync_password_is_logged_and_never_online(bench):
    bench.start(connection_string("old=pass"))
    bench.wait(
        lambda: any('401 UNAUTHORIZED "Incorrect Password"' in words for _, words in bench.pod)
    )
    assert bench.parent.reports == []
    assert bench.login("first").status_code == 401
    bench.start()
    bench.wait(lambda: bench.parent.state == "Online")


def test_a_second_instance_is_refused_until_the_first_is_deactivated(synced):
    synced.stop()
    synced.start(claim="pvc-2")
    synced.wait(lambda: any("ALREADY_ACTIVATED" in words for _, words in synced.pod))
    assert synced.edge.state["activated"] is False
    synced.parent.active = None
    synced.wait(lambda: synced.edge.state["activated"])
    synced.wait(lambda: synced.login("first").status_code == 200)


def test_the_same_volume_is_the_same_instance_and_keeps_its_content(synced):
    synced.stop()
    synced.edge.has_link = False
    synced.start()
    assert synced.get("/v2/vessel/nav/manifests/1.0", synced.token()).status_code == 200
    synced.edge.has_link = True
    synced.wait(lambda: synced.parent.state == "Online")


def test_an_instance_that_was_deactivated_stops_syncing(synced):
    synced.parent.active = None
    synced.wait(lambda: "deactivated" in synced.edge.log[-1])
    synced.parent.token = a_token(a_password("password2", "second"))
    time.sleep(3 * MINUTE)
    assert synced.parent.active is None
    assert synced.login("second").status_code == 401


def test_content_becomes_visible_repository_by_repository(tmp_path):
    with a_bench(tmp_path, sync_seconds=1.0) as bench:
        bench.start()
        bench.wait(lambda: bench.edge.state["repositories"] == ["vessel/nav"])
        assert bench.edge.state["last_sync"] is None
        bench.wait_synced()
        assert bench.edge.state["repositories"] == ["vessel/crew", "vessel/nav"]


def test_a_full_disk_is_reported_as_unhealthy(synced):
    synced.faults.add(part="registry", kind="disk-full", match="heartbeat")
    synced.wait(lambda: synced.parent.state == "Unhealthy")
    assert synced.parent.reports[-1].status_details[0]["code"] == "DiskError"


def test_the_audit_log_has_starts_stops_and_activations_but_no_syncs(synced):
    synced.wait_synced()
    synced.stop()
    assert [(line["part"], line["site"], line["action"]) for line in synced.audit.read()] == [
        ("registry", "oslo", "start"),
        ("registry", "oslo", "activate"),
        ("registry", "oslo", "stop"),
    ]
