"""What the audit log says about a host: every write, and nothing else."""

import io

import pytest

from tests.lab.host_bench import a_bench

pytestmark = [pytest.mark.lab]
REGISTRIES = "/etc/rancher/k3s/registries.yaml"


@pytest.fixture
def bench(tmp_path):
    with a_bench(tmp_path) as bench:
        yield bench


def test_reading_is_not_a_change(bench):
    login = bench.login(bench.host())
    login.root(f"cat {REGISTRIES}; ls -laR /etc; k3s --version; systemctl status k3s; df")
    login.run("true")
    assert bench.actions() == []


def test_a_new_file_is_a_write(bench):
    login = bench.login(bench.host())
    login.root(f"echo a > {REGISTRIES}")
    assert bench.actions() == [("write", REGISTRIES)]
    assert bench.audit.read()[0]["node"] == "oslo-1"


def test_the_same_content_in_a_new_file_is_a_write(bench):
    login = bench.login(bench.host())
    login.root(f"echo a > {REGISTRIES}")
    login.root(f"cp {REGISTRIES} /tmp/x && mv /tmp/x {REGISTRIES}")
    assert bench.actions() == [("write", REGISTRIES)] * 2


def test_a_changed_mode_is_a_write(bench):
    login = bench.login(bench.host())
    login.root(f"echo a > {REGISTRIES}")
    login.root(f"chmod 640 {REGISTRIES}")
    assert bench.actions() == [("write", REGISTRIES)] * 2


def test_a_removed_file_is_a_deletion(bench):
    login = bench.login(bench.host())
    login.root("rm /etc/hosts")
    assert bench.actions() == [("delete", "/etc/hosts")]


def test_a_file_that_comes_and_goes_within_a_command_leaves_no_trace(bench):
    login = bench.login(bench.host())
    login.root(f"echo a > {REGISTRIES}.tmp; rm {REGISTRIES}.tmp; echo b > /tmp/lock")
    assert bench.actions() == []


def test_what_k3s_renders_is_not_a_change(bench):
    host = bench.host()
    login = bench.login(host)
    login.root(f"echo 'mirrors: {{a.b: {{endpoint: [\"http://x:1\"]}}}}' > {REGISTRIES}")
    login.root("systemctl restart k3s")
    assert (host.root / "var/lib/rancher/k3s/agent/etc/containerd/certs.d/a.b/hosts.toml").exists()
    assert bench.actions() == [("write", REGISTRIES), ("restart", "k3s.service")]


def test_what_a_test_puts_there_itself_is_not_a_change(bench):
    host = bench.host()
    (host.root / "etc/planted").write_text("x")
    bench.login(host).run("true")
    assert bench.actions() == []


def test_two_commands_at_once_report_a_write_once(bench):
    host = bench.host()
    one, two = bench.login(host), bench.login(host)
    channel = one.client.get_transport().open_session()
    channel.exec_command(f"sudo -n sh -c 'echo a > {REGISTRIES}; sleep 0.5'")
    two.run("sleep 0.2")
    channel.status_event.wait(10)
    assert bench.actions() == [("write", REGISTRIES)]


def test_a_write_by_sftp_is_reported(bench):
    host = bench.host()
    sftp = bench.login(host).client.open_sftp()
    sftp.putfo(io.BytesIO(b"x" * 100_000), "upload")
    assert (host.root / "home/edge/upload").stat().st_size == 100_000
    assert bench.actions() == [("write", "/home/edge/upload")]


def test_sftp_replaces_a_file_by_posix_rename_only(bench):
    host = bench.host()
    sftp = bench.login(host).client.open_sftp()
    sftp.putfo(io.BytesIO(b"new"), "/tmp/new")
    sftp.putfo(io.BytesIO(b"old"), "/tmp/old")
    with pytest.raises(OSError, match="File already exists"):
        sftp.rename("/tmp/new", "/tmp/old")
    sftp.posix_rename("/tmp/new", "/tmp/old")
    assert (host.root / "tmp/old").read_text() == "new"


def test_sftp_lets_the_user_write_only_where_the_user_may(bench):
    host = bench.host()
    sftp = bench.login(host).client.open_sftp()
    with pytest.raises(PermissionError):
        sftp.putfo(io.BytesIO(b"x"), "/etc/x")
    bench.loop.call(host.write_kubeconfig, "secret")
    with pytest.raises(PermissionError):
        sftp.open("/etc/rancher/k3s/k3s.yaml")
    assert sftp.open("/etc/hostname").read() == b"oslo-1\n"
    assert "etc" in sftp.listdir("/")


def test_sftp_does_not_leave_the_host_through_a_link(bench, tmp_path):
    (tmp_path / "outside").write_text("secret")
    host = bench.host()
    login = bench.login(host)
    login.run(f"ln -s {tmp_path}/outside ~/link; ln -s {tmp_path} ~/folder")
    sftp = login.client.open_sftp()
    for name in ("link", "folder/outside"):
        with pytest.raises(FileNotFoundError):
            sftp.open(name)
