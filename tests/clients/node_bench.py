"""A lab host, our way to it, and changes of its files."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from clients.edge_node import Applied, EdgeNode
from clients.ssh_host import SshEndpoint, SshHost, SshLogin
from fleet.distributions import DISTRIBUTIONS
from fleet.host_files import FileChange, HostFile, sha256_of
from lab.audit import AuditLog
from lab.clock import Clock
from lab.faults import Faults
from lab.hosts import HostLab
from lab.loops import LoopThread

FILE = "/etc/rancher/k3s/registries.yaml"
HOSTS = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d/site.example/hosts.toml"
STATE = "/var/lib/acrfleet"


class Bench:
    """A lab host and our way to it."""

    def __init__(self, folder: Path, loop: LoopThread, distribution: str = "k3s") -> None:
        self.loop, self.faults, self.audit = loop, Faults(), AuditLog(folder / "audit.jsonl")
        self.lab = HostLab(
            self.audit,
            self.faults,
            Clock(0.2),
            site="oslo",
            name="oslo-1",
            role="server",
            folder=folder / "host",
            distribution=distribution,
        )
        loop.call(self.lab.start)
        self.node = self.log_in(distribution)

    def log_in(self, distribution: str = "k3s") -> EdgeNode:
        endpoint = SshEndpoint("127.0.0.1", self.lab.port, self.lab.user, "oslo-1")
        login = SshLogin(key_file=self.lab.key_file, known_hosts=self.lab.known_hosts)
        host = SshHost(endpoint, login)
        return EdgeNode(host, distribution=DISTRIBUTIONS[distribution])

    def close(self) -> None:
        self.node.host.close()
        self.loop.call(self.lab.stop)
        self.loop.close()

    def path(self, path: str = FILE) -> Path:
        return self.lab.root / path.lstrip("/")

    def put(self, text: str, path: str = FILE) -> str:
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)
        return sha256_of(text)

    def text(self, path: str = FILE) -> str | None:
        return self.path(path).read_text() if self.path(path).exists() else None

    def change(self, wanted: str | None, path: str = FILE, *, keep: bool = True) -> FileChange:
        """Return the change of a file as it is now."""
        text = self.text(path)
        before = HostFile(path=path)
        if text is not None:
            before = HostFile(path=path, kind="file", text=SecretStr(text), sha256=sha256_of(text))
        secret = None if wanted is None else SecretStr(wanted)
        return FileChange(before=before, wanted=secret, keep_backup=keep)

    def apply(
        self,
        *files: FileChange,
        restart: bool = False,
        seconds: int = 600,
        deadman: str = "",
        unit: str = "k3s",
    ) -> Applied:
        return self.node.apply(
            files, unit=unit, restart=restart, deadman_seconds=seconds, deadman=deadman
        )

    def backups(self) -> list[Path]:
        return sorted(self.path().parent.glob("registries.yaml.acrfleet.*"))

    def leftovers(self) -> list[str]:
        """Return what a change has left: temporary files, folders, timers, processes."""
        beside = [self.path(), self.path(HOSTS)]
        files = [
            path.name
            for file in beside
            if file.parent.is_dir()
            for path in file.parent.glob(f"{file.name}.acrfleet-new.*")
        ]
        folders = [str(self.path(STATE))] if self.path(STATE).exists() else []
        folders += map(str, self.path("/etc/systemd/system").rglob("*acrfleet*"))
        run = self.node.host.run("systemctl list-units --all --no-legend 'acrfleet-*'")
        units = [line for line in run.stdout.decode().splitlines() if "acrfleet-" in line]
        return files + folders + units + [" ".join(found) for found in self.sleepers()]

    def sleepers(self) -> list[list[str]]:
        """Return the dead-men of this host that are processes."""
        found = []
        for process in Path("/proc").iterdir():
            try:
                words = (process / "cmdline").read_text().split("\0")
                marker = (process / "environ").read_text()
            except OSError:
                continue
            here = str(self.lab.root) in marker or self.lab.name in marker
            if here and any(word.startswith("acrfleet-deadman-") for word in words):
                found.append(words)
        return found

    def restarts(self) -> int:
        return sum(line["action"] == "restart" for line in self.audit.read())

    def journal(self) -> str:
        return "\n".join(line.text for line in self.lab.journal.lines if line.source == "acrfleet")


def wait_until(seen: Callable[[], bool], seconds: float = 15) -> bool:
    """Look until it is so, or the time is over."""
    end = time.monotonic() + seconds
    while not seen() and time.monotonic() < end:
        time.sleep(0.05)
    return seen()


def is_root() -> bool:
    return os.getuid() == 0
