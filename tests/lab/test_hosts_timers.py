"""Commands that a lab host runs by itself: `systemd-run`, leftovers of a login, a reboot."""

import time
from datetime import timedelta
from functools import partial

import pytest

from tests.lab.host_bench import Login, a_bench
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab]
soon = partial(wait_until, seconds=10)
ARM = "systemd-run --unit=heal --on-active={} --timer-property=AccuracySec=1s /bin/sh -c '{}'"


@pytest.fixture
def bench(tmp_path):
    with a_bench(tmp_path) as bench:
        yield bench


@pytest.fixture
def host(bench):
    return bench.host()


@pytest.fixture
def login(bench, host):
    return bench.login(host)


def run_as_root(login, command):
    return login.run(f"sudo -n {command}")


def show(login, unit):
    text = login.run(f"systemctl show {unit}").out
    return dict(line.partition("=")[::2] for line in text.splitlines())


def test_a_timer_runs_its_command_after_the_time(host, login):
    result = run_as_root(login, ARM.format(1, "echo fired; touch /root/fired"))
    assert result.status == 0
    assert result.err == (
        "Running timer as unit: heal.timer\nWill run service as unit: heal.service\n"
    )
    assert show(login, "heal.timer").items() >= {"SubState": "waiting", "Transient": "yes"}.items()
    assert show(login, "heal.service").items() >= {"ActiveState": "inactive"}.items()
    assert show(login, "heal.service")["LoadState"] == "loaded"
    assert not (host.root / "root/fired").exists()
    soon((host.root / "root/fired").exists)
    soon(lambda: show(login, "heal.timer")["LoadState"] == "not-found")
    assert show(login, "heal.service")["LoadState"] == "not-found"
    assert "sh[" in run_as_root(login, "journalctl -u heal").out
    assert "fired\n" in run_as_root(login, "journalctl -u heal -o cat").out


def test_what_a_timer_changes_is_in_the_audit_log(bench, host, login):
    run_as_root(login, ARM.format(0, "echo x > /etc/healed; systemctl restart k3s"))
    soon(lambda: ("write", "/etc/healed") in bench.actions())
    assert bench.actions()[0] == ("systemd-run", "heal.timer")
    soon(lambda: ("restart", "k3s.service") in bench.actions())


def test_a_jump_of_the_clock_makes_minutes_pass(bench, host, login):
    run_as_root(login, ARM.format("5min", "touch /root/fired"))
    bench.clock.jump(timedelta(minutes=4))
    time.sleep(0.3)
    assert not (host.root / "root/fired").exists()
    bench.clock.jump(timedelta(minutes=1, seconds=1))
    soon((host.root / "root/fired").exists)


def test_a_stopped_timer_never_goes_off(bench, host, login):
    run_as_root(login, ARM.format(60, "touch /root/fired"))
    assert run_as_root(login, "systemctl stop heal.timer").status == 0
    assert show(login, "heal.timer")["LoadState"] == "not-found"
    bench.clock.jump(timedelta(minutes=2))
    time.sleep(0.2)
    assert not (host.root / "root/fired").exists()
    again = run_as_root(login, "systemctl stop heal.timer")
    assert (again.status, again.err) == (
        5,
        "Failed to stop heal.timer: Unit heal.timer not loaded.\n",
    )


def test_a_timers_service_can_be_started_at_once(host, login):
    run_as_root(login, ARM.format(3600, "touch /root/fired"))
    assert run_as_root(login, "systemctl start heal.service").status == 0
    soon((host.root / "root/fired").exists)
    assert show(login, "heal.timer")["ActiveState"] == "active"


def test_a_failed_service_stays_until_it_is_reset(login):
    run_as_root(login, ARM.format(0, "exit 7"))
    soon(lambda: show(login, "heal.service")["ActiveState"] == "failed")
    assert show(login, "heal.service").items() >= {"ExecMainStatus": "7"}.items()
    taken = run_as_root(login, ARM.format(0, "true"))
    assert (taken.status, "was already loaded" in taken.err) == (1, True)
    assert login.run("systemctl is-failed heal.service").status == 0
    assert run_as_root(login, "systemctl reset-failed heal.service").status == 0
    assert show(login, "heal.service")["LoadState"] == "not-found"
    assert run_as_root(login, ARM.format(0, "true")).status == 0


