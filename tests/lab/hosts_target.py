"""A host under test, asked over SSH, whatever it really is: the lab's or a real one."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.host_bench import Login, Result

REPOSITORY, TAG = "vessel/navigation", "1.5.0"


@dataclass(frozen=True)
class Distribution:
    """Where a distribution has its things.

    Attributes:
        name: Its name, which also stands in what it renders.
        unit: The service of a server that a change of registries may restart.
        registries: Its registries.yaml; "" where it has none.
        certs_folder: containerd's folder of hosts.toml files.
        crictl, ctr: Commands that reach its containerd.
        read_log: A command that prints containerd's log.
    """

    name: str
    unit: str
    registries: str
    certs_folder: str
    crictl: str
    ctr: str
    read_log: str


_BELOW = "agent/etc/containerd/certs.d"
_LOG = "agent/containerd/containerd.log"
_BIN = "/var/lib/rancher/rke2/bin"
_SOCKET = "/run/k3s/containerd/containerd.sock"
K3S = Distribution(
    "k3s",
    "k3s",
    "/etc/rancher/k3s/registries.yaml",
    f"/var/lib/rancher/k3s/{_BELOW}",
    "k3s crictl",
    "k3s ctr -n k8s.io",
    f"cat /var/lib/rancher/k3s/{_LOG}",
)
RKE2 = Distribution(
    "rke2",
    "rke2-server",
    "/etc/rancher/rke2/registries.yaml",
    f"/var/lib/rancher/rke2/{_BELOW}",
    f"env CONTAINER_RUNTIME_ENDPOINT=unix://{_SOCKET} {_BIN}/crictl",
    f"{_BIN}/ctr -a {_SOCKET} -n k8s.io",
    f"cat /var/lib/rancher/rke2/{_LOG}",
)
CONTAINERD = Distribution(
    "containerd",
    "containerd",
    "",
    "/etc/containerd/certs.d",
    "crictl",
    "ctr -n k8s.io",
    "journalctl -u containerd --no-pager",
)


@dataclass(frozen=True)
class MirrorFacts:
    """A registry that the host reaches in plain http: it has REPOSITORY:TAG for this login."""

    endpoint: str
    login: str


class HostTarget(ABC):
    """One host with a Kubernetes server on it that tests may break, with the account `edge`.

    Attributes:
        distribution: What is on it.
        address, port, key_file, known_hosts: For SSH; `known_hosts` is the host's line.
        mirror: A registry in its reach.
        open_port: An address that the host itself can connect to.
        patience: Seconds that services may take for what the lab does at once.
    """

    distribution: Distribution
    address: str
    port: int
    key_file: Path
    known_hosts: str
    mirror: MirrorFacts
    open_port: tuple[str, int]
    patience: float = 10.0

    def __init__(self, distribution: Distribution) -> None:
        self.distribution = distribution
        self._logins: list[Login] = []

    @abstractmethod
    def set_sudo(self, rule: str) -> None:
        """Let the user do everything (allowed), only /bin/sh (shell), or with a password."""

    @abstractmethod
    def set_forwarding(self, allowed: bool) -> None:
        """Allow TCP forwarding, or forbid it."""

    @abstractmethod
    def reboot(self) -> None:
        """Cut the power and boot again; returns when logins work."""

    def connect(self, **more: Any) -> Login:
        """Log in on a connection of its own."""
        self._logins.append(Login(self, **more))
        return self._logins[-1]

    def run(self, command: str, stdin: bytes = b"", **more: Any) -> Result:
        """Run a command as the user, on the first connection."""
        if not self._logins or not self._logins[0].client.get_transport().is_active():
            self._logins.insert(0, Login(self))
        return self._logins[0].run(command, stdin, **more)

    def root(self, script: str, stdin: bytes = b"", **more: Any) -> Result:
        """Run a script as root."""
        quoted = script.replace("'", "'\\''")
        return self.run(f"sudo -n /bin/sh -c '{quoted}'", stdin, **more)

    def show(self, unit: str = "", *more: str) -> dict[str, str]:
        """Return what `systemctl show` says about a unit."""
        text = self.run(
            f"TZ=UTC systemctl show {unit or self.distribution.unit} {' '.join(more)}"
        ).out
        return dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)

    def wait(self, look: Callable[[], Any], what: str) -> Any:
        """Return the first true answer."""
        deadline = time.monotonic() + self.patience
        while not (answer := look()):
            assert time.monotonic() < deadline, f"waited {self.patience} s for {what}"
            time.sleep(0.05)
        return answer

    def wait_until_running(self) -> None:
        """Wait until the service runs and its containerd answers."""
        version = f"{self.distribution.crictl} version"
        self.wait(lambda: self.show()["SubState"] == "running", "the service to run")
        self.wait(lambda: self.root(version).status == 0, "containerd to answer")

    def close(self) -> None:
        for login in self._logins:
            login.client.close()
