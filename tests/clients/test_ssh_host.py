import getpass
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from clients.ssh_host import SshEndpoint, SshHost, SshLogin
from fleet.host_errors import (
    CommandTimedOutError,
    ConnectionLostError,
    ForwardingRefusedError,
    HostKeyChangedError,
    HostKeyUnknownError,
    KeyFileError,
    LoginRefusedError,
    PortClosedError,
    SiteUnreachableError,
    UnsupportedServerError,
)
from tests.clients.bad_servers import Link, banner_only, closing, dripping, serving, silent
from tests.clients.sshd import SSHD, Sshd, make_key

pytestmark = pytest.mark.skipif(SSHD is None, reason="OpenSSH's sshd is not installed")
USER = getpass.getuser()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    folder = tmp_path_factory.mktemp("sshd")
    with Sshd(folder, "MaxSessions 3", host_keys=("ed25519", "ecdsa")) as server:
        yield server


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert set(threading.enumerate()) - before == set()


@pytest.fixture(autouse=True)
def nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    assert capfd.readouterr() == ("", "")


def login_to(server: Sshd, **changes: Any) -> SshLogin:
    known = {"key_file": server.key_file, "known_hosts": server.known_hosts}
    return SshLogin(**{"user": USER, **known, **changes})


def host_on(server: Sshd, *, port: int | None = None, **changes: Any) -> SshHost:
    endpoint = SshEndpoint("127.0.0.1", port or server.port, name="oslo/oslo-1")
    return SshHost(endpoint, login_to(server, **changes), connect_timeout=10, open_timeout=5)


def test_a_command_answers_with_output_words_and_status(sshd: Sshd) -> None:
    with host_on(sshd) as host:
        result = host.run("cat; echo oh no >&2; exit 7", b"hello")
    assert (result.status, result.stdout, result.words) == (7, b"hello", "oh no")


def test_what_a_command_answers_is_not_in_its_representation(sshd: Sshd) -> None:
    with host_on(sshd) as host:
        assert "hunter2" not in repr(host.run("echo hunter2"))


def test_large_input_and_both_outputs_do_not_block_each_other(sshd: Sshd) -> None:
    data = os.urandom(5 << 20)
    with host_on(sshd) as host:
        result = host.run("tee /dev/stderr", data, timeout=30)
    assert result.stdout == data
    assert result.stderr == data


def test_a_command_that_does_not_read_its_input_ends_all_the_same(sshd: Sshd) -> None:
    with host_on(sshd) as host:
        assert host.run("exit 3", b"x" * (4 << 20), timeout=10).status == 3


def test_one_connection_serves_many_commands(sshd: Sshd) -> None:
    with host_on(sshd) as host:
        ports = {host.run("echo $SSH_CONNECTION").stdout for _ in range(3)}
    assert len(ports) == 1


def test_threads_share_a_host(sshd: Sshd) -> None:
    answers: list[bytes] = []
    with host_on(sshd) as host:

        def ask(number: int) -> None:
            answers.append(host.run(f"sleep 0.2; echo {number}").stdout.strip())

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == [b"0", b"1", b"2"]


