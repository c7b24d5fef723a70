"""Users, keys and sshd settings that stand in the way: each error says what to do, and it works."""

import re
import subprocess

import pytest

from fleet.errors import FleetError
from fleet.host_errors import (
    ForwardingRefusedError,
    HostKeyChangedError,
    SudoRefusedError,
    UnsupportedServerError,
)
from tasks.charts import check_cluster
from tasks.hosts import check_nodes
from tests.acceptance.host import Host
from tests.acceptance.site import Site
from tests.acceptance.world import World

OWN_RULE, SSHD_CONFIG = "/etc/sudoers.d/edge", "/etc/ssh/sshd_config"
IMAGE = "vessel/navigation:1.5.0"


@pytest.mark.parametrize("rule", [None, "edge ALL=(ALL:ALL) ALL\n"], ids=["none", "password"])
def test_a_user_without_sudo_gets_it_by_the_line_that_the_error_prints(
    world: World, host: Host, rule: str | None
) -> None:
    site = world.site(world.fresh_name(), [host], host={"restart": "always"})
    if rule is None:
        host.root(f"rm {OWN_RULE}")
    else:
        host.write(OWN_RULE, rule, "0440")
    text, before = refused(site, SudoRefusedError), host.service()

    (line,) = (line.strip() for line in text.splitlines() if "NOPASSWD" in line)
    (file,) = re.findall(r"`visudo -f (\S+)`", text)
    host.write(file, f"{line}\n", "0440")
    assert "parsed OK" in host.root("visudo --check 2>&1")
    site.configure()

    # Nothing else is allowed, so it was this line that did it: files, timer, restart, log.
    with pytest.raises(subprocess.CalledProcessError):
        host.ssh("sudo -n id")
    assert host.service().entered > before.entered
    told = host.root("journalctl --no-pager -q -t acrfleet")
    assert "armed for" in told
    assert "confirmed: the change was proven" in told
    assert "acrfleet-deadman-" in host.root("journalctl --no-pager -q -u 'acrfleet-deadman-*'")
    pulled = host.pull(f"{site.login_server}/{IMAGE}", world.mirror.login)
    assert pulled.returncode == 0, pulled.stderr


def test_a_chatty_login_shell_does_no_harm(world: World, host: Host) -> None:
    host.write("/home/edge/.bashrc", "echo Welcome aboard; echo user=nobody\n", "0644")
    site = world.site(world.fresh_name(), [host])
    site.configure()
    pulled = host.pull(f"{site.login_server}/{IMAGE}", world.mirror.login)
    assert pulled.returncode == 0, pulled.stderr


def test_a_host_with_another_key_is_told_nothing_and_changed_in_nothing(
    world: World, host: Host
) -> None:
    site, key = world.site(world.fresh_name(), [host]), "/etc/ssh/ssh_host_ed25519_key"
    old = fingerprint(host, key)
    host.root(f"rm {key} && ssh-keygen -q -t ed25519 -N '' -f {key} && systemctl restart ssh")
    text = refused(site, HostKeyChangedError)
    assert old in text
    assert fingerprint(host, key) in text
    assert "reinstalled" in text
    assert "Accepted" not in host.journal("ssh")


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("KexAlgorithms", "curve25519-sha256"),
        ("Ciphers", "chacha20-poly1305@openssh.com"),
        ("HostKeyAlgorithms", "ssh-rsa"),
    ],
)
def test_a_hardened_sshd_is_told_which_algorithm_to_allow(
    world: World, host: Host, setting: str, name: str
) -> None:
    site = world.site(world.fresh_name(), [host])
    host.root("ssh-keygen -q -t rsa -b 2048 -N '' -f /etc/ssh/ssh_host_rsa_key")
    host.root(f"echo HostKey /etc/ssh/ssh_host_rsa_key >> {SSHD_CONFIG}")
    set_sshd(host, setting, name)
    text = refused(site, UnsupportedServerError)

    (advice,) = re.findall(
        rf"add one of these to {setting} in the host's sshd_config: ([^,]+)", text
    )
    set_sshd(host, setting, f"{name},{advice}")
    with site.session() as session:
        assert [facts.node for facts in check_nodes.fn(session)] == [host.name]


def test_an_sshd_that_forwards_nothing_is_told_what_to_set(world: World, host: Host) -> None:
    site = world.site(world.fresh_name(), [host])
    set_sshd(host, "AllowTcpForwarding", "no")
    before = site.traces()
    with site.session() as session:
        check_nodes.fn(session)
        with pytest.raises(
            ForwardingRefusedError, match=r"set AllowTcpForwarding yes \(or local\)"
        ):
            check_cluster.fn(session)
    assert site.traces() == before
    set_sshd(host, "AllowTcpForwarding", "local")
    with site.session() as session:
        check_cluster.fn(session)


def refused(site: Site, error: type[FleetError]) -> str:
    """Try to configure the nodes; return the error's text. Nothing is written or restarted."""
    before = site.traces()
    with pytest.raises(error) as raised:
        site.configure()
    assert site.traces() == before
    return str(raised.value)


def set_sshd(host: Host, setting: str, value: str) -> None:
    text = "".join(
        line for line in host.read(SSHD_CONFIG).splitlines(True) if not line.startswith(setting)
    )
    host.write(SSHD_CONFIG, f"{setting} {value}\n{text}")
    host.root("sshd -t && systemctl restart ssh")


def fingerprint(host: Host, key: str) -> str:
    return host.root(f"ssh-keygen -lf {key}").split()[1]
