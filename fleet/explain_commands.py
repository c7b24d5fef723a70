"""Command lines that mend what was found, with a site's own values, quoted for a shell.

No command holds a secret. kubectl goes through the first server, where no kubeconfig is at hand.
"""

import shlex

from fleet.distributions import DISTRIBUTIONS
from fleet.sites import AcrRegistry, Node, Site

_KUBECTL = {
    "k3s": "k3s kubectl",
    "rke2": "/var/lib/rancher/rke2/bin/kubectl --kubeconfig /etc/rancher/rke2/rke2.yaml",
    "containerd": "kubectl --kubeconfig /etc/kubernetes/admin.conf",
}


class Commands:
    """Writes command lines for one site."""

    def __init__(self, site: Site, registry: AcrRegistry, fleet_file: str) -> None:
        """Take the site, its registry in Azure, and the fleet file as the operator named it."""
        self._site, self._registry, self._file = site, registry, fleet_file

    def onboard(self) -> str:
        """Return the command that brings the site in line with the fleet file."""
        return shlex.join(["acrfleet", "onboard", self._file, "--site", self._site.name])

    def verify(self) -> str:
        """Return the command that waits for the site and proves its pulls."""
        return shlex.join(["acrfleet", "verify", self._file, "--site", self._site.name])

    def az(self, *words: str) -> str:
        """Return an az command on the site's registry; `words` come after `az acr`."""
        where = [
            "--registry",
            self._registry.name,
            "--subscription",
            self._registry.subscription_id,
        ]
        return shlex.join(["az", "acr", *words, *where])

    def az_registry(self, *words: str) -> str:
        """Return an az command on the registry itself."""
        where = ["--name", self._registry.name, "--subscription", self._registry.subscription_id]
        return shlex.join(["az", "acr", *words, *where])

    def deactivate(self) -> str:
        """Return the command that lets another installation activate the connected registry."""
        name = self._site.names.connected_registry
        return self.az("connected-registry", "deactivate", "--name", name)

    def kubectl(self, *words: str) -> str:
        """Return a kubectl command on the site's cluster."""
        if self._site.cluster.kubeconfig:
            given = ["kubectl", "--kubeconfig", str(self._site.cluster.kubeconfig)]
            return shlex.join([*given, *words])
        program = _KUBECTL[self._site.host.distribution]
        return self.on_node(self._site.servers()[0], f"{program} {shlex.join(words)}")

    def on_node(self, node: Node, command: str) -> str:
        """Return a command that runs on a node as root; `command` is quoted already."""
        sudo = "sudo " if self._site.host.sudo else ""
        return f"{self.ssh(node)} {shlex.quote(f'{sudo}{command}')}"

    def all_on_node(self, node: Node, *commands: str) -> str:
        """Return a command that runs several on a node as root, each if the last went well."""
        return self.on_node(node, f"sh -c {shlex.quote(in_turn(*commands))}")

    def edit(self, node: Node, path: str, line: int = 1) -> str:
        """Return a command that opens a file of a node at a line."""
        sudo = "sudo " if self._site.host.sudo else ""
        editor = f"{sudo}vi +{line} {shlex.quote(path)}"
        return f"{self.ssh(node).replace('ssh', 'ssh -t', 1)} {shlex.quote(editor)}"

    def ssh(self, node: Node) -> str:
        """Return how a node is logged in to, as far as the fleet file says it."""
        user = node.user or self._site.ssh.user
        target = f"{user}@{node.address}" if user else node.address
        words = ["ssh", *(["-p", str(node.port)] if node.port != 22 else [])]
        if self._site.ssh.key_file:
            words += ["-i", str(self._site.ssh.key_file)]
        if self._site.ssh.known_hosts:
            words += ["-o", f"UserKnownHostsFile={self._site.ssh.known_hosts}"]
        if node.jump:
            via = f"{node.jump.user}@{node.jump.address}" if node.jump.user else node.jump.address
            words += ["-J", f"{via}:{node.jump.port}" if node.jump.port != 22 else via]
        return shlex.join([*words, target])

    def restart(self, node: Node) -> str:
        """Return what restarts the node's service, to be run there."""
        return f"systemctl restart {DISTRIBUTIONS[self._site.host.distribution].unit_of(node.role)}"


def in_turn(*commands: str) -> str:
    """Return commands of which each runs only when the one before went well."""
    return " && ".join(commands)


def quoted(*words: str) -> str:
    """Return words as a shell takes them."""
    return shlex.join(words)
