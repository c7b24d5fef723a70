import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from clients import host_scripts
from clients.k3s_node import K3sNode
from clients.ssh_host import SshEndpoint, SshHost, SshLogin
from fleet.errors import (
    CommandFailedError,
    ConnectionLostError,
    HostFileChangedError,
    HostFileRefusedError,
    SudoRefusedError,
)
from fleet.node_facts import sha256_of
from lab.audit import AuditLog
from lab.clock import Clock
from lab.faults import Faults
from lab.hosts import HostLab
from lab.loops import LoopThread

FILE = "/etc/rancher/k3s/registries.yaml"
BUSYBOX = shutil.which("busybox")


class Bench:
    """A lab host and our way to it."""

    def __init__(self, folder: Path, loop: LoopThread) -> None:
        self.loop, self.faults, self.audit = loop, Faults(), AuditLog(folder / "audit.jsonl")
        self.lab = HostLab(
            self.audit,
            self.faults,
            Clock(0.2),
            site="oslo",
            name="oslo-1",
            role="server",
            folder=folder / "host",
        )
        loop.call(self.lab.start)
        endpoint = SshEndpoint("127.0.0.1", self.lab.port, self.lab.user, "oslo-1")
        login = SshLogin(key_file=self.lab.key_file, known_hosts=self.lab.known_hosts)
        self.node = K3sNode(SshHost(endpoint, login))

    def path(self, path: str = FILE) -> Path:
        return self.lab.root / path.lstrip("/")

    def put(self, text: str, path: str = FILE) -> str:
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)
        return sha256_of(text)

    def backups(self) -> list[Path]:
        return sorted(self.path().parent.glob("registries.yaml.acrfleet.*"))

    def leftovers(self) -> list[str]:
        known = {"registries.yaml", *(backup.name for backup in self.backups())}
        return [path.name for path in self.path().parent.iterdir() if path.name not in known]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    loop = LoopThread("lab")
    bench = Bench(tmp_path, loop)
    try:
        yield bench
    finally:
        bench.node.host.close()
        loop.call(bench.lab.stop)
        loop.close()


pytestmark = pytest.mark.lab


def test_facts_come_in_one_round_trip(bench: Bench) -> None:
    bench.put("mirrors: {}\n")
    commands = len(bench.lab.commands)
    facts = bench.node.read_facts()
    assert len(bench.lab.commands) == commands + 1
    assert facts.user == "root"
    assert facts.version == "v1.31.4+k3s1"
    assert facts.services["k3s"].is_running
    assert facts.services["k3s"].active_since is not None
    assert not facts.services["k3s-agent"].exists
    assert facts.registries.content == "mirrors: {}\n"
    assert abs(facts.now.timestamp() - time.time()) < 30


def test_a_path_that_k3s_is_told_of_is_looked_at_instead(bench: Bench) -> None:
    bench.put("private-registry: /etc/old.yaml\n", "/etc/rancher/k3s/config.yaml")
    drop_in = 'token: hunter2\n"private-registry": "/etc/edge/r.yaml" # moved\n'
    bench.put(drop_in, "/etc/rancher/k3s/config.yaml.d/10.yaml")
    bench.put("configs: {}\n", "/etc/edge/r.yaml")
    if bench.lab.mode == "namespace":
        facts = bench.node.read_facts()
        assert (facts.registries.path, facts.registries.content) == (
            "/etc/edge/r.yaml",
            "configs: {}\n",
        )


def test_a_new_file_is_for_root_alone(bench: Bench) -> None:
    assert bench.node.write_registries(FILE, "mirrors: {}\n", "absent") is None
    assert bench.path().read_text() == "mirrors: {}\n"
    assert bench.path().stat().st_mode & 0o777 == 0o600
    assert bench.backups() == []
    assert bench.leftovers() == []


