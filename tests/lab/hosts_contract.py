"""What the product relies on when it runs a command on a host: shell, files, sudo, connections."""

import base64
import hashlib
import os
import re
import time

import paramiko
import pytest

from tests.lab.hosts_target import HostTarget


class ShellContract:
    def test_a_command_has_output_errors_and_a_status(self, target: HostTarget) -> None:
        result = target.run("echo out; echo err >&2; exit 7")
        assert (result.status, result.out, result.err) == (7, "out\n", "err\n")

    def test_a_missing_program_is_127_and_one_that_is_none_126(self, target: HostTarget) -> None:
        missing = target.run("no-such-program-here")
        assert (missing.status, "not found" in missing.err) == (127, True)
        assert target.run("/etc/passwd").status == 126

    def test_a_command_that_a_signal_ends_has_no_status(self, target: HostTarget) -> None:
        assert target.run("kill -TERM $$").status == -1
        assert target.run("sh -c 'kill -KILL $$'; exit $?").status == 137

    def test_a_megabyte_of_input_arrives_whole(self, target: HostTarget) -> None:
        content = os.urandom(1 << 20)
        result = target.run("sha256sum | cut -d ' ' -f 1", content)
        assert result.out.strip() == hashlib.sha256(content).hexdigest()

    def test_a_megabyte_of_output_arrives_whole(self, target: HostTarget) -> None:
        assert target.run("head -c 1048576 /dev/zero | tr '\\0' x").out == "x" * 1048576

    def test_a_command_that_reads_nothing_ends_while_input_still_comes(
        self, target: HostTarget
    ) -> None:
        channel = target.connect().client.get_transport().open_session()
        channel.exec_command("exit 3")
        assert channel.status_event.wait(10)
        assert channel.exit_status == 3

    def test_a_status_does_not_wait_for_what_the_command_left_behind(
        self, target: HostTarget
    ) -> None:
        channel = target.connect().client.get_transport().open_session()
        channel.exec_command("sleep 3 & echo begun; exit 5")
        started = time.monotonic()
        assert channel.status_event.wait(10)
        assert channel.exit_status == 5
        assert time.monotonic() - started < 1.5

    def test_the_user_is_no_root_and_at_home(self, target: HostTarget) -> None:
        out = target.run('echo "$USER $LOGNAME $HOME $PWD"; id -un; [ "$(id -u)" != 0 ]')
        assert out.out == "edge edge /home/edge /home/edge\nedge\n"
        assert out.status == 0

    def test_the_usual_programs_are_on_the_path(self, target: HostTarget) -> None:
        names = "systemctl journalctl systemd-run logger k3s flock sha256sum base64 stat mktemp"
        script = f"for name in {names}; do command -v $name >/dev/null || echo $name; done"
        assert target.run(script).out == ""
        assert target.root(script).out == ""

    def test_a_command_goes_on_when_the_connection_drops(self, target: HostTarget) -> None:
        login = target.connect()
        channel = login.client.get_transport().open_session()
        channel.exec_command("sleep 0.7; touch /tmp/went-on")
        time.sleep(0.3)
        login.client.close()
        target.wait(lambda: target.run("rm /tmp/went-on").status == 0, "the command to end")

    def test_a_process_of_its_own_session_outlives_the_connection(self, target: HostTarget) -> None:
        login = target.connect()
        script = 'setsid sh -c "sleep 1; touch /tmp/late" >/dev/null 2>&1 </dev/null &'
        assert login.root(script).status == 0
        login.client.close()
        target.wait(lambda: target.root("rm /tmp/late").status == 0, "the process to end")


class FileContract:
    @pytest.fixture
    def folder(self, target: HostTarget) -> str:
        return target.root("umask 077; mktemp -d /etc/contract.XXXXXX").out.strip()

    def test_a_file_is_replaced_in_one_step(self, target: HostTarget, folder: str) -> None:
        script = f"""
        umask 077; cd {folder}; echo old > file
        temp=$(mktemp {folder}/file.new.XXXXXX); cat > "$temp"; sync "$temp"
        mv -f -T "$temp" file && sync . && ls && stat -c '%a %u:%g' file && cat file"""
        assert target.root(script, b"new").out == "file\n600 0:0\nnew"

    def test_a_file_does_not_replace_a_folder(self, target: HostTarget, folder: str) -> None:
        result = target.root(f"cd {folder}; mkdir there; touch here; mv -f -T here there")
        assert result.status == 1
        assert "cannot overwrite directory" in result.err

    def test_a_lock_on_a_folder_keeps_others_out(self, target: HostTarget, folder: str) -> None:
        channel = target.connect().client.get_transport().open_session()
        held = f"exec 9< {folder}; flock -n 9 && touch {folder}/held; sleep 1.5"
        channel.exec_command(f"sudo -n sh -c '{held}'")
        target.wait(lambda: target.root(f"test -e {folder}/held").status == 0, "the lock")
        attempt = f"exec 9< {folder}; flock -n 9"
        assert target.root(attempt).status == 1
        target.wait(lambda: target.root(attempt).status == 0, "the lock to be free")

    def test_a_lock_ends_with_the_process_that_is_killed(
        self, target: HostTarget, folder: str
    ) -> None:
        held = f"exec 9< {folder}; flock -n 9; kill -KILL $$"
        target.root(held)
        assert target.root(f"exec 9< {folder}; flock -n 9").status == 0

    def test_hashes_and_base64_are_one_line(self, target: HostTarget, folder: str) -> None:
        content = os.urandom(300)
        path = f"{folder}/binary"
        script = f"cat > {path}; sha256sum < {path}; base64 < {path} | tr -d '\\n'"
        first, second = target.root(script, content).out.split("\n")
        assert first == f"{hashlib.sha256(content).hexdigest()}  -"
        assert base64.b64decode(second) == content
        encoded = base64.b64encode(content)
        assert target.root("base64 -d | sha256sum", encoded).out.split()[0] == first.split()[0]

    def test_kinds_of_files_are_told_apart(self, target: HostTarget, folder: str) -> None:
        script = f"""
        cd {folder}; touch plain; ln -s plain link; mkdir folder; ln -s nowhere broken
        for name in plain link folder broken absent; do
          if [ -L $name ]; then echo link; elif [ -f $name ]; then echo file
          elif [ -e $name ]; then echo other; else echo absent; fi
        done; readlink link; stat -c %Y plain"""
        *kinds, target_of_link, changed = target.root(script).out.splitlines()
        assert kinds == ["file", "link", "other", "link", "absent"]
        assert target_of_link == "plain"
        assert abs(int(changed) - time.time()) < 120

    def test_free_space_and_inodes_are_told(self, target: HostTarget) -> None:
        for option in ("-Pk", "-Pi"):
            line = target.root(f"df {option} /var/lib/rancher | tail -n 1").out.split()
            assert int(line[3]) > 1000

    def test_the_user_does_not_write_what_is_roots(self, target: HostTarget, folder: str) -> None:
        assert "Permission denied" in target.run(f"ls {folder}").err
        assert "Permission denied" in target.run("echo x > /etc/rancher/k3s/registries.yaml").err


