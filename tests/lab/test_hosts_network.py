"""A lab host on the network: forwarding, keys, links that are slow or break, on order."""

import os
import socket
import threading
import time

import paramiko
import pytest

from tests.lab.host_bench import Login, a_bench, echo_server
from tests.lab.image_registry import dialler

pytestmark = [pytest.mark.lab]
SERVICE = ("10.43.0.9", 443)


@pytest.fixture
def bench(tmp_path):
    with a_bench(tmp_path) as bench:
        yield bench


@pytest.fixture
def echo(bench):
    server = bench.loop.call(echo_server)
    yield server.sockets[0].getsockname()[1]
    bench.loop.call(server.close)


def exchange(channel, data):
    threading.Thread(target=lambda: (channel.sendall(data), channel.shutdown_write())).start()
    received = b""
    while part := channel.recv(65536):
        received += part
    return received


def test_a_forward_reaches_what_the_host_reaches(bench, echo):
    host = bench.host()
    host.dial = dialler({SERVICE: echo})
    channel = bench.login(host).forward(*SERVICE)
    data = b"0123456789" * 50_000
    assert exchange(channel, data) == data


def test_many_forwards_share_a_connection(bench, echo):
    host = bench.host()
    host.dial = dialler({SERVICE: echo})
    login = bench.login(host)
    channels = [login.forward(*SERVICE) for _ in range(20)]
    for number, channel in enumerate(channels):
        assert exchange(channel, str(number).encode()) == str(number).encode()


def test_an_address_that_nobody_serves_is_refused(bench):
    with pytest.raises(paramiko.ChannelException, match="Connect failed"):
        bench.login(bench.host()).forward("10.43.0.1", 443)


def test_forwarding_can_be_forbidden(bench, echo):
    host = bench.host()
    host.dial = dialler({SERVICE: echo})
    host.allow_forwarding = False
    login = bench.login(host)
    with pytest.raises(paramiko.ChannelException, match="Administratively prohibited"):
        login.forward(*SERVICE)
    assert login.run("echo still").out == "still\n"


def test_a_host_is_a_jump_host_for_another(bench):
    jump, inner = bench.host("jump", role="jump"), bench.host("inner")
    jump.dial = dialler({("10.0.0.5", 22): inner.port})
    inside = paramiko.SSHClient()
    inside.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    line = bench.login(jump).forward("10.0.0.5", 22)
    options = {"sock": line, "look_for_keys": False, "allow_agent": False}
    inside.connect("10.0.0.5", 22, "edge", key_filename=str(inner.key_file), **options)
    _, out, _ = inside.exec_command("cat /etc/hostname")
    assert out.read() == b"inner\n"
    inside.close()


def test_a_strangers_key_is_refused(bench, tmp_path):
    host = bench.host()
    other = bench.host("other")
    host.key_file = other.key_file
    with pytest.raises(paramiko.AuthenticationException):
        Login(host)


def test_root_and_strangers_stay_out(bench):
    host = bench.host()
    for user in ("root", "stranger"):
        with pytest.raises(paramiko.AuthenticationException):
            Login(host, user=user)


def test_a_changed_host_key_is_noticed_by_the_client(bench):
    host = bench.host()
    Login(host).client.close()
    host_lines = host.known_hosts
    bench.loop.call(host.renew_host_key)
    assert host.known_hosts != host_lines
    client = paramiko.SSHClient()
    entry = paramiko.hostkeys.HostKeyEntry.from_line(host_lines)
    client.get_host_keys().add(entry.hostnames[0], entry.key.get_name(), entry.key)
    with pytest.raises(paramiko.BadHostKeyException):
        client.connect("127.0.0.1", host.port, "edge", key_filename=str(host.key_file))
    client.close()


def test_an_offline_host_refuses_and_drops_and_comes_back(bench):
    host = bench.host()
    login = bench.login(host)
    bench.loop.call(host.set_offline, True)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", host.port), timeout=5)
    deadline = time.monotonic() + 5
    while login.client.get_transport().is_active() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not login.client.get_transport().is_active()
    bench.loop.call(host.set_offline, False)
    assert bench.login(host).run("echo back").out == "back\n"


def test_a_slow_link_delays_everything(bench):
    host = bench.host()
    host.rtt = 0.2
    login = bench.login(host)
    started = time.monotonic()
    assert login.run("head -c 200000 /dev/zero | wc -c").out == "200000\n"
    assert time.monotonic() - started >= 0.4


