"""What happens to a change that nobody confirms, in both kinds of dead-man."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.host_errors import (
    ConnectionLostError,
    DeadManFiredError,
    HostFileRefusedError,
    UnfinishedChangeError,
)
from lab.loops import LoopThread
from tests.clients.node_bench import FILE, HOSTS, STATE, Bench, wait_until

pytestmark = pytest.mark.lab

THEIRS, OURS = "theirs: {}\n", "ours: {}\n"


@pytest.fixture(params=["systemd-run", "process"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(tmp_path, LoopThread("lab"))
    bench.loop.call(setattr, bench.lab, "systemd_run", request.param == "systemd-run")
    try:
        yield bench
    finally:
        bench.close()


def shim(bench: Bench, program: str, when: str, then: str) -> None:
    """Put a program in front of the host's own that does something else for some arguments."""
    real = f"/usr/bin/{program}"
    text = f'#!/bin/sh\ncase "$*" in {when}) {then} ;; esac\nexec {real} "$@"\n'
    bench.put(text, f"/usr/local/bin/{program}")
    bench.path(f"/usr/local/bin/{program}").chmod(0o755)


def test_a_change_that_nobody_confirms_is_undone_by_the_host_alone(bench: Bench) -> None:
    bench.put(THEIRS)
    bench.path().chmod(0o640)
    was = bench.path().stat()
    before = bench.node.read_service("k3s")
    bench.apply(bench.change(OURS), bench.change("new\n", HOSTS), restart=True, seconds=2)
    assert (bench.text(), bench.text(HOSTS)) == (OURS, "new\n")
    bench.node.host.close()
    assert wait_until(lambda: bench.text() == THEIRS)
    assert wait_until(lambda: bench.restarts() == 2)
    assert wait_until(lambda: bench.leftovers() == [])
    assert not bench.path(HOSTS).exists()
    assert not bench.path(HOSTS).parent.exists()
    now = bench.path().stat()
    assert (now.st_mode, now.st_mtime) == (was.st_mode, was.st_mtime)
    assert bench.backups() == []
    assert wait_until(lambda: bench.node.read_service("k3s").entered > before.entered)
    assert "nobody confirmed the change within 2 s; going back" in bench.journal()
    assert f"{FILE} back" in bench.journal()


@pytest.mark.slow
def test_a_host_that_reboots_before_the_proof_heals_itself(bench: Bench) -> None:
    bench.put(THEIRS)
    applied = bench.apply(bench.change(OURS), bench.change("new\n", HOSTS), restart=True, seconds=3)
    bench.loop.call(bench.lab.reboot)
    bench.node.host.close()
    assert bench.text() == OURS, "it boots with the new files"
    assert bench.sleepers() == []
    show = f"systemctl show -p ActiveState,FragmentPath acrfleet-deadman-{applied.deadman}.timer"
    assert bench.node.host.run(show).stdout.decode().splitlines() == [
        "ActiveState=active",
        f"FragmentPath=/etc/systemd/system/acrfleet-deadman-{applied.deadman}.timer",
    ]
    assert wait_until(lambda: bench.leftovers() == [])
    assert bench.text() == THEIRS
    assert not bench.path(HOSTS).exists()
    assert bench.restarts() == 2
    assert "nobody confirmed the change within 3 s; going back" in bench.journal()


def test_a_change_that_is_confirmed_after_a_reboot_stays(bench: Bench) -> None:
    bench.put(THEIRS)
    applied = bench.apply(bench.change(OURS), restart=True, seconds=30)
    bench.loop.call(bench.lab.reboot)
    bench.node.host.close()
    bench.node.confirm(applied)
    assert bench.leftovers() == []
    assert bench.text() == OURS


def test_a_host_whose_units_cannot_be_written_is_changed_all_the_same(bench: Bench) -> None:
    bench.put(THEIRS)
    wants = bench.path("/etc/systemd/system/timers.target.wants")
    wants.write_text("a file where the folder should be")
    bench.apply(bench.change(OURS), seconds=1)
    assert "a reboot would end the dead-man" in bench.journal()
    assert wait_until(lambda: bench.leftovers() == [])
    assert bench.text() == THEIRS


