"""One edge host: an SSH server, a folder that is its `/`, and a Kubernetes distribution on it."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

import asyncssh

from lab.audit import AuditLog
from lab.clock import Clock
from lab.faults import Faults
from lab.hosts.changes import Changes
from lab.hosts.date import run_date
from lab.hosts.distributions import distribution_of
from lab.hosts.elevation import Rule, Sudo
from lab.hosts.execution import Executor
from lab.hosts.folder import clear_at_boot, make_host, set_tool
from lab.hosts.http_exchange import Dial, Network, Stream
from lab.hosts.image_names import Image
from lab.hosts.journal import Journal
from lab.hosts.kubernetes_node import KubernetesNode, NodeParts
from lab.hosts.machine import best_mode
from lab.hosts.node_service import NodeService
from lab.hosts.programs import NAMES
from lab.hosts.shells import Shells
from lab.hosts.ssh_server import SshServer, read_key, ssh_options
from lab.hosts.stand_ins import Reply, StandIns, ToolCall
from lab.hosts.system import SYSTEM_PROGRAMS, System


async def _no_route(host: str, port: int) -> Stream:
    raise ConnectionRefusedError(111, "Connection refused")


class HostLab:
    """One edge host.

    Attributes to set at any time: `dial` (how this host reaches addresses), `allow_forwarding`,
    `rtt` (seconds there and back, for new connections), `root_login`, `sudo`, `systemd_run`
    (whether it is installed), `reboot_seconds`, `round_trips`, `logins` and `most_clients` (how
    many were logged in at once at most; 0 counts anew).
    Attributes to read: `port`, `key_file` (the user's private key), `known_hosts` (its line in a
    known_hosts file), `root` (the folder that is the host's `/`), `commands` (the latest commands),
    `images` (what is on the node, by reference), `node` and `service` (None without Kubernetes).
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
        distribution: str = "k3s",
        mode: str | None = None,
    ) -> None:
        """Make a host that is switched off.

        Args:
            audit: Hears of file changes, service jobs and new images.
            faults: Part `hosts`; see `lab.hosts.ssh_server` and `lab.hosts.node_service`.
            clock: The lab's clock.
            site: The site it belongs to.
            name: Host name and node name.
            role: server, agent, or another word for a host without Kubernetes (a jump host).
            folder: Where its files go: root/, mnt/, keys.
            user: The login account.
            ca_file: Certificates that containerd on this host trusts.
            restart_seconds: How long its services take to start.
            distribution: k3s, rke2 or containerd, also in a version: k3s@v1.28.5+k3s1.
            mode: "namespace" or "translate"; by default what works here.
        """
        self.site, self.name, self.role, self.user = site, name, role, user
        self.faults, self._audit, self._clock = faults, audit, clock
        self.folder = folder.resolve()
        self.root = self.folder / "root"
        self.key_file = self.folder / "id_ed25519"
        self.mode = mode or best_mode()
        self.dial: Dial = _no_route
        self.allow_forwarding, self.root_login, self.rtt = True, False, 0.0
        self.round_trips, self.logins, self.reboot_seconds = 0, 0, 0.2
        self.clients = self.most_clients = 0
        self.commands: deque[str] = deque(maxlen=1000)
        self._sudo_rule: Rule = "allowed"
        self._is_offline = False
        self._absent: set[str] = set()
        has_node = role in ("server", "agent")
        self.distribution = distribution_of(distribution, role) if has_node else None
        self._make_files()
        self.changes = Changes(self.root, self._report)
        self._server = SshServer(self)
        self.ssh_options = ssh_options(self._server, self._host_key)
        self.journal = Journal(clock, name)
        self.node = self._make_node(ca_file, restart_seconds)
        services = self.node.services if self.node else {}
        self._system = System(
            self.root, clock, self.journal, services, self._report, self._order_reboot
        )
        self._stand_ins = StandIns(self.root / "opt/lab", self._answer)
        self._rebooting: asyncio.Task[None] | None = None

    async def start(self, port: int = 0) -> None:
        """Switch the host on: its services start with what their files say, the SSH port opens."""
        self.shells = Shells.acquire(self.mode)
        self.executor = Executor(self.root, self.name, self.shells, self.changes)
        self._system.switch_on(self.executor)
        self._sudo = Sudo(self.executor, self.user)
        self.sudo = self._sudo_rule
        self._stand_ins.start()
        self._system.boot()
        if self.node:
            await self.node.boot()
        self._server.listen(port)

    async def stop(self) -> None:
        """Switch the host off. The last host of a lab that stops kills what still runs."""
        if self._rebooting:
            await self._rebooting
        await self._server.stop()
        await self._system.switch_off()
        if self.node:
            await self.node.stop()
        await self._stand_ins.stop()
        await self.shells.release()

    async def reboot(self) -> None:
        """Cut the power for `reboot_seconds`.

        Connections, processes, /run, /tmp and what `systemd-run` made are gone; files stay, the
        services start anew, and so do the timers that timers.target wants.
        """
        self._report("reboot", self.name)
        self._server.close()
        await self._system.switch_off()
        if self.node:
            await self.node.stop()
        await self.executor.kill_all()
        clear_at_boot(self.root)
        self.journal.boot += 1
        await asyncio.sleep(self.reboot_seconds)
        self._system.boot()
        if self.node:
            await self.node.boot()
        if not self._is_offline:
            self._server.listen(self.port)

    @property
    def service(self) -> NodeService | None:
        """Return the service that a registries change restarts; None without Kubernetes."""
        return self.node.main if self.node else None

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
        return self.node.images if self.node else {}

    @property
    def sudo(self) -> Rule:
        """Return what sudo allows: allowed, shell, password or absent."""
        return self._sudo_rule

    @sudo.setter
    def sudo(self, rule: Rule) -> None:
        self._sudo_rule = rule
        self._sudo.rule = rule
        self._install("sudo", present=rule != "absent")

    @property
    def systemd_run(self) -> bool:
        """Return whether `systemd-run` is installed."""
        return "systemd-run" not in self._absent

    @systemd_run.setter
    def systemd_run(self, present: bool) -> None:
        self._install("systemd-run", present=present)

    def on_service(self, callback: Callable[[bool], None]) -> None:
        """Call back when its services begin to run (True) or end (False), and once now."""
        if self.node:
            self.node.on_running(callback)

    def write_kubeconfig(self, text: str) -> None:
        """Write the cluster's kubeconfig where the distribution does, root's alone."""
        if self.node:
            self.node.files.write_kubeconfig(text)

    def follow_clock(self) -> None:
        """Let `date` tell the lab's time after the lab's clock has jumped."""
        if self._clock.offset:
            set_tool(self.root, "date", present=True)

    def set_offline(self, offline: bool) -> None:
        """Refuse connections and drop those that are open, or be back on the same port."""
        self._is_offline = offline
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
            distribution=self.distribution,
            user=self.user,
            namespace=self.mode == "namespace",
        )
        self.client_key = read_key(self.key_file)
        self._host_key = read_key(self.folder / "ssh_host_ed25519_key")

    def _install(self, tool: str, *, present: bool) -> None:
        """Install a program, or remove it.

        Without namespaces the machine's own program would take the place of a removed one; there
        the stand-in stays and says that it is not there.
        """
        self._absent = self._absent - {tool} if present else self._absent | {tool}
        with self.changes.own_writes(f"/usr/local/bin/{tool}"):
            set_tool(self.root, tool, present=present or self.mode == "translate")

    def _make_node(self, ca_file: Path | None, restart_seconds: float) -> KubernetesNode | None:
        if self.distribution is None:
            return None
        network = Network(self._dial_now, ca_file)
        take, report = self._server.take, self._report
        parts = NodeParts(self.root, self._clock, self.journal, self.changes, network, take, report)
        return KubernetesNode(self.distribution, parts, restart_seconds)

    async def _answer(self, call: ToolCall) -> Reply:
        """Answer a stand-in program."""
        if call.tool in self._absent:
            return Reply(stderr=f"sh: 1: {call.tool}: not found\n", exit=127)
        if call.tool == "sudo":
            return await self._sudo.run(call)
        if call.tool == "date":
            return await run_date(call, self.executor, self._clock.now())
        if call.tool in SYSTEM_PROGRAMS:
            return await self._system.run(call, root=self._is_root(call))
        if self.node and call.tool in NAMES:
            return await self.node.programs.run(call)
        return Reply(stderr=f"{call.tool}: not on the lab's hosts\n", exit=1)

    async def _order_reboot(self) -> None:
        """Reboot as soon as the program that asked for it has its answer."""

        async def soon() -> None:
            await asyncio.sleep(0.05)
            await self.reboot()

        self._rebooting = asyncio.create_task(soon())

    def _is_root(self, call: ToolCall) -> bool:
        return call.uid == 0 or not self.executor.namespace

    async def _dial_now(self, host: str, port: int) -> Stream:
        return await self.dial(host, port)

    def _report(self, action: str, target: str) -> None:
        self._audit.write("hosts", self.site, action, target, node=self.name)
