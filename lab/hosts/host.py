"""One edge host: an SSH server, a folder that is its `/`, and K3s on it."""

import os
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from functools import cache, partial
from pathlib import Path

import asyncssh

from lab.audit import AuditLog
from lab.clock import Clock
from lab.faults import Faults
from lab.hosts.changes import Changes
from lab.hosts.crictl import Crictl
from lab.hosts.date import run_date
from lab.hosts.elevation import Rule, Sudo
from lab.hosts.execution import Executor
from lab.hosts.folder import make_host, set_tool
from lab.hosts.http_exchange import Dial, Network, Stream
from lab.hosts.image_names import Image
from lab.hosts.image_pull import ImagePuller
from lab.hosts.journal import Journal
from lab.hosts.k3s_node import K3sNode
from lab.hosts.k3s_service import K3sService, unit_name
from lab.hosts.machine import best_mode
from lab.hosts.shells import Shells
from lab.hosts.ssh_server import SshServer, ssh_options
from lab.hosts.stand_ins import Reply, StandIns, ToolCall
from lab.hosts.systemctl import Systemctl

K3S_VERSION = "v1.31.4+k3s1"


async def _no_route(host: str, port: int) -> Stream:
    raise ConnectionRefusedError(111, "Connection refused")


class HostLab:
    """One edge host.

    Attributes to set at any time: `dial` (how this host reaches addresses), `allow_forwarding`,
    `rtt` (seconds there and back, for new connections), `root_login`, `sudo`.
    Attributes to read: `port`, `key_file` (the user's private key), `known_hosts` (its line in a
    known_hosts file), `root` (the folder that is the host's `/`), `commands` (the latest commands),
    `images` (what is on the node, by reference), `service` (None without K3s).
    """

    def __init__(
        self,
        audit: AuditLog,
        faults: Faults,
        clock: Clock,
        *,
        site: str,
        name: str,
        role: str,
        folder: Path,
        user: str = "edge",
        ca_file: Path | None = None,
        restart_seconds: float = 0.2,
        k3s_version: str = K3S_VERSION,
        mode: str | None = None,
    ) -> None:
        """Make a host that is switched off.

        Args:
            audit: Hears of file changes, service jobs and new images.
            faults: Part `hosts`; see `lab.hosts.ssh_server` and `lab.hosts.k3s_service`.
            clock: The lab's clock.
            site: The site it belongs to.
            name: Host name and node name.
            role: server, agent, or another word for a host without K3s (a jump host).
            folder: Where its files go: root/, mnt/, keys.
            user: The login account.
            ca_file: Certificates that containerd on this host trusts.
            restart_seconds: How long K3s takes to start.
            k3s_version: What `k3s --version` says.
            mode: "namespace" or "translate"; by default what works here.
        """
        self.site, self.name, self.role, self.user = site, name, role, user
        self.faults = faults
        self.folder = folder.resolve()
        self.root = self.folder / "root"
        self.key_file = self.folder / "id_ed25519"
        self.mode = mode or best_mode()
        self.dial: Dial = _no_route
        self.allow_forwarding = True
        self.root_login = False
        self.rtt = 0.0
        self.commands: deque[str] = deque(maxlen=1000)
        self._audit = audit
        self._clock = clock
        self._sudo_rule: Rule = "allowed"
        self._make_files()
        self.changes = Changes(self.root, self._report)
        self._server = SshServer(self)
        self.ssh_options = ssh_options(self._server, self._host_key)
        self.node = K3sNode(self.root, unit_name(role), self.changes, self._server.take)
        self.service: K3sService | None = None
        self.journal = Journal(clock, name)
        if role in ("server", "agent"):
            self.service = K3sService(
                role=role,
                clock=clock,
                journal=self.journal,
                read_configuration=self.node.start,
                restart_seconds=restart_seconds,
            )
        self._systemctl = Systemctl(self.root, self.service, self.journal, self._report)
        network = Network(self._dial_now, _trust(ca_file))
        self._puller = ImagePuller(network, self.node.log_containerd)
        self._crictl = Crictl(k3s_version, clock, self.node, self._puller)
        self._crictl.take_faults = self._server.take
        self._crictl.on_new_image = partial(self._report, "pull")
        if self.service:
            self.service.on_running.append(self._crictl.set_running)
        self._stand_ins = StandIns(self.root / "opt/lab", self._answer)

    async def start(self, port: int = 0) -> None:
        """Switch the host on: K3s starts with what its files say, and the SSH port opens."""
        self.shells = Shells.acquire(self.mode)
        self.executor = Executor(self.root, self.name, self.shells, self.changes)
        self._sudo = Sudo(self.executor, self.user)
        self.sudo = self._sudo_rule
        self._stand_ins.start()
        if self.service:
            await self.service.boot()
        self._server.listen(port)

    async def stop(self) -> None:
        """Switch the host off. The last host of a lab that stops kills what still runs."""
        await self._server.stop()
        if self.service:
            await self.service.stop()
        await self._stand_ins.stop()
        await self.shells.release()

    @property
    def port(self) -> int:
        """Return the SSH port; it stays the same while the host is offline."""
        return self._server.port

    @property
    def host_key(self) -> str:
        """Return the public host key, as in a known_hosts file."""
        return self._host_key.export_public_key().decode().strip()

    @property
    def known_hosts(self) -> str:
        """Return this host's line for a known_hosts file."""
        kind, key, *_ = self.host_key.split()
        return f"[127.0.0.1]:{self.port} {kind} {key}"

    @property
    def images(self) -> dict[str, Image]:
        """Return the images on the node by reference."""
        return self._puller.images

    @property
    def sudo(self) -> Rule:
        """Return what sudo allows: allowed, password or absent."""
        return self._sudo_rule

    @sudo.setter
    def sudo(self, rule: Rule) -> None:
        self._sudo_rule = rule
        self._sudo.rule = rule
        with self.changes.own_writes("/usr/local/bin/sudo"):
            set_tool(self.root, "sudo", present=rule != "absent")

    def on_service(self, callback: Callable[[bool], None]) -> None:
        """Call back when K3s begins to run (True) or ends (False), and once with how it is now."""
        if self.service:
            self.service.on_running.append(callback)
            callback(self.service.is_running)

    def write_kubeconfig(self, text: str) -> None:
        """Write /etc/rancher/k3s/k3s.yaml, root's alone."""
        self.node.write_kubeconfig(text)

    def follow_clock(self) -> None:
        """Let `date` tell the lab's time after the lab's clock has jumped."""
        if self._clock.offset:
            set_tool(self.root, "date", present=True)

    def set_offline(self, offline: bool) -> None:
        """Refuse connections and drop those that are open, or be back on the same port."""
        if offline:
            self._server.close()
        elif not self._server.is_listening:
            self._server.listen(self.port)

    def renew_host_key(self) -> None:
        """Change the host key, as a reinstalled machine or a man in the middle would."""
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.ssh_options = ssh_options(self._server, self._host_key)

    def _make_files(self) -> None:
        """Write the host's folder; a strict umask of the lab's user must not close it to `edge`."""
        before = os.umask(0o022)
        try:
            self._make_root_and_keys()
        finally:
            os.umask(before)

    def _make_root_and_keys(self) -> None:
        (self.folder / "mnt").mkdir(parents=True, exist_ok=True)
        self.root.mkdir(exist_ok=True)
        make_host(
            self.root,
            name=self.name,
            role=self.role,
            user=self.user,
            namespace=self.mode == "namespace",
        )
        self.client_key = _key(self.key_file)
        self._host_key = _key(self.folder / "ssh_host_ed25519_key")

    async def _answer(self, call: ToolCall) -> Reply:
        """Answer a stand-in program."""
        programs: dict[str, Callable[[ToolCall], Awaitable[Reply]]] = {
            "sudo": self._sudo.run,
            "systemctl": lambda call: self._systemctl.run(call.arguments, root=self._is_root(call)),
            "journalctl": self._journalctl,
            "date": lambda call: run_date(call, self.executor, self._clock.now()),
            "k3s": self._crictl.k3s,
            "crictl": lambda call: self._crictl.crictl(call, call.arguments),
        }
        if call.tool not in programs:
            return Reply(stderr=f"{call.tool}: not on the lab's hosts\n", exit=1)
        return await programs[call.tool](call)

    async def _journalctl(self, call: ToolCall) -> Reply:
        return self.journal.journalctl(call.arguments, root=self._is_root(call))

    def _is_root(self, call: ToolCall) -> bool:
        return call.uid == 0 or not self.executor.namespace

    async def _dial_now(self, host: str, port: int) -> Stream:
        return await self.dial(host, port)

    def _report(self, action: str, target: str) -> None:
        self._audit.write("hosts", self.site, action, target, node=self.name)


def _key(path: Path) -> asyncssh.SSHKey:
    """Return the private key in a file; a new one when there is none."""
    if path.exists():
        return asyncssh.read_private_key(path)
    key = asyncssh.generate_private_key("ssh-ed25519")
    path.touch(mode=0o600)
    key.write_private_key(path)
    return key


@cache
def _trust(ca_file: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)