def test_owner_and_mode_of_a_file_stay_and_a_private_backup_is_made(bench: Bench) -> None:
    seen = bench.put("mirrors: {}\n")
    bench.path().chmod(0o640)
    if os.getuid() == 0:
        os.chown(bench.path(), 1000, 1000)
    before = bench.path().stat()
    backup = bench.node.write_registries(FILE, "configs: {}\n", seen)
    after = bench.path().stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert after.st_ino != before.st_ino
    assert backup is not None
    assert [path.name for path in bench.backups()] == [Path(backup).name]
    assert bench.backups()[0].read_text() == "mirrors: {}\n"
    assert bench.backups()[0].stat().st_mode & 0o777 == 0o600


def test_the_newest_five_backups_are_kept(bench: Bench) -> None:
    seen = bench.put("a: 0\n")
    for day in range(1, 9):
        bench.put(f"{day}", f"{FILE}.acrfleet.2025110{day}T000000Z")
    bench.node.write_registries(FILE, "a: 1\n", seen)
    assert [path.read_text() for path in bench.backups()] == ["5", "6", "7", "8", "a: 0\n"]
    newest = bench.node.read_file(FILE).newest_backup
    assert newest is not None
    assert bench.node.read_file(newest).content == "a: 0\n"


def test_a_file_that_somebody_else_changed_is_left_alone(bench: Bench) -> None:
    bench.put("theirs: {}\n")
    for expected in (sha256_of("other"), "absent"):
        with pytest.raises(HostFileChangedError, match="changed by somebody else"):
            bench.node.write_registries(FILE, "ours: {}\n", expected)
    assert bench.path().read_text() == "theirs: {}\n"
    assert bench.backups() == []
    assert bench.leftovers() == []


def test_a_file_that_vanished_is_not_made_again(bench: Bench) -> None:
    with pytest.raises(HostFileChangedError):
        bench.node.write_registries(FILE, "ours: {}\n", sha256_of("theirs"))
    assert not bench.path().exists()


def test_a_symbolic_link_is_refused(bench: Bench) -> None:
    bench.put("theirs: {}\n", "/etc/managed.yaml")
    bench.path().symlink_to("../../managed.yaml")
    assert bench.node.read_file(FILE).kind == "link"
    with pytest.raises(HostFileRefusedError, match="symbolic link"):
        bench.node.write_registries(FILE, "ours: {}\n", sha256_of("theirs: {}\n"))
    assert bench.path("/etc/managed.yaml").read_text() == "theirs: {}\n"


def test_a_folder_in_its_place_is_refused(bench: Bench) -> None:
    bench.path().mkdir()
    assert bench.node.read_file(FILE).kind == "other"
    with pytest.raises(HostFileRefusedError, match="not a regular file"):
        bench.node.write_registries(FILE, "ours: {}\n", "absent")


def test_a_place_that_cannot_be_written_is_told_in_the_hosts_words(bench: Bench) -> None:
    with pytest.raises(HostFileRefusedError, match=r"nothing was changed: [\s\S]*/proc"):
        bench.node.write_registries("/proc/acrfleet/registries.yaml", "ours: {}\n", "absent")


def test_content_that_arrives_cut_off_changes_nothing(bench: Bench) -> None:
    seen = bench.put("theirs: {}\n")
    arguments = (FILE, seen, sha256_of("all of it"))
    with pytest.raises(HostFileRefusedError, match="did not arrive whole"):
        bench.node._write(host_scripts.WRITE_FILE, FILE, *arguments, stdin=b"all")
    assert bench.path().read_text() == "theirs: {}\n"
    assert bench.backups() == []
    assert bench.leftovers() == []


def test_what_an_earlier_run_left_half_written_is_cleaned_up(bench: Bench) -> None:
    bench.put("half", f"{FILE}.acrfleet-new.abc123")
    bench.node.write_registries(FILE, "mirrors: {}\n", "absent")
    assert bench.leftovers() == []


def test_two_writers_do_not_both_win(bench: Bench) -> None:
    seen, errors = bench.put("a: 0\n"), []

    def write(text: str) -> None:
        try:
            bench.node.write_registries(FILE, text, seen)
        except HostFileChangedError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(f"a: {n}\n",)) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 2
    assert len(bench.backups()) == 1