class SudoContract:
    @pytest.fixture(autouse=True)
    def _usual_rule(self, target: HostTarget):
        yield
        target.set_sudo("allowed")

    def test_sudo_keeps_the_input_and_resets_the_environment(self, target: HostTarget) -> None:
        result = target.run("SECRET=1 sudo -n sh -c 'cat; echo $USER ${SECRET-none}'", b"input ")
        assert result.out == "input root none\n"

    def test_sudo_passes_on_the_status(self, target: HostTarget) -> None:
        assert target.run("sudo -n sh -c 'exit 9'").status == 9

    def test_sudo_knows_no_unknown_program(self, target: HostTarget) -> None:
        result = target.run("sudo -n no-such-program")
        assert (result.status, result.err) == (1, "sudo: no-such-program: command not found\n")

    def test_sudo_that_wants_a_password_says_so(self, target: HostTarget) -> None:
        target.set_sudo("password")
        result = target.run("sudo -n /bin/sh -c true")
        assert (result.status, result.err) == (1, "sudo: a password is required\n")

    def test_sudo_for_the_shell_alone_is_enough_for_scripts(self, target: HostTarget) -> None:
        target.set_sudo("shell")
        assert target.run("sudo -n /bin/sh -c 'id -u'").out == "0\n"
        result = target.run("sudo -n id")
        assert (result.status, result.err) == (1, "sudo: a password is required\n")


class ConnectionContract:
    @pytest.fixture(autouse=True)
    def _usual_forwarding(self, target: HostTarget):
        yield
        target.set_forwarding(True)

    def test_the_eleventh_session_is_refused_until_one_ends(self, target: HostTarget) -> None:
        transport = target.connect().client.get_transport()
        channels = [transport.open_session() for _ in range(10)]
        with pytest.raises(paramiko.ChannelException, match="Connect failed"):
            transport.open_session()
        channels[0].close()
        target.wait(lambda: _opens_a_session(transport), "a session to be free")

    def test_a_forward_reaches_what_the_host_reaches(self, target: HostTarget) -> None:
        channel = target.connect().forward(*target.open_port)
        channel.sendall(b"GET /v2/ HTTP/1.0\r\n\r\n")
        assert re.match(rb"HTTP/1\.[01] (401|200)", channel.recv(20))

    def test_a_forward_to_a_closed_port_is_refused(self, target: HostTarget) -> None:
        with pytest.raises(paramiko.ChannelException, match="Connect failed") as caught:
            target.connect().forward("127.0.0.1", 9)
        assert caught.value.code == 2

    def test_forwarding_can_be_forbidden(self, target: HostTarget) -> None:
        target.set_forwarding(False)
        login = target.connect()
        with pytest.raises(paramiko.ChannelException) as caught:
            login.forward(*target.open_port)
        assert caught.value.code == 1
        assert login.run("echo still").out == "still\n"

    def test_root_stays_out_with_the_users_key(self, target: HostTarget) -> None:
        with pytest.raises(paramiko.AuthenticationException):
            target.connect(user="nobody-here")

    def test_sftp_replaces_a_file_by_posix_rename_only(self, target: HostTarget) -> None:
        sftp = target.connect().client.open_sftp()
        for name in ("contract-new", "contract-old"):
            with sftp.open(f"/tmp/{name}", "w") as file:
                file.write(name)
        with pytest.raises(OSError, match=r"Failure|exists"):
            sftp.rename("/tmp/contract-new", "/tmp/contract-old")
        sftp.posix_rename("/tmp/contract-new", "/tmp/contract-old")
        assert target.run("cat /tmp/contract-old; rm -f /tmp/contract-*").out == "contract-new"


def _opens_a_session(transport: paramiko.Transport) -> bool:
    try:
        transport.open_session()
    except paramiko.ChannelException:
        return False
    return True
