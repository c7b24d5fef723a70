"""The contract that the lab's hosts keep, asked of a real one: the lab must not lie about these."""

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.register_assert_rewrite(
    "tests.lab.hosts_contract",
    "tests.lab.hosts_contract_pulls",
    "tests.lab.hosts_contract_services",
    "tests.lab.hosts_target",
)

from tests.acceptance.host import Host  # noqa: E402 - after the line above
from tests.acceptance.world import World  # noqa: E402
from tests.lab.hosts_contract import (  # noqa: E402
    ConnectionContract,
    FileContract,
    ShellContract,
    SudoContract,
)
from tests.lab.hosts_contract_pulls import PullContract, RenderingContract  # noqa: E402
from tests.lab.hosts_contract_services import ServiceContract, TimerContract  # noqa: E402
from tests.lab.hosts_target import (  # noqa: E402
    CONTAINERD,
    K3S,
    RKE2,
    Distribution,
    HostTarget,
    MirrorFacts,
)

_SUDO = {
    "allowed": "edge ALL=(root) NOPASSWD: ALL\n",
    "shell": "edge ALL=(root) NOPASSWD: /bin/sh\n",
    "password": "edge ALL=(root) ALL\n",
}


class RealTarget(HostTarget):
    """A host with systemd, OpenSSH, sudo and containerd of its own."""

    patience = 30.0

    def __init__(self, world: World, host: Host, distribution: Distribution) -> None:
        super().__init__(distribution)
        self._host = host
        mirror = world.mirror
        self.mirror = MirrorFacts(f"http://{mirror.address}:{mirror.port}", mirror.login)
        self.open_port = (mirror.address, mirror.port)
        self.address, self.port = host.address, host.port
        self.key_file: Path = host.key_file
        self.known_hosts = host.known_hosts.read_text().strip()

    def set_sudo(self, rule: str) -> None:
        self._host.write("/etc/sudoers.d/edge", _SUDO[rule], "0440")

    def set_forwarding(self, allowed: bool) -> None:
        word = "yes" if allowed else "no"
        line = shlex.quote(f"AllowTcpForwarding {word}")
        file = "/etc/ssh/sshd_config"
        self._host.root(f"sed -i /^AllowTcpForwarding/d {file}; echo {line} >> {file}")
        self._host.root("systemctl reload ssh")
        time.sleep(0.2)

    def reboot(self) -> None:
        self._host.cut_power()


@contextmanager
def a_target(world: World, distribution: Distribution) -> Iterator[HostTarget]:
    host = world.host(world.fresh_name(), distribution=distribution.name)
    target = RealTarget(world, host, distribution)
    yield target
    target.close()
    world.discard(host)


@pytest.fixture(scope="module")
def k3s(world: World) -> Iterator[HostTarget]:
    with a_target(world, K3S) as target:
        yield target


@pytest.fixture(scope="module")
def rke2(world: World) -> Iterator[HostTarget]:
    with a_target(world, RKE2) as target:
        yield target


@pytest.fixture(scope="module")
def containerd(world: World) -> Iterator[HostTarget]:
    with a_target(world, CONTAINERD) as target:
        yield target


@pytest.fixture
def target(k3s: HostTarget) -> HostTarget:
    return k3s


class TestShell(ShellContract): ...


class TestFiles(FileContract): ...


class TestSudo(SudoContract): ...


class TestConnections(ConnectionContract): ...


class TestServices(ServiceContract): ...


class TestTimers(TimerContract): ...


class TestPulls(PullContract, RenderingContract): ...


class TestRke2(PullContract, RenderingContract):
    @pytest.fixture
    def target(self, rke2: HostTarget) -> HostTarget:
        return rke2


class TestContainerd(PullContract):
    @pytest.fixture
    def target(self, containerd: HostTarget) -> HostTarget:
        return containerd