def test_a_server_without_free_sessions_is_a_passing_trouble(sshd: Sshd) -> None:
    with host_on(sshd) as host:
        threads = [threading.Thread(target=host.run, args=("sleep 1",)) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        with pytest.raises(SiteUnreachableError, match="MaxSessions"):
            host.run("true")
        for thread in threads:
            thread.join()


def test_a_command_that_takes_too_long_is_cut(sshd: Sshd) -> None:
    started = time.monotonic()
    with host_on(sshd) as host:
        with pytest.raises(CommandTimedOutError, match=r"did not end within 0.5 s"):
            host.run("echo partial; sleep 30", timeout=0.5)
        assert host.run("echo again").stdout == b"again\n"
    assert time.monotonic() - started < 5


def test_a_background_process_that_keeps_the_output_open_does_not_hang_us(sshd: Sshd) -> None:
    with host_on(sshd) as host, pytest.raises(CommandTimedOutError):
        host.run("sleep 3 & echo done", timeout=1)


@pytest.mark.parametrize("end", ["kill -9 $$", "kill -9 $PPID; sleep 5"])
def test_an_end_without_a_status_is_never_an_empty_answer(sshd: Sshd, end: str) -> None:
    with host_on(sshd) as host, pytest.raises(ConnectionLostError):
        host.run(f"echo partial; {end}", timeout=5)


def test_a_dropped_connection_is_opened_again_for_the_next_command(sshd: Sshd) -> None:
    with host_on(sshd) as host:
        with pytest.raises(ConnectionLostError):
            host.run("kill -9 $PPID; sleep 5")
        assert host.run("echo again").stdout == b"again\n"


def test_a_command_that_may_have_started_is_never_started_twice(sshd: Sshd, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    with host_on(sshd) as host, pytest.raises(ConnectionLostError):
        host.run(f"echo once >> {seen}; kill -9 $PPID; sleep 5")
    assert seen.read_text() == "once\n"


def test_a_link_that_falls_silent_in_a_command_ends_in_time(sshd: Sshd) -> None:
    link = Link(sshd.port)
    with link.open() as port:
        known = sshd.known_hosts.replace(str(sshd.port), str(port))
        with host_on(sshd, port=port, known_hosts=known) as host:
            host.run("true")
            timer = threading.Timer(0.3, link.dark.set)
            timer.start()
            started = time.monotonic()
            with pytest.raises(CommandTimedOutError):
                host.run("sleep 1; echo unheard", timeout=2)
            assert time.monotonic() - started < 4
            timer.join()


def test_a_dead_link_is_replaced_before_a_command_starts(sshd: Sshd) -> None:
    link = Link(sshd.port)
    with link.open() as port:
        known = sshd.known_hosts.replace(str(sshd.port), str(port))
        endpoint = SshEndpoint("127.0.0.1", port)
        with SshHost(endpoint, login_to(sshd, known_hosts=known), open_timeout=1) as host:
            host.run("true")
            link.dark.set()
            threading.Timer(0.7, link.dark.clear).start()
            assert host.run("echo back").stdout == b"back\n"


@pytest.mark.parametrize("behave", [silent, dripping, banner_only])
def test_a_server_that_hangs_before_the_login_is_given_up(behave: Callable[..., None]) -> None:
    with serving(behave) as port:
        login = SshLogin(private_key=SecretStr(Path(a_key()).read_text()), known_hosts="")
        host = SshHost(SshEndpoint("127.0.0.1", port), login, connect_timeout=0.7)
        started = time.monotonic()
        with pytest.raises(SiteUnreachableError, match=r"within 0.7 s"):
            host.run("true")
        assert time.monotonic() - started < 3


def a_key(folder: list[Path] = []) -> Path:  # noqa: B006 - made once for the module
    if not folder:
        import tempfile

        folder.append(make_key(Path(tempfile.mkdtemp()) / "id"))
    return folder[0]


def test_a_server_that_closes_at_once_is_unreachable() -> None:
    with serving(closing) as port:
        login = SshLogin(key_file=a_key(), known_hosts="")
        with pytest.raises(SiteUnreachableError, match="MaxStartups"):
            SshHost(SshEndpoint("127.0.0.1", port), login).connect()


def test_a_server_that_turns_us_away_is_asked_again(tmp_path: Path) -> None:
    with Sshd(tmp_path, "MaxStartups 2:100:2", "LogLevel VERBOSE") as server, ExitStack() as others:
        for _ in range(3):
            other = others.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            assert other.recv(4) in {b"SSH-", b"Exce"}
        threading.Timer(0.5, others.close).start()
        with host_on(server) as host:
            assert host.run("echo in").stdout == b"in\n"
    # The third of the others, and us.
    assert (tmp_path / "sshd.log").read_text().count("past MaxStartups") >= 2


def test_many_logins_at_once_get_through_a_server_that_lets_in_few(tmp_path: Path) -> None:
    with Sshd(tmp_path, "MaxStartups 10:30:100") as server, ExitStack() as stack:
        hosts = [stack.enter_context(host_on(server)) for _ in range(30)]
        with ThreadPoolExecutor(len(hosts)) as pool:
            for login in [pool.submit(host.connect) for host in hosts]:
                login.result()
        log = (tmp_path / "sshd.log").read_text()
    assert log.count("Accepted publickey") == len(hosts)


def test_a_closed_port_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    login = SshLogin(key_file=a_key(), known_hosts="")
    with pytest.raises(SiteUnreachableError, match="Connection refused"):
        SshHost(SshEndpoint("127.0.0.1", port), login).connect()


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    login = SshLogin(key_file=a_key(), known_hosts="")
    with pytest.raises(SiteUnreachableError, match="cannot be resolved"):
        SshHost(SshEndpoint("node1.oslo.invalid"), login).connect()


def test_an_unknown_host_key_is_refused_with_its_fingerprint(sshd: Sshd) -> None:
    public = sshd.host_keys[0].with_suffix(".pub")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", public], capture_output=True, text=True, check=True
    )
    with pytest.raises(HostKeyUnknownError) as refused:
        host_on(sshd, known_hosts="# nobody\n").connect()
    assert shown.stdout.split()[1] in str(refused.value)
    assert f"ssh-keyscan -p {sshd.port} 127.0.0.1" in str(refused.value)
    assert "Compare" in str(refused.value)


def test_a_missing_known_hosts_file_makes_every_host_unknown(sshd: Sshd, tmp_path: Path) -> None:
    with pytest.raises(HostKeyUnknownError, match="which does not exist"):
        host_on(sshd, known_hosts=None, known_hosts_file=tmp_path / "none").connect()


def test_a_changed_host_key_is_refused_with_both_fingerprints(sshd: Sshd, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
    known = f"[127.0.0.1]:{sshd.port} {' '.join(other.split()[:2])}\n"
    with pytest.raises(HostKeyChangedError) as refused:
        host_on(sshd, known_hosts=known).connect()
    assert str(refused.value).count("SHA256:") == 2
    assert "reinstalled" in str(refused.value)


def test_a_revoked_host_key_is_refused_although_it_is_listed(sshd: Sshd) -> None:
    revoked = "".join(f"@revoked {line}\n" for line in sshd.known_hosts.splitlines())
    with pytest.raises(HostKeyChangedError, match="@revoked"):
        host_on(sshd, known_hosts=sshd.known_hosts + revoked).connect()


def test_an_authority_line_alone_is_not_enough_and_hurts_nobody(sshd: Sshd) -> None:
    authority = f"@cert-authority * {sshd.known_hosts.splitlines()[0].split(' ', 1)[1]}"
    with pytest.raises(HostKeyUnknownError, match="certificates are not supported"):
        host_on(sshd, known_hosts=authority).connect()
    host = host_on(sshd, known_hosts=f"{authority}\nnonsense\n\n{sshd.known_hosts}")
    with host:
        host.connect()


@pytest.mark.parametrize(
    "pattern", ["[127.0.0.*]:*", "[1?7.0.0.1]:{port},x", "x,[127.0.0.1]:{port}"]
)
def test_patterns_in_known_hosts_match_as_in_openssh(sshd: Sshd, pattern: str) -> None:
    key = sshd.known_hosts.splitlines()[0].split(" ", 1)[1]
    with host_on(sshd, known_hosts=f"{pattern.format(port=sshd.port)} {key}\n") as host:
        host.connect()


def test_a_negated_pattern_excludes_the_host(sshd: Sshd) -> None:
    key = sshd.known_hosts.splitlines()[0].split(" ", 1)[1]
    known = f"*,![127.0.0.1]:{sshd.port} {key}\n"
    with pytest.raises(HostKeyUnknownError):
        host_on(sshd, known_hosts=known).connect()


def test_hashed_names_in_known_hosts_match(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(sshd.known_hosts)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    assert "127.0.0.1" not in file.read_text()
    with host_on(sshd, known_hosts=None, known_hosts_file=file) as host:
        host.connect()


def test_the_server_is_asked_for_the_kind_of_key_that_is_known(sshd: Sshd) -> None:
    only_ecdsa = "".join(line for line in sshd.known_hosts.splitlines(True) if "ecdsa" in line)
    with host_on(sshd, known_hosts=only_ecdsa) as host:
        host.connect()


def test_a_key_that_the_host_does_not_know_is_refused(sshd: Sshd) -> None:
    with pytest.raises(LoginRefusedError, match=r"ssh-ed25519 SHA256:.*authorized_keys"):
        host_on(sshd, key_file=a_key()).connect()


def test_a_server_that_wants_a_second_factor_is_told(tmp_path: Path) -> None:
    methods = "AuthenticationMethods publickey,keyboard-interactive"
    with (
        Sshd(tmp_path, "KbdInteractiveAuthentication yes", methods) as server,
        pytest.raises(LoginRefusedError, match="besides the key"),
    ):
        host_on(server).connect()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("form", ["RFC4716", "PEM", "PKCS8"])
@pytest.mark.parametrize("passphrase", ["", "open sesame"])
def test_every_usual_form_of_key_logs_in(
    sshd: Sshd, tmp_path: Path, kind: str, form: str, passphrase: str
) -> None:
    more = ["-b", "2048"] if kind == "rsa" else []
    key = make_key(tmp_path / "id", kind, passphrase, "-m", form, *more)
    with sshd.authorized.open("a") as file:
        file.write(key.with_suffix(".pub").read_text())
    secret = SecretStr(passphrase) if passphrase else None
    text = SecretStr(key.read_text().replace("\n", "\r\n"))
    with host_on(sshd, key_file=None, private_key=text, passphrase=secret) as host:
        assert host.run("echo in").stdout == b"in\n"


def test_a_passphrase_for_a_key_that_needs_none_does_no_harm(sshd: Sshd) -> None:
    with host_on(sshd, passphrase=SecretStr("x")) as host:
        host.connect()


@pytest.mark.parametrize("form", ["RFC4716", "PEM", "PKCS8"])
def test_missing_and_wrong_passphrases_are_told_apart(
    sshd: Sshd, tmp_path: Path, form: str
) -> None:
    key = make_key(tmp_path / "id", "ecdsa", "open sesame", "-m", form)
    with pytest.raises(KeyFileError, match="is encrypted: give its passphrase"):
        host_on(sshd, key_file=key).connect()
    with pytest.raises(KeyFileError, match="passphrase is wrong"):
        host_on(sshd, key_file=key, passphrase=SecretStr("wrong")).connect()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ssh-ed25519 AAAA", "not a private key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----", "damaged"),
    ],
)
def test_what_is_not_a_key_is_said(sshd: Sshd, text: str, words: str) -> None:
    with pytest.raises(KeyFileError, match=words):
        host_on(sshd, private_key=SecretStr(text)).connect()


def test_a_key_file_that_cannot_be_read_is_said(sshd: Sshd, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        host_on(sshd, key_file=tmp_path / "none").connect()
    with pytest.raises(KeyFileError, match="Is a directory"):
        host_on(sshd, key_file=tmp_path).connect()


def test_the_agent_is_asked_when_no_key_is_given(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket_path = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket_path], stdout=subprocess.DEVNULL)
    try:
        while not socket_path.exists():
            time.sleep(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket_path))
        with pytest.raises(KeyFileError, match="no SSH key to log in with"):
            host_on(sshd, key_file=None).connect()
        subprocess.run(["ssh-add", "-q", sshd.key_file], check=True)
        with host_on(sshd, key_file=None) as host:
            host.connect()
    finally:
        agent.kill()
        agent.wait()


