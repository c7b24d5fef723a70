"""Files on a node: replaced all or none, owner and mode kept, and never over somebody else's."""

import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients import change_scripts, dead_man_scripts, host_facts_script, host_scripts
from clients.node_answers import Applied
from fleet.errors import FleetError
from fleet.host_errors import HostFileChangedError, HostFileRefusedError
from fleet.host_files import FileChange
from lab.loops import LoopThread
from tests.clients.node_bench import FILE, HOSTS, Bench, is_root

pytestmark = pytest.mark.lab

BUSYBOX = shutil.which("busybox")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, LoopThread("lab"))
    try:
        yield bench
    finally:
        bench.close()


def test_new_files_are_for_root_alone_and_come_with_their_folders(bench: Bench) -> None:
    applied = bench.apply(bench.change("mirrors: {}\n"), bench.change("new\n", HOSTS))
    bench.node.confirm(applied)
    assert applied.backups == ()
    assert applied.before.is_running
    assert (bench.text(), bench.text(HOSTS)) == ("mirrors: {}\n", "new\n")
    for path in (FILE, HOSTS):
        assert bench.path(path).stat().st_mode & 0o777 == 0o600
    assert bench.leftovers() == []


def test_owner_and_mode_of_a_file_stay_and_a_private_backup_is_made(bench: Bench) -> None:
    bench.put("mirrors: {}\n")
    bench.path().chmod(0o640)
    if is_root():
        os.chown(bench.path(), 1000, 1000)
    before = bench.path().stat()
    applied = bench.apply(bench.change("configs: {}\n"))
    bench.node.confirm(applied)
    after = bench.path().stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert after.st_ino != before.st_ino
    assert [Path(path).name for path in applied.backups] == [bench.backups()[0].name]
    assert bench.backups()[0].read_text() == "mirrors: {}\n"
    assert bench.backups()[0].stat().st_mode & 0o777 == 0o600


def test_the_newest_five_backups_are_kept(bench: Bench) -> None:
    bench.put("a: 0\n")
    for day in range(1, 9):
        bench.put(f"{day}", f"{FILE}.acrfleet.2025110{day}T000000Z")
    bench.node.confirm(bench.apply(bench.change("a: 1\n")))
    assert [path.read_text() for path in bench.backups()] == ["5", "6", "7", "8", "a: 0\n"]
    newest = bench.node.read_file(FILE).newest_backup
    assert newest is not None
    assert bench.node.read_file(newest).content == "a: 0\n"


@pytest.mark.parametrize("theirs", ["theirs: {}\n", None])
def test_one_file_that_somebody_else_changed_leaves_them_all_alone(
    bench: Bench, theirs: str | None
) -> None:
    bench.put("as it was planned\n", HOSTS)
    changes = [bench.change("ours: {}\n"), bench.change("ours\n", HOSTS)]
    if theirs:
        bench.put(theirs, HOSTS)
    else:
        bench.path(HOSTS).unlink()
    with pytest.raises(HostFileChangedError, match="changed by somebody else"):
        bench.apply(*changes)
    assert (bench.text(), bench.text(HOSTS)) == (None, theirs)
    assert bench.leftovers() == []


def test_a_symbolic_link_is_refused(bench: Bench) -> None:
    bench.put("theirs: {}\n", "/etc/managed.yaml")
    change = bench.change("ours: {}\n")
    bench.path().symlink_to("../../managed.yaml")
    with pytest.raises(HostFileRefusedError, match=r"symbolic link to \.\./\.\./managed\.yaml"):
        bench.apply(change)
    assert bench.text("/etc/managed.yaml") == "theirs: {}\n"


def test_a_path_that_is_not_absolute_is_refused(bench: Bench) -> None:
    with pytest.raises(HostFileRefusedError, match=r"certs\.d/x/hosts\.toml is not an absolute"):
        bench.apply(bench.change("new\n"), bench.change("x\n", "certs.d/x/hosts.toml"))
    assert bench.leftovers() == []


def test_an_empty_file_is_content_too(bench: Bench) -> None:
    bench.node.confirm(bench.apply(bench.change("a: 1\n"), bench.change("", HOSTS)))
    assert (bench.text(), bench.text(HOSTS)) == ("a: 1\n", "")


def test_a_controller_that_vanishes_while_it_sends_keeps_nobody_waiting(bench: Bench) -> None:
    change = bench.change("mirrors: {}\n")
    lost = bench.log_in()
    words = ("gone", "600", "k3s", "no", FILE, "absent", change.wanted_sha256, "600", "yes")
    command = shlex.join(["sudo", "-n", "/bin/sh", "-c", change_scripts.APPLY, "sh", *words])
    lost.host.run("true")
    channel = lost.host._live().open_session()
    channel.exec_command(command)
    assert channel.recv(100).startswith(b"acrfleet:started")
    time.sleep(1)
    began = time.monotonic()
    bench.node.confirm(bench.apply(change))
    assert time.monotonic() - began < 10
    channel.close()
    lost.host.close()