def test_only_root_makes_timers(host, login):
    if host.mode == "translate":
        pytest.skip("everybody is root without namespaces")
    assert login.run(ARM.format(0, "true")).status == 1


def test_a_service_without_a_timer_runs_at_once_and_can_be_stopped(login):
    result = run_as_root(login, "systemd-run --unit=once sleep 600")
    assert result.err == "Running as unit: once.service\n"
    assert show(login, "once")["MainPID"] != "0"
    assert run_as_root(login, "systemctl stop once").status == 0
    assert show(login, "once")["LoadState"] == "not-found"


def test_armed_timers_are_found_by_a_pattern(login):
    run_as_root(login, ARM.format(3600, "true"))
    listed = login.run("systemctl list-units --all --plain --no-legend 'heal*.timer'").out
    assert listed.startswith("heal.timer loaded active waiting ")
    assert run_as_root(login, "systemctl stop 'heal*.timer'").status == 0
    assert login.run("systemctl list-units --all --plain --no-legend 'heal*'").out == ""


def test_a_host_can_do_without_systemd_run(host, login):
    host.systemd_run = False
    assert run_as_root(login, ARM.format(0, "true")).status != 0
    if host.mode == "namespace":
        assert login.run("command -v systemd-run").status != 0
    host.systemd_run = True
    assert run_as_root(login, ARM.format(0, "true")).status == 0


def test_a_script_logs_to_the_journal(login):
    login.root("logger -t acrfleet one two; echo three | logger -t acrfleet; logger -t x no")
    text = run_as_root(login, "journalctl -t acrfleet -o cat").out
    assert text == "one two\nthree\n"


def test_what_a_timers_command_logs_is_its_units(login):
    run_as_root(login, ARM.format(0, "logger -t acrfleet healed"))
    soon(lambda: "healed\n" in run_as_root(login, "journalctl -u heal -o cat").out)
    assert run_as_root(login, "journalctl -t acrfleet -o cat").out == "healed\n"


def test_a_process_of_its_own_session_outlives_the_connection(bench, host, login):
    script = (
        "setsid sh -c 'sleep 1; logger -t late done; touch /root/late' >/dev/null 2>&1 </dev/null &"
    )
    other = Login(host)
    assert other.root(script).status == 0
    other.client.close()
    soon((host.root / "root/late").exists)
    assert "done\n" in run_as_root(login, "journalctl -t late -o cat").out


def test_a_reboot_ends_processes_and_timers_and_starts_k3s_anew(bench, host, login):
    before = show(login, "k3s")
    run_as_root(login, ARM.format(2, "touch /root/fired"))
    login.root("echo x > /tmp/gone; echo x > /etc/kept")
    leftover = "setsid sh -c 'sleep 2; touch /root/late' >/dev/null 2>&1 </dev/null &"
    login.root(leftover)
    bench.loop.call(host.reboot)
    again = bench.login(host)
    after = show(again, "k3s")
    assert after["ActiveState"] == "active"
    assert after["InvocationID"] != before["InvocationID"]
    assert again.run("cat /etc/kept; ls /tmp").out == "x\n"
    assert show(again, "heal.timer")["LoadState"] == "not-found"
    time.sleep(2.2)
    assert not (host.root / "root/fired").exists()
    assert not (host.root / "root/late").exists()
    assert ("reboot", "oslo-1") in bench.actions()


def test_root_can_order_a_reboot(bench, host, login):
    assert login.run("sudo -n reboot").status in (0, -1)
    soon(lambda: ("reboot", "oslo-1") in bench.actions())
    soon(lambda: not login.client.get_transport().is_active())
    soon(lambda: host.journal.boot == 1 and host.service.is_running)


def test_round_trips_are_what_a_client_waits_for(host, login):
    assert host.round_trips == 0
    login.run("true")
    assert (host.round_trips, host.logins) == (2, 1)
    login.client.open_sftp()
    assert host.round_trips == 4
    host.round_trips = 0
    with pytest.raises(Exception, match="Connect failed"):
        login.forward("10.43.0.1", 443)
    assert host.round_trips == 1