def test_a_service_that_was_not_to_restart_is_not_restarted_by_the_dead_man(bench: Bench) -> None:
    bench.put(THEIRS)
    bench.apply(bench.change(OURS), seconds=1)
    assert wait_until(lambda: bench.text() == THEIRS and bench.leftovers() == [])
    assert bench.restarts() == 0


def test_a_service_that_read_the_file_by_itself_is_restarted_by_the_dead_man(bench: Bench) -> None:
    bench.put(THEIRS)
    applied = bench.apply(bench.change(OURS), seconds=3)
    bench.node.restart("k3s", applied.before.entered)
    assert wait_until(lambda: bench.restarts() == 2)
    assert bench.text() == THEIRS


def test_a_service_that_is_down_is_started_by_the_dead_man(bench: Bench) -> None:
    bench.put(THEIRS)
    bench.apply(bench.change(OURS), seconds=3)
    bench.node.host.run("sudo systemctl stop k3s")
    assert wait_until(lambda: bench.node.read_service("k3s").is_running)
    assert bench.text() == THEIRS


def test_a_confirmed_change_stays_and_leaves_nothing(bench: Bench) -> None:
    bench.put(THEIRS)
    applied = bench.apply(bench.change(OURS), seconds=2)
    assert bench.leftovers() != []
    bench.node.confirm(applied)
    assert bench.leftovers() == []
    bench.node.confirm(applied)
    assert not wait_until(lambda: bench.text() != OURS, seconds=2.5)
    assert [path.read_text() for path in bench.backups()] == [THEIRS]
    assert "confirmed: the change was proven" in bench.journal()


def test_a_confirmation_that_comes_too_late_is_told_so(bench: Bench) -> None:
    bench.put(THEIRS)
    applied = bench.apply(bench.change(OURS), seconds=1)
    assert wait_until(lambda: bench.leftovers() == [])
    with pytest.raises(DeadManFiredError, match="went back to its old files by itself"):
        bench.node.confirm(applied)


def test_going_back_at_once_is_what_the_dead_man_does(bench: Bench) -> None:
    bench.put(THEIRS)
    applied = bench.apply(bench.change(OURS), bench.change("new\n", HOSTS), restart=True)
    restored = bench.node.restore(applied.deadman)
    assert (restored.restarted, restored.gone) == (True, False)
    assert any(note.endswith(f"{FILE} back") for note in restored.notes)
    assert bench.text() == THEIRS
    assert bench.text(HOSTS) is None
    assert bench.leftovers() == []
    assert bench.node.restore(applied.deadman).gone


def test_a_file_that_somebody_else_wrote_since_stays_theirs(bench: Bench) -> None:
    bench.put(THEIRS)
    applied = bench.apply(bench.change(OURS), bench.change("new\n", HOSTS))
    bench.put("edited: {}\n")
    restored = bench.node.restore(applied.deadman)
    assert any(f"{FILE} was changed by somebody else since" in one for one in restored.notes)
    assert bench.text() == "edited: {}\n"
    assert bench.text(HOSTS) is None
    assert bench.leftovers() == []


def test_a_removed_file_comes_back(bench: Bench) -> None:
    bench.put(THEIRS)
    bench.apply(bench.change(None), seconds=1)
    assert wait_until(lambda: bench.text() == THEIRS and bench.leftovers() == [])


def test_a_script_that_dies_between_two_files_leaves_neither(bench: Bench) -> None:
    bench.put(THEIRS)
    shim(bench, "mv", f"*{HOSTS}", "kill -9 $PPID")
    with pytest.raises((ConnectionLostError, UnfinishedChangeError)):
        bench.apply(bench.change(OURS), bench.change("new\n", HOSTS), restart=True, seconds=2)
    assert bench.text() == OURS
    assert wait_until(lambda: bench.text() == THEIRS and bench.leftovers() == [])
    assert bench.text(HOSTS) is None
    assert bench.restarts() == 0