@pytest.mark.parametrize("path", ["/nonexistent", None])
def test_no_agent_is_a_clear_error(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    if path:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
    with pytest.raises(KeyFileError, match="no SSH key to log in with"):
        host_on(sshd, key_file=None).connect()


@pytest.mark.parametrize(
    ("setting", "advice"),
    [
        ("KexAlgorithms sntrup761x25519-sha512@openssh.com", "curve25519-sha256@libssh.org"),
        ("Ciphers chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com"),
        ("MACs umac-64@openssh.com", "hmac-sha2-256-etm@openssh.com"),
        ("HostKeyAlgorithms ssh-rsa", "ssh-ed25519"),
    ],
)
def test_a_server_without_a_common_algorithm_is_told_what_to_allow(
    tmp_path: Path, setting: str, advice: str
) -> None:
    name = setting.split()[0]
    extra = ("Ciphers aes128-ctr",) if name == "MACs" else ()
    kind = "rsa" if name == "HostKeyAlgorithms" else "ed25519"
    with Sshd(tmp_path, setting, *extra, host_keys=(kind,)) as server:
        with pytest.raises(UnsupportedServerError) as refused:
            host_on(server).connect()
        assert f"add one of these to {name} in the host's sshd_config: " in str(refused.value)
        assert advice in str(refused.value)
        assert "sha1" not in str(refused.value)
        assert "mlkem" not in str(refused.value)
    mended = Sshd(tmp_path / "mended", f"{setting},{advice}", *extra)
    with mended as server, host_on(server) as host:
        host.connect()


def test_a_forward_leads_to_what_the_host_reaches(sshd: Sshd) -> None:
    with host_on(sshd) as host, host.forward("127.0.0.1", sshd.port) as forward:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", forward.port), 5) as end:
                assert end.recv(100).startswith(b"SSH-2.0")


def test_a_forward_passes_much_in_both_directions_at_once(sshd: Sshd) -> None:
    def echo(connection: socket.socket, over: threading.Event) -> None:
        while data := connection.recv(65536):
            connection.sendall(data)

    data, back = os.urandom(8 << 20), bytearray()
    with (
        serving(echo) as port,
        host_on(sshd) as host,
        host.forward("127.0.0.1", port) as forward,
        socket.create_connection(("127.0.0.1", forward.port), 20) as end,
    ):
        writer = threading.Thread(target=lambda: (end.sendall(data), end.shutdown(socket.SHUT_WR)))
        writer.start()
        while part := end.recv(65536):
            back += part
        writer.join()
    assert bytes(back) == data


def test_a_forward_survives_a_dropped_connection(sshd: Sshd) -> None:
    with host_on(sshd) as host, host.forward("127.0.0.1", sshd.port) as forward:
        with pytest.raises(ConnectionLostError):
            host.run("kill -9 $PPID; sleep 5")
        with socket.create_connection(("127.0.0.1", forward.port), 5) as end:
            assert end.recv(100).startswith(b"SSH-2.0")


def test_a_closed_forward_closes_its_connections(sshd: Sshd) -> None:
    with host_on(sshd) as host:
        with host.forward("127.0.0.1", sshd.port) as forward:
            end = socket.create_connection(("127.0.0.1", forward.port), 5)
            assert end.recv(100)
        with end:
            assert end.recv(100) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", forward.port), 5)


def test_a_port_that_the_host_cannot_reach_is_told_from_a_refusal(
    sshd: Sshd, tmp_path: Path
) -> None:
    with host_on(sshd) as host:
        host.probe("127.0.0.1", sshd.port)
        with pytest.raises(PortClosedError, match=r"cannot connect to 127\.0\.0\.1:1"):
            host.probe("127.0.0.1", 1)
        with pytest.raises(PortClosedError):
            host.forward("127.0.0.1", 1)
    with Sshd(tmp_path, "AllowTcpForwarding no") as server, host_on(server) as host:
        with pytest.raises(ForwardingRefusedError, match="AllowTcpForwarding"):
            host.probe("127.0.0.1", server.port)
        assert host.run("echo fine").stdout == b"fine\n"


def test_a_target_that_goes_away_is_kept_as_the_forwards_error(sshd: Sshd) -> None:
    with host_on(sshd) as host:
        with serving(closing) as port:
            forward = host.forward("127.0.0.1", port)
        with forward:
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", forward.port), 5) as end:
                    assert end.recv(100) == b""
            assert isinstance(forward.error, PortClosedError)


def test_a_node_is_reached_through_a_jump_host(sshd: Sshd, tmp_path: Path) -> None:
    with Sshd(tmp_path) as jump, host_on(jump) as via:
        endpoint = SshEndpoint("127.0.0.1", sshd.port, name="oslo-1")
        with SshHost(endpoint, login_to(sshd), via) as host:
            assert host.run("echo through").stdout == b"through\n"
            via.close()
            assert host.run("echo again").stdout == b"again\n"


def test_a_jump_host_that_reaches_no_node_says_so(sshd: Sshd) -> None:
    with host_on(sshd) as via:
        host = SshHost(SshEndpoint("127.0.0.1", 1), login_to(sshd), via)
        with pytest.raises(PortClosedError, match="oslo/oslo-1"):
            host.connect()
