"""Commands on a lab host: a real shell, the host's own files, both modes."""

import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import paramiko
import pytest

from lab.hosts.machine import namespaces_work, translate
from tests.lab.host_bench import a_bench

pytestmark = [pytest.mark.lab]
MODES = ["namespace", "translate"]


@pytest.fixture
def bench(tmp_path):
    with a_bench(tmp_path) as bench:
        yield bench


@pytest.fixture(params=MODES)
def mode(request):
    if request.param == "namespace" and not namespaces_work():
        pytest.skip("this machine refuses namespaces")
    return request.param


@pytest.fixture
def namespaces():
    if not namespaces_work():
        pytest.skip("this machine refuses namespaces")


def test_a_command_has_output_errors_and_a_status(bench, mode):
    result = bench.login(bench.host(mode=mode)).run("echo out; echo err >&2; exit 7")
    assert (result.status, result.out, result.err) == (7, "out\n", "err\n")


def test_a_command_reads_a_megabyte_from_its_input_whole(bench, mode):
    content = os.urandom(1 << 20)
    result = bench.login(bench.host(mode=mode)).run("sha256sum", content)
    assert result.out.split()[0] == hashlib.sha256(content).hexdigest()


def test_a_command_writes_a_megabyte_of_output_whole(bench, mode):
    result = bench.login(bench.host(mode=mode)).run("head -c 1048576 /dev/zero | tr '\\0' x")
    assert result.out == "x" * 1048576


def test_a_command_that_reads_nothing_ends_while_input_still_comes(bench, mode):
    login = bench.login(bench.host(mode=mode))
    channel = login.client.get_transport().open_session()
    channel.exec_command("exit 3")
    assert channel.status_event.wait(10)
    assert channel.exit_status == 3


def test_the_hosts_own_files_are_what_commands_see(bench, mode):
    host = bench.host(mode=mode)
    (host.root / "etc/motd").write_text("hello\n")
    login = bench.login(host)
    assert login.run("cat /etc/motd").out == "hello\n"
    assert login.root("cat > /etc/rancher/k3s/note", b"text").status == 0
    assert (host.root / "etc/rancher/k3s/note").read_text() == "text"


def test_home_is_the_working_folder(bench, mode):
    host = bench.host(mode=mode)
    login = bench.login(host)
    assert login.run("echo x > here && cat ~/here").out == "x\n"
    assert (host.root / "home/edge/here").exists()


def test_sudo_keeps_the_input_and_resets_the_environment(bench, mode):
    login = bench.login(bench.host(mode=mode))
    result = login.run("SECRET=1 sudo -n sh -c 'cat; echo $USER ${SECRET-none}'", b"input ")
    assert result.out == "input root none\n"


def test_sudo_without_a_password_says_so_when_it_needs_one(bench, mode):
    host = bench.host(mode=mode)
    host.sudo = "password"
    result = bench.login(host).run("sudo -n true")
    assert (result.status, result.err) == (1, "sudo: a password is required\n")


def test_a_host_can_do_without_sudo(bench, mode):
    host = bench.host(mode=mode)
    host.sudo = "absent"
    result = bench.login(host).run("sudo -n true")
    assert result.status == 127
    assert "not found" in result.err


def test_sudo_passes_on_the_status_of_its_command(bench, mode):
    login = bench.login(bench.host(mode=mode))
    assert login.run("sudo -n sh -c 'exit 9'").status == 9
    result = login.run("sudo -n no-such-program")
    assert (result.status, result.err) == (1, "sudo: no-such-program: command not found\n")


def test_sudo_that_is_killed_takes_its_command_along(bench, mode):
    host = bench.host(mode=mode)
    login = bench.login(host)
    login.run("timeout 0.5 sudo -n sh -c 'sleep 2468; touch /root/done'")
    assert _becomes_true(lambda: not _sleeping("2468"))


def test_a_real_lock_keeps_two_commands_apart(bench, mode):
    host = bench.host(mode=mode)
    one, two = bench.login(host), bench.login(host)
    channel = one.client.get_transport().open_session()
    channel.exec_command("flock /tmp/lock sh -c 'touch /tmp/locked; sleep 1'")
    while two.run("test -e /tmp/locked").status:
        time.sleep(0.02)
    assert two.run("flock -n /tmp/lock true").status == 1
    assert channel.status_event.wait(10)
    assert two.run("flock -n /tmp/lock true").status == 0


@pytest.mark.usefixtures("namespaces")
def test_the_user_is_not_root_until_sudo(bench):
    login = bench.login(bench.host(mode="namespace"))
    assert login.run("id -u; id -un").out == "1000\nedge\n"
    assert login.run("sudo -n id -u").out == "0\n"


@pytest.mark.usefixtures("namespaces")
def test_what_belongs_to_root_is_closed_to_the_user(bench):
    host = bench.host(mode="namespace")
    bench.loop.call(host.write_kubeconfig, "secret")
    login = bench.login(host)
    assert "Permission denied" in login.run("cat /etc/rancher/k3s/k3s.yaml").err
    assert login.run("echo x > /etc/rancher/k3s/registries.yaml").status == 2
    assert login.run("ls /root").status == 2
    assert login.run("cat /etc/hostname; touch /tmp/x ~/x").out == "oslo-1\n"
    assert login.run("sudo -n cat /etc/rancher/k3s/k3s.yaml").out == "secret"
    assert login.root("touch /root/x; echo x > /etc/rancher/k3s/registries.yaml").status == 0