def test_a_silent_port_never_greets(bench):
    host = bench.host()
    bench.faults.add(part="hosts", kind="hang", match="connect", times=1)
    line = socket.create_connection(("127.0.0.1", host.port), timeout=0.5)
    with line, pytest.raises(TimeoutError):
        line.recv(1)
    assert bench.login(host).run("true").status == 0


def test_a_full_port_resets_the_connection(bench):
    host = bench.host()
    bench.faults.add(part="hosts", kind="refuse", match="connect", times=1)
    address = ("127.0.0.1", host.port)
    with pytest.raises(ConnectionResetError), socket.create_connection(address, timeout=5) as line:
        line.recv(1)
    assert bench.login(host).run("true").status == 0


def test_a_port_can_talk_nonsense(bench):
    host = bench.host()
    bench.faults.add(part="hosts", kind="junk", match="connect", times=1)
    with socket.create_connection(("127.0.0.1", host.port), timeout=5) as line:
        assert line.recv(14) == b"not a banner\r\n"
        assert line.recv(14) == b"not a banner\r\n"


def test_a_login_can_stall(bench):
    host = bench.host()
    bench.faults.add(part="hosts", kind="hang", match="auth", times=1)
    with pytest.raises(paramiko.AuthenticationException, match="timeout"):
        Login(host, auth_timeout=0.5)
    bench.login(host)


def test_a_login_can_be_refused(bench):
    host = bench.host()
    bench.faults.add(part="hosts", kind="refuse", match="auth", times=1)
    with pytest.raises(paramiko.AuthenticationException):
        Login(host)
    bench.login(host)


def test_a_connection_can_drop_before_a_command(bench):
    host = bench.host()
    bench.faults.add(part="hosts", kind="drop", match="exec touch*", times=1)
    assert bench.login(host).run("touch ~/done").status == -1
    assert not (host.root / "home/edge/done").exists()


def test_a_connection_can_drop_after_a_command(bench):
    host = bench.host()
    bench.faults.add(part="hosts", kind="drop-after", match="exec touch*", times=1)
    assert bench.login(host).run("touch ~/done").status == -1
    assert (host.root / "home/edge/done").exists()


def test_a_connection_can_drop_in_the_middle_of_a_command(bench):
    host = bench.host()
    fault = {"kind": "drop-mid", "match": "exec *sleep*", "seconds": 0.2, "times": 1}
    bench.faults.add(part="hosts", **fault)
    result = bench.login(host).run("echo begun; sleep 0.6; touch ~/done")
    assert (result.status, result.out) == (-1, "begun\n")
    deadline = time.monotonic() + 5
    while not (host.root / "home/edge/done").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_command_can_hang(bench):
    login = bench.login(bench.host())
    bench.faults.add(part="hosts", kind="hang", match="exec uname*", times=1)
    with pytest.raises(TimeoutError):
        login.run("uname -a", timeout=0.5)
    assert login.run("uname").out == "Linux\n"


def test_a_command_can_end_without_a_status(bench):
    bench.faults.add(part="hosts", kind="no-status", match="exec uname*", times=1)
    result = bench.login(bench.host()).run("uname")
    assert (result.status, result.out) == (-1, "Linux\n")


def test_a_command_can_be_made_to_fail(bench):
    bench.faults.add(part="hosts", kind="status", match="exec uname*", status=42, times=1)
    assert bench.login(bench.host()).run("uname").status == 42


def test_a_forward_can_be_late_or_refused(bench, echo):
    host = bench.host()
    host.dial = dialler({SERVICE: echo})
    bench.faults.add(part="hosts", kind="latency", match="forward 10.43*", seconds=0.3, times=1)
    login = bench.login(host)
    started = time.monotonic()
    login.forward(*SERVICE)
    assert time.monotonic() - started >= 0.3
    bench.faults.add(part="hosts", kind="refuse", match="forward 10.43.0.9:443", times=1)
    with pytest.raises(paramiko.ChannelException):
        login.forward(*SERVICE)


def test_the_commands_that_came_are_kept(bench):
    host = bench.host()
    bench.login(host).run("echo one")
    assert list(host.commands) == ["echo one"]


@pytest.mark.slow
def test_three_hundred_hosts_cost_less_than_three_seconds_of_our_own_time(bench):
    """User time: what the disk and other programs on the machine cost is not ours to promise."""
    started = os.times().user
    for number in range(300):
        bench.host(f"h{number}")
    assert os.times().user - started < 3
    assert bench.login(bench.hosts[299]).run("cat /etc/hostname").out == "h299\n"