def test_a_script_that_dies_before_the_first_file_leaves_nothing(bench: Bench) -> None:
    bench.put(THEIRS)
    shim(bench, "base64", "*-d*", "kill -9 $PPID")
    with pytest.raises((ConnectionLostError, UnfinishedChangeError)):
        bench.apply(bench.change(OURS), seconds=2)
    assert bench.text() == THEIRS
    assert wait_until(lambda: bench.leftovers() == [])


def test_a_file_that_cannot_be_replaced_takes_the_others_back(bench: Bench) -> None:
    bench.put(THEIRS)
    shim(bench, "mv", f"*{HOSTS}", "echo no space left >&2; exit 1")
    with pytest.raises(HostFileRefusedError, match=r"no space left[\s\S]*nothing was changed"):
        bench.apply(bench.change(OURS), bench.change("new\n", HOSTS), restart=True)
    assert bench.text() == THEIRS
    assert bench.text(HOSTS) is None
    assert bench.restarts() == 0
    assert bench.backups() == []
    assert bench.leftovers() == []


def test_the_same_change_asked_for_twice_is_done_once(bench: Bench) -> None:
    bench.put(THEIRS)
    change = bench.change(OURS)
    first = bench.apply(change, restart=True, deadman="abc123")
    again = bench.apply(change, restart=True, deadman="abc123")
    assert wait_until(lambda: bench.node.read_service("k3s").entered != first.before.entered)
    last = bench.apply(change, restart=True, deadman="abc123")
    assert first == again == last
    assert bench.restarts() == 1
    assert len(bench.backups()) == 1


def test_a_lost_answer_is_asked_for_again(bench: Bench) -> None:
    bench.put(THEIRS)
    change = bench.change(OURS)
    fault = {"part": "hosts", "kind": "no-status", "match": "exec *", "times": 1}
    bench.faults.add(**fault)
    with pytest.raises(ConnectionLostError):
        bench.apply(change, restart=True, deadman="abc123")
    bench.apply(change, restart=True, deadman="abc123")
    assert bench.restarts() == 1


def test_two_changes_are_never_unproven_at_once(bench: Bench) -> None:
    bench.put(THEIRS)
    first = bench.apply(bench.change(OURS))
    with pytest.raises(UnfinishedChangeError, match=first.deadman):
        bench.apply(bench.change("third: {}\n"))
    assert bench.text() == OURS
    bench.node.restore(first.deadman)
    bench.node.confirm(bench.apply(bench.change("third: {}\n")))
    assert bench.text() == "third: {}\n"


def test_after_a_reboot_the_next_run_sees_what_is_unproven_and_undoes_it(bench: Bench) -> None:
    bench.put(THEIRS)
    applied = bench.apply(bench.change(OURS), restart=True)
    bench.loop.call(bench.lab.reboot)
    left = bench.node.read_facts().deadmen
    assert [one.id for one in left] == [applied.deadman]
    assert left[0].armed_by in ("systemd-run", "process")
    assert bench.node.restore(applied.deadman).restarted
    assert bench.text() == THEIRS
    assert bench.leftovers() == []


def test_a_host_without_room_for_the_old_files_is_not_written(bench: Bench) -> None:
    bench.put(THEIRS)
    bench.put("in the way", STATE)
    with pytest.raises(HostFileRefusedError, match=r"cannot make .*nothing was changed"):
        bench.apply(bench.change(OURS))
    bench.path(STATE).unlink()
    assert bench.text() == THEIRS
    assert bench.leftovers() == []


def test_what_could_not_be_undone_is_kept_for_a_person(bench: Bench) -> None:
    bench.put(THEIRS)
    applied = bench.apply(bench.change(OURS))
    shim(bench, "mv", f"*{FILE}", "echo read-only >&2; exit 1")
    with pytest.raises(HostFileRefusedError, match="could not all be put back"):
        bench.node.restore(applied.deadman)
    assert bench.path(f"{STATE}/deadman-{applied.deadman}/1.old").read_text() == THEIRS
    bench.path("/usr/local/bin/mv").unlink()
    bench.node.restore(applied.deadman)
    assert bench.text() == THEIRS
    assert bench.leftovers() == []