@pytest.mark.usefixtures("namespaces")
def test_the_machines_own_files_are_out_of_sight_and_read_only(bench):
    login = bench.login(bench.host(mode="namespace"))
    assert login.run(f"test -e {Path(__file__)}").status == 1
    assert "Read-only file system" in login.root("touch /usr/bin/mine").err
    assert login.run("hostname").out == "oslo-1\n"


@pytest.mark.usefixtures("namespaces")
def test_root_may_log_in_where_the_host_allows_it(bench):
    host = bench.host(mode="namespace")
    host.root_login = True
    assert bench.login(host, user="root").run("id -u; pwd").out == "0\n/root\n"


@pytest.mark.usefixtures("namespaces")
def test_hosts_see_their_own_files_only(bench):
    one, two = bench.host("one", mode="namespace"), bench.host("two", mode="namespace")
    bench.login(one).run("echo mine > /tmp/file")
    assert bench.login(two).run("cat /tmp/file").status == 1


def test_paths_in_a_command_are_translated_once(tmp_path):
    text = "cat /etc/a </var/b; D=/tmp; ls /usr/local/bin/x /usr/bin /etcetera ./etc x/etc"
    once = translate(text, tmp_path)
    expected = (
        f"cat {tmp_path}/etc/a <{tmp_path}/var/b; D={tmp_path}/tmp; ls {tmp_path}/usr/local/bin/x "
        "/usr/bin /etcetera ./etc x/etc"
    )
    assert once == expected
    assert translate(once, tmp_path) == once


def test_a_command_goes_on_when_the_connection_drops(bench, mode):
    host = bench.host(mode=mode)
    login = bench.login(host)
    channel = login.client.get_transport().open_session()
    channel.exec_command("sleep 0.5; touch ~/done")
    time.sleep(0.2)
    login.client.close()
    assert _becomes_true((host.root / "home/edge/done").exists)


def test_a_signal_from_the_client_ends_the_command(bench, mode):
    login = bench.login(bench.host(mode=mode))
    result = login.run("kill -TERM $$")
    assert result.status == -1


def test_switching_off_the_last_host_kills_its_commands(tmp_path):
    with a_bench(tmp_path) as bench:
        login = bench.login(bench.host())
        channel = login.client.get_transport().open_session()
        channel.exec_command("sleep 4321 & sleep 4322")
        assert _becomes_true(lambda: len(_sleeping("432")) == 2)
    assert _sleeping("432") == []


_KILLED_LAB = """
import asyncio, sys
from pathlib import Path
from lab.audit import AuditLog
from lab.clock import Clock
from lab.faults import Faults
from lab.hosts import HostLab

async def main():
    folder = Path(sys.argv[1])
    host = HostLab(AuditLog(folder / "audit"), Faults(), Clock(), site="oslo", name="oslo-1",
                   role="server", folder=folder / "host")
    await host.start()
    command = host.executor.login_command("setsid sleep 9876 & sudo -n sleep 9877", "edge")
    await host.executor.run(command, [0, 1, 2])
    print(host.shells.process_id, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_killed_lab_leaves_no_process_and_no_mount(tmp_path):
    before = Path("/proc/self/mounts").read_text()
    command = [sys.executable, "-c", _KILLED_LAB, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as lab:
        launcher = Path("/proc", lab.stdout.readline().decode().strip())
        assert _becomes_true(lambda: len(_sleeping("987")) == 2)
        assert launcher.exists()
        lab.send_signal(signal.SIGKILL)
    assert _becomes_true(lambda: not _sleeping("987"))
    assert _becomes_true(lambda: not launcher.exists())
    assert Path("/proc/self/mounts").read_text() == before


def test_many_commands_at_once_all_get_their_own_answers(bench, mode):
    login = bench.login(bench.host(mode=mode))
    channels = []
    for number in range(10):
        channel = login.client.get_transport().open_session()
        channel.exec_command(f"read -r x; echo {number} $x")
        channels.append(channel)
    for number, channel in enumerate(channels):
        channel.sendall(f"{number}\n".encode())
    answers = [channel.makefile("rb").read().decode() for channel in channels]
    assert answers == [f"{number} {number}\n" for number in range(10)]


def test_the_eleventh_session_on_a_connection_is_refused_until_one_ends(bench):
    transport = bench.login(bench.host()).client.get_transport()
    channels = [transport.open_session() for _ in range(10)]
    with pytest.raises(paramiko.ChannelException, match="Connect failed"):
        transport.open_session()
    channels[0].close()
    assert _becomes_true(lambda: opens_a_session(transport))


def opens_a_session(transport):
    try:
        transport.open_session()
    except paramiko.ChannelException:
        return False
    return True


@pytest.mark.usefixtures("namespaces")
def test_a_strict_umask_of_the_lab_does_not_close_the_host(bench):
    before = os.umask(0o077)
    try:
        host = bench.host(mode="namespace")
    finally:
        os.umask(before)
    assert bench.login(host).run("cat /etc/hostname; k3s --version").status == 0


def test_the_key_files_are_private(bench):
    host = bench.host()
    assert stat.S_IMODE(host.key_file.stat().st_mode) == 0o600


def _becomes_true(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def _processes():
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                lines.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return lines


def _sleeping(prefix):
    return [line for line in _processes() if line.startswith(f"sleep {prefix}")]
