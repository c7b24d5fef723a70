"""What the product relies on from systemd on a host: jobs, states, the journal, timers."""

import re
import time
from collections.abc import Iterator

import pytest

from tests.lab.hosts_target import HostTarget

BROKEN = b"mirrors:\n  a.azurecr.io: endpoint: x\n"
_ARM = (
    "systemd-run --unit=contract --on-active={} --timer-property=AccuracySec=100ms /bin/sh -c '{}'"
)
_UNITS = "/etc/systemd/system"
_TIMES = r"[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


class ServiceContract:
    @pytest.fixture(autouse=True)
    def _healthy(self, target: HostTarget) -> Iterator[None]:
        yield
        start = f"systemctl reset-failed; systemctl start --no-block {target.distribution.unit}"
        target.root(f"rm -f {target.distribution.registries}; {start}")
        target.wait_until_running()

    def test_a_running_service_says_so(self, target: HostTarget) -> None:
        shown = target.show()
        expected = {
            "LoadState": "loaded",
            "ActiveState": "active",
            "SubState": "running",
            "Result": "success",
            "UnitFileState": "enabled",
            "Type": "notify",
            "Restart": "always",
        }
        assert shown.items() >= expected.items()
        assert int(shown["MainPID"]) > 1
        for name in ("ExecMainStartTimestamp", "ActiveEnterTimestamp"):
            assert re.fullmatch(_TIMES, shown[name])
        assert int(shown["ActiveEnterTimestampMonotonic"]) > 0
        assert f"argv[]=/usr/local/bin/{target.distribution.name} server" in shown["ExecStart"]

    def test_properties_come_in_systemds_order(self, target: HostTarget) -> None:
        out = target.run(
            f"systemctl show {target.distribution.unit} -p SubState,ActiveState,LoadState --value"
        ).out
        assert out == "loaded\nactive\nrunning\n"

    def test_empty_properties_are_shown_only_when_asked_for(self, target: HostTarget) -> None:
        assert "UnitFileState" not in target.show("nope")
        assert target.run("systemctl show nope -p UnitFileState").out == "UnitFileState=\n"
        assert target.run("systemctl show nope -p NoSuchProperty").out == ""

    def test_several_units_are_parted_by_an_empty_line(self, target: HostTarget) -> None:
        out = target.run(f"systemctl show -p LoadState {target.distribution.unit} nope").out
        assert out == "LoadState=loaded\n\nLoadState=not-found\n"

    def test_a_restart_returns_when_the_server_is_ready(self, target: HostTarget) -> None:
        before = target.show()
        result = target.root(f"systemctl restart {target.distribution.unit}")
        assert (result.status, result.out, result.err) == (0, "", "")
        after = target.show()
        key = "ActiveEnterTimestampMonotonic"
        assert int(after[key]) > int(before[key])
        assert (after["SubState"], after["NRestarts"]) == ("running", "0")
        assert after["InvocationID"] != before["InvocationID"]
        assert after["MainPID"] != before["MainPID"]

    def test_a_restart_can_be_ordered_without_waiting(self, target: HostTarget) -> None:
        before = target.show()["InvocationID"]
        assert target.root(f"systemctl restart --no-block {target.distribution.unit}").status == 0
        target.wait(lambda: target.show()["InvocationID"] != before, "the restart")

    def test_a_broken_file_fails_the_restart_and_loops(self, target: HostTarget) -> None:
        target.root(f"cat > {target.distribution.registries}", BROKEN)
        result = target.root(f"systemctl restart {target.distribution.unit}")
        assert result.status == 1
        unit = f"{target.distribution.unit}.service"
        words = f"Job for {unit} failed because the control process exited with error code.\n"
        assert result.err.startswith(words)
        assert f'See "systemctl status {unit}"' in result.err
        active = target.run(f"systemctl is-active {target.distribution.unit}")
        assert (active.status, active.out) == (3, "activating\n")
        target.wait(lambda: int(target.show()["NRestarts"]) >= 2, "two restarts")
        resting = target.wait(lambda: _resting(target), "a pause between two starts")
        assert resting["Result"] == "exit-code"
        assert (resting["ActiveState"], resting["ExecMainStatus"]) == ("activating", "1")
        journal = target.root(
            f"journalctl -u {target.distribution.unit} -n 50 --no-pager -o cat"
        ).out
        assert "mapping values are not allowed in this context" in journal
        # On a slow machine it has gone round more often, and the first rounds are further up.
        counts = re.findall(r"Scheduled restart job, restart counter is at (\d+)\.", journal)
        assert int(counts[-1]) >= 2

    def test_a_repaired_file_ends_the_loop_by_itself(self, target: HostTarget) -> None:
        target.root(f"cat > {target.distribution.registries}", BROKEN)
        target.root(f"systemctl restart {target.distribution.unit}")
        target.root(f"rm {target.distribution.registries}")
        target.wait(lambda: target.show()["SubState"] == "running", "K3s to come up")
        assert int(target.show()["NRestarts"]) >= 1

    def test_a_restart_by_hand_ends_the_count(self, target: HostTarget) -> None:
        target.root(f"cat > {target.distribution.registries}", BROKEN)
        target.root(f"systemctl restart {target.distribution.unit}")
        target.wait(lambda: int(target.show()["NRestarts"]) >= 1, "a restart")
        target.root(
            f"rm {target.distribution.registries}; systemctl restart {target.distribution.unit}"
        )
        assert target.show()["NRestarts"] == "0"

    def test_a_stopped_service_is_inactive(self, target: HostTarget) -> None:
        assert target.root(f"systemctl stop {target.distribution.unit}").status == 0
        shown = target.show()
        assert (shown["ActiveState"], shown["SubState"], shown["MainPID"]) == (
            "inactive",
            "dead",
            "0",
        )
        active = target.run(f"systemctl is-active {target.distribution.unit}")
        assert (active.status, active.out) == (3, "inactive\n")
        assert target.root(f"{target.distribution.crictl} version").status == 1

    def test_a_unit_that_is_not_there_is_told(self, target: HostTarget) -> None:
        shown = target.show("nope", "-p LoadState,ActiveState,UnitFileState")
        assert (shown["LoadState"], shown["ActiveState"], shown["UnitFileState"]) == (
            "not-found",
            "inactive",
            "",
        )
        restart = target.root("systemctl restart nope")
        words = "Failed to restart nope.service: Unit nope.service not found.\n"
        assert (restart.status, restart.err) == (5, words)
        stop = target.root("systemctl stop nope")
        words = "Failed to stop nope.service: Unit nope.service not loaded.\n"
        assert (stop.status, stop.err) == (5, words)
        assert target.run("systemctl is-active nope").out == "inactive\n"
        assert target.run("systemctl is-active --quiet nope").status in (3, 4)  # 4: systemd 254
        assert target.run("systemctl status nope").status == 4
        assert target.run("systemctl is-enabled nope").status == 1

    def test_only_root_restarts_a_service(self, target: HostTarget) -> None:
        before = target.show()["InvocationID"]
        assert target.run(f"systemctl restart {target.distribution.unit}").status == 1
        assert target.show()["InvocationID"] == before

    def test_the_journal_is_read_by_unit_number_and_moment(self, target: HostTarget) -> None:
        time.sleep(1)
        moment = target.run("date +%s").out.strip()
        nothing = target.root("journalctl -u nope --no-pager")
        assert (nothing.status, nothing.out) == (0, "-- No entries --\n")
        target.root(f"systemctl restart {target.distribution.unit}")
        lines = target.root(
            f"journalctl -u {target.distribution.unit} --since @{moment} -o cat --no-pager"
        ).out
        assert lines.splitlines()[0].startswith(f"Stopping {target.distribution.unit}.service - ")
        assert (
            target.root(
                f"journalctl -u {target.distribution.unit} -n 1 -o cat --no-pager"
            ).out.count("\n")
            == 1
        )

    def test_a_line_that_a_script_logs_is_found_by_its_tag(self, target: HostTarget) -> None:
        target.root("logger -t contract-tag one two; echo three | logger -t contract-tag")
        text = target.wait(
            lambda: _complete(target.root("journalctl -t contract-tag -o cat --no-pager").out),
            "the lines",
        )
        assert text.splitlines()[-2:] == ["one two", "three"]