def test_removing_keeps_a_backup(bench: Bench) -> None:
    seen = bench.put("mirrors: {}\n")
    kept = bench.node.remove_registries(FILE, seen)
    assert kept is not None
    assert not bench.path().exists()
    assert bench.backups()[0].read_text() == "mirrors: {}\n"


def test_a_restart_is_seen_in_the_service(bench: Bench) -> None:
    before = bench.node.read_service("k3s")
    bench.node.restart("k3s")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        after = bench.node.read_service("k3s")
        if after.is_running and after.entered != before.entered:
            break
    assert after.is_running
    assert after.entered != before.entered
    assert "Starting k3s" in bench.node.read_journal("k3s")


def test_a_unit_that_is_not_there_is_an_error_in_the_hosts_words(bench: Bench) -> None:
    with pytest.raises(CommandFailedError, match="not found"):
        bench.node.restart("k3s-agent")


@pytest.mark.parametrize("rule", ["password", "absent"])
def test_a_refused_sudo_prints_the_sudoers_line(bench: Bench, rule: str) -> None:
    bench.loop.call(setattr, bench.lab, "sudo", rule)
    with pytest.raises(SudoRefusedError) as refused:
        bench.node.read_facts()
    assert "edge ALL=(root) NOPASSWD: /bin/sh" in str(refused.value)


def test_without_sudo_the_user_sees_what_a_user_sees(bench: Bench) -> None:
    bench.lab.write_kubeconfig("apiVersion: v1\n")
    assert bench.node.read_kubeconfig().get_secret_value() == "apiVersion: v1\n"
    plain = K3sNode(bench.node.host, sudo=False)
    if bench.lab.mode == "namespace":
        with pytest.raises(CommandFailedError, match="Permission denied"):
            plain.read_kubeconfig()


def test_a_command_without_a_status_is_a_lost_connection(bench: Bench) -> None:
    bench.faults.add(part="hosts", kind="no-status", match="exec *")
    with pytest.raises(ConnectionLostError):
        bench.node.read_file(FILE)


def test_noise_of_a_login_shell_is_skipped(bench: Bench) -> None:
    noisy = bench.node.host.run("echo welcome aboard; echo acrfleet:started; echo user=x")
    assert noisy.stdout.endswith(b"user=x\n")
    assert bench.node.read_facts().user == "root"


def test_the_password_of_a_pull_is_in_no_command_and_no_answer(bench: Bench) -> None:
    result = bench.node.pull_image("127.0.0.1:9/x:1", "token", SecretStr("hunter2"), timeout=30)
    assert not result.ok
    assert "refused" in result.words
    assert "hunter2" not in " ".join([*bench.lab.commands, result.words, repr(bench.audit.read())])


@pytest.mark.skipif(BUSYBOX is None, reason="busybox is not installed")
def test_the_scripts_run_with_busybox_too(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    listed = subprocess.run([str(BUSYBOX), "--list"], capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        (programs / name).symlink_to(str(BUSYBOX))
    file = tmp_path / "k3s" / "registries.yaml"

    def run(script: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [programs / "sh", "-c", script, "sh", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env={"PATH": str(programs)},
            timeout=30,
            check=False,
        )

    first, second = "a: 1\n", "a: 2\n"
    done = run(host_scripts.WRITE_FILE, str(file), "absent", sha256_of(first), stdin=first)
    assert (done.returncode, done.stderr) == (0, "")
    file.chmod(0o640)
    arguments = (str(file), sha256_of(first), sha256_of(second))
    done = run(host_scripts.WRITE_FILE, *arguments, stdin=second)
    assert (done.returncode, done.stderr) == (0, "")
    assert file.read_text() == second
    assert file.stat().st_mode & 0o777 == 0o640
    assert "file.kind=file" in run(host_scripts.READ_FILE, str(file)).stdout
    assert run(host_scripts.WRITE_FILE, *arguments).returncode == host_scripts.CHANGED
    assert run(host_scripts.REMOVE_FILE, str(file), sha256_of(second)).returncode == 0
    assert not file.exists()
    assert "version=" in run(host_scripts.READ_FACTS).stdout