def test_a_folder_in_its_place_is_refused(bench: Bench) -> None:
    change = bench.change("ours: {}\n")
    bench.path().mkdir()
    with pytest.raises(HostFileRefusedError, match="not a regular file"):
        bench.apply(change)
    assert bench.leftovers() == []


def test_a_place_that_cannot_be_written_is_told_in_the_hosts_words(bench: Bench) -> None:
    bench.put("theirs: {}\n")
    there = bench.change("ours\n", "/proc/acrfleet/hosts.toml")
    with pytest.raises(HostFileRefusedError, match=r"/proc[\s\S]*nothing was changed"):
        bench.apply(bench.change("ours: {}\n"), there)
    assert bench.text() == "theirs: {}\n"
    assert bench.leftovers() == []


def test_content_that_arrives_cut_off_changes_nothing(bench: Bench) -> None:
    bench.put("theirs: {}\n")
    change = bench.change("all of it\n")
    arguments = ("abc", "600", "k3s", "no", FILE, change.before.sha256, change.wanted_sha256)
    script = change_scripts.APPLY
    result = bench.node._run(script, *arguments, "600", "yes", stdin=b"YWxsIG9m")
    assert result.status == dead_man_scripts.FAILED
    assert "did not arrive whole" in result.words
    assert bench.text() == "theirs: {}\n"
    assert bench.backups() == []
    assert bench.leftovers() == []


def test_what_an_earlier_run_left_half_written_is_cleaned_up(bench: Bench) -> None:
    bench.put("half", f"{FILE}.acrfleet-new.abc123")
    bench.node.confirm(bench.apply(bench.change("mirrors: {}\n")))
    assert bench.leftovers() == []


def test_two_writers_do_not_both_win(bench: Bench) -> None:
    bench.put("a: 0\n")
    seen = bench.change("a: 1\n")
    applied, errors = list[Applied](), list[FleetError]()

    def write(change: FileChange) -> None:
        try:
            applied.append(bench.apply(change))
        except FleetError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(seen,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(applied), len(errors)) == (1, 2)
    assert len(bench.backups()) == 1
    bench.node.confirm(applied[0])
    assert bench.text() == "a: 1\n"


def test_removing_keeps_a_backup(bench: Bench) -> None:
    bench.put("mirrors: {}\n")
    applied = bench.apply(bench.change(None))
    bench.node.confirm(applied)
    assert not bench.path().exists()
    assert bench.backups()[0].read_text() == "mirrors: {}\n"


def test_the_text_of_a_file_is_in_no_command(bench: Bench) -> None:
    bench.node.confirm(bench.apply(bench.change("password: hunter2\n")))
    assert "hunter2" not in " ".join(bench.lab.commands)
    assert "hunter2" not in repr(bench.audit.read())


@pytest.mark.slow
@pytest.mark.skipif(BUSYBOX is None, reason="busybox is not installed")
@pytest.mark.parametrize("systemd_run", [True, False])
def test_the_scripts_run_with_busybox_too(bench: Bench, systemd_run: bool) -> None:
    bench.loop.call(setattr, bench.lab, "systemd_run", systemd_run)
    listed = subprocess.run([str(BUSYBOX), "--list"], capture_output=True, text=True, check=True)
    tools = bench.path("/usr/local/bin")
    for name in set(listed.stdout.split()) - {path.name for path in tools.iterdir()}:
        (tools / name).symlink_to(str(BUSYBOX))
    shell = bench.node.host.run(shlex.join(["/usr/local/bin/sh", "-c", "readlink /proc/$$/exe"]))
    assert b"busybox" in shell.stdout
    bench.put("a: 1\n")
    bench.path().chmod(0o640)
    applied = bench.apply(bench.change("a: 2\n"), bench.change("new\n", HOSTS), restart=True)
    assert bench.path().stat().st_mode & 0o777 == 0o640
    assert bench.node.read_facts().deadmen[0].id == applied.deadman
    assert bench.node.restore(applied.deadman).restarted
    assert (bench.text(), bench.text(HOSTS)) == ("a: 1\n", None)
    bench.node.confirm(bench.apply(bench.change(None)))
    assert bench.node.read_file(FILE).newest_backup is not None
    assert bench.leftovers() == []


@pytest.mark.skipif(BUSYBOX is None, reason="busybox is not installed")
def test_the_shell_of_busybox_reads_every_script() -> None:
    scripts = [
        change_scripts.APPLY,
        dead_man_scripts.CONFIRM,
        dead_man_scripts.RESTORE,
        change_scripts.RESTART,
        host_facts_script.READ_FACTS,
        host_scripts.PULL_IMAGES,
        host_scripts.READ_KUBECONFIG,
    ]
    for script in scripts:
        read = subprocess.run(
            [str(BUSYBOX), "sh", "-n"], input=script, capture_output=True, text=True, check=False
        )
        assert (read.returncode, read.stderr) == (0, "")