class TimerContract:
    @pytest.fixture(autouse=True)
    def _clean(self, target: HostTarget) -> Iterator[None]:
        yield
        target.root("systemctl stop contract.timer contract.service; systemctl reset-failed")
        target.root("rm -f /root/fired")

    def test_a_timer_runs_its_command_and_leaves_nothing(self, target: HostTarget) -> None:
        result = target.root(_ARM.format(1, "echo fired; touch /root/fired"))
        assert (result.status, result.out) == (0, "")
        assert result.err == (
            "Running timer as unit: contract.timer\nWill run service as unit: contract.service\n"
        )
        timer, service = target.show("contract.timer"), target.show("contract.service")
        assert timer.items() >= {"ActiveState": "active", "SubState": "waiting"}.items()
        assert timer.items() >= {"LoadState": "loaded", "Transient": "yes"}.items()
        assert service.items() >= {"LoadState": "loaded", "ActiveState": "inactive"}.items()
        target.wait(lambda: target.root("test -e /root/fired").status == 0, "the timer")
        for unit in ("contract.timer", "contract.service"):
            gone = lambda unit=unit: target.show(unit)["LoadState"] == "not-found"  # noqa: E731
            target.wait(gone, f"{unit} to be gone")
        lines = target.root("journalctl -u contract -o cat --no-pager").out.splitlines()
        assert "fired" in lines
        assert "contract.service: Deactivated successfully." in lines

    def test_a_stopped_timer_is_gone_and_never_goes_off(self, target: HostTarget) -> None:
        target.root(_ARM.format(1, "touch /root/fired"))
        stop = target.root("systemctl stop contract.timer")
        assert (stop.status, stop.out, stop.err) == (0, "", "")
        assert target.show("contract.timer")["LoadState"] == "not-found"
        assert target.show("contract.service")["LoadState"] == "not-found"
        time.sleep(1.5)
        assert target.root("test -e /root/fired").status == 1
        assert target.root("systemctl stop contract.timer").status == 5

    def test_a_timers_service_can_be_started_at_once(self, target: HostTarget) -> None:
        target.root(_ARM.format(3600, "touch /root/fired"))
        assert target.root("systemctl start contract.service").status == 0
        target.wait(lambda: target.root("test -e /root/fired").status == 0, "the command")

    def test_a_timers_service_that_fails_stays_until_it_is_reset(self, target: HostTarget) -> None:
        target.root(_ARM.format("100ms", "exit 7"))
        failed = lambda: target.show("contract.service")["ActiveState"] == "failed"  # noqa: E731
        target.wait(failed, "the failure")
        shown = target.show("contract.service")
        assert (shown["Result"], shown["ExecMainStatus"]) == ("exit-code", "7")
        again = target.root(_ARM.format(1, "true"))
        assert again.status == 1
        assert "was already loaded" in again.err
        assert target.root("systemctl reset-failed contract.service").status == 0
        assert target.show("contract.service")["LoadState"] == "not-found"

    def test_a_name_is_taken_while_its_timer_waits(self, target: HostTarget) -> None:
        target.root(_ARM.format(3600, "true"))
        again = target.root(_ARM.format(3600, "true"))
        assert again.status == 1
        assert again.err.startswith("Failed to start transient timer unit: Unit contract.timer ")

    def test_only_root_makes_timers(self, target: HostTarget) -> None:
        assert target.run(_ARM.format(1, "true")).status == 1

    def test_waiting_timers_are_found_by_a_pattern(self, target: HostTarget) -> None:
        command = "systemctl list-units --all --plain --no-legend 'contr*.timer'"
        assert target.run(command).out == ""
        target.root(_ARM.format(3600, "true"))
        listed = target.run(command).out.split()
        assert listed[:4] == ["contract.timer", "loaded", "active", "waiting"]

    def test_what_the_command_logs_belongs_to_its_unit(self, target: HostTarget) -> None:
        # journald asks the kernel for the unit of who wrote: whoever has ended by then has none.
        target.root(_ARM.format("100ms", "(echo healed; sleep 1) | logger -t contract-log"))
        read = "journalctl -u contract -t contract-log -o cat --no-pager"
        target.wait(lambda: "healed\n" in target.root(read).out, "the line")

    def test_a_command_may_restart_k3s(self, target: HostTarget) -> None:
        before = target.show()["InvocationID"]
        target.root(_ARM.format("100ms", f"systemctl restart {target.distribution.unit}"))
        target.wait(lambda: target.show()["InvocationID"] != before, "the restart")
        target.wait_until_running()

    def test_a_wanted_timer_is_first_known_at_a_boot_and_counts_from_there(
        self, target: HostTarget
    ) -> None:
        for unit, text in (
            ("boot.timer", "[Timer]\nOnActiveSec=2\nAccuracySec=1s\nRemainAfterElapse=no\n"),
            ("boot.service", "[Service]\nExecStart=/bin/sh -c 'touch /root/fired'\n"),
        ):
            target.root(f"cat > {_UNITS}/{unit}", text.encode())
        wants = f"{_UNITS}/timers.target.wants"
        target.root(f"mkdir -p {wants}; ln -s ../boot.timer {wants}/boot.timer; sync")
        target.root(_ARM.format(3600, "true"))
        assert target.show("boot.timer")["ActiveState"] == "inactive"
        target.reboot()
        assert target.show("contract.timer")["LoadState"] == "not-found"
        shown = target.show("boot.timer", "-p ActiveState,FragmentPath")
        assert shown == {"ActiveState": "active", "FragmentPath": f"{_UNITS}/boot.timer"}
        target.wait(lambda: target.root("test -e /root/fired").status == 0, "the timer")
        target.root(f"rm {wants}/boot.timer; systemctl daemon-reload; rm {_UNITS}/boot.*")
        gone = lambda: "boot" not in target.run("systemctl list-units --all 'boot.*'").out  # noqa: E731
        target.wait(gone, "the timer to be gone")
        target.wait_until_running()


def _resting(target: HostTarget) -> dict[str, str] | None:
    shown = target.show()
    return shown if shown["SubState"] == "auto-restart" else None


def _complete(text: str) -> str | None:
    return text if "three" in text else None
