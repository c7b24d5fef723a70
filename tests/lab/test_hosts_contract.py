"""The contract of hosts, kept by the lab's; tests/acceptance runs it against real ones."""

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

from lab.hosts.machine import namespaces_work  # noqa: E402 - after the line above
from tests.lab.host_bench import Bench, a_bench  # noqa: E402
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
    REPOSITORY,
    RKE2,
    Distribution,
    HostTarget,
    MirrorFacts,
)
from tests.lab.image_registry import ImageRegistry, dialler  # noqa: E402

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.skipif(not namespaces_work(), reason="everybody is root without namespaces"),
]
MIRROR = ("10.43.250.1", 80)


class LabTarget(HostTarget):
    """A host of the lab, and a registry in its reach."""

    mirror = MirrorFacts("http://10.43.250.1:80", "reader:right")
    open_port = MIRROR

    def __init__(self, bench: Bench, distribution: Distribution) -> None:
        super().__init__(distribution)
        self._bench = bench
        self._registry = ImageRegistry(REPOSITORY, user="reader", tags=("1.5.0",))
        bench.loop.call(self._registry.start)
        self._host = bench.host("contract", distribution=distribution.name)
        here = ("127.0.0.1", self._registry.port)
        self._host.dial = dialler({MIRROR: here[1], here: here[1]})
        self.address, self.port = "127.0.0.1", self._host.port
        self.key_file, self.known_hosts = self._host.key_file, self._host.known_hosts

    def set_sudo(self, rule: str) -> None:
        self._host.sudo = rule

    def set_forwarding(self, allowed: bool) -> None:
        self._host.allow_forwarding = allowed

    def reboot(self) -> None:
        self._bench.loop.call(self._host.reboot)

    def close(self) -> None:
        super().close()
        self._bench.loop.call(self._registry.stop)


@contextmanager
def a_target(folder: Path, distribution: Distribution) -> Iterator[HostTarget]:
    with a_bench(folder) as bench:
        target = LabTarget(bench, distribution)
        yield target
        target.close()


@pytest.fixture(scope="module")
def k3s(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostTarget]:
    with a_target(tmp_path_factory.mktemp("k3s"), K3S) as target:
        yield target


@pytest.fixture(scope="module")
def rke2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostTarget]:
    with a_target(tmp_path_factory.mktemp("rke2"), RKE2) as target:
        yield target


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostTarget]:
    with a_target(tmp_path_factory.mktemp("containerd"), CONTAINERD) as target:
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


class TestRke2(PullContract, RenderingContract, ServiceContract):
    @pytest.fixture
    def target(self, rke2: HostTarget) -> HostTarget:
        return rke2


class TestContainerd(PullContract):
    @pytest.fixture
    def target(self, containerd: HostTarget) -> HostTarget:
        return containerd
