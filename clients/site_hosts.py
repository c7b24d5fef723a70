"""The SSH hosts of one site: its nodes, and the jump hosts that they share."""

from pathlib import Path
from types import TracebackType
from typing import Self

from clients.k3s_node import K3sNode
from clients.ssh_host import SshEndpoint, SshHost
from clients.ssh_login import SshLogin
from fleet.sites import Jump, Node, Site, Ssh

_DEFAULT_PORT = 22


def login_from_files(ssh: Ssh) -> SshLogin:
    """Return the login that a fleet file without SSH block describes."""
    return SshLogin(
        user=ssh.user,
        key_file=Path(ssh.key_file) if ssh.key_file else None,
        known_hosts_file=Path(ssh.known_hosts) if ssh.known_hosts else None,
    )


class SiteHosts:
    """One connection per node, opened when needed; nodes behind one jump host share its connection.

    Use it in a `with`, or close it.
    """

    def __init__(
        self, site: Site, login: SshLogin, *, jump: Jump | None = None, port: int = _DEFAULT_PORT
    ) -> None:
        """Describe the hosts; nothing is opened yet.

        Args:
            site: Whose nodes.
            login: Who logs in everywhere.
            jump: For nodes that name no jump host.
            port: For nodes that keep the default port.
        """
        self._site, self._login, self._jump, self._port = site, login, jump, port
        self._jumps: dict[Jump, SshHost] = {}
        self.nodes = {node.name: self._node(node) for node in site.nodes}

    def __enter__(self) -> Self:
        """Use it in a `with`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Close every connection."""
        self.close()

    def close(self) -> None:
        """Close every connection; a later call opens it again."""
        for node in self.nodes.values():
            node.host.close()
        for host in self._jumps.values():
            host.close()

    def _node(self, node: Node) -> K3sNode:
        port = self._port if node.port == _DEFAULT_PORT else node.port
        name = f"{self._site.name}/{node.name}"
        endpoint = SshEndpoint(node.address, port, node.user, name)
        host = SshHost(endpoint, self._login, self._via(node.jump or self._jump))
        return K3sNode(host, sudo=self._site.host.sudo, name=name)

    def _via(self, jump: Jump | None) -> SshHost | None:
        if jump is None:
            return None
        if jump not in self._jumps:
            name = f"jump host of {self._site.name}"
            endpoint = SshEndpoint(jump.address, jump.port, jump.user, name)
            self._jumps[jump] = SshHost(endpoint, self._login)
        return self._jumps[jump]
