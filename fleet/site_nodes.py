"""The part of the fleet's vocabulary that is about machines; `fleet.sites` passes it on."""

from typing import Literal

from pydantic import Field

from fleet.strict import Strict
from fleet.validation import BlockName, FilePath, Flag, Port
from fleet.validation_cluster import HostAddress, NodeName, UserName


class Jump(Strict):
    """A host through which a node is reached; it uses the site's SSH login."""

    address: HostAddress = Field(description="Host name or IP address")
    port: Port = Field(22, description="SSH port")
    user: UserName | None = Field(None, description="SSH user; none: the site's")


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address.lower()


class Node(Strict):
    """One machine of a site's cluster."""

    address: HostAddress = Field(description="Host name or IP address, as the jump host sees it")
    name: NodeName = Field(
        default_factory=lambda data: data.get("address", ""),
        description="Kubernetes node name; none: the address",
    )
    port: Port = Field(22, description="SSH port")
    user: UserName | None = Field(None, description="SSH user; none: the site's")
    role: Literal["server", "agent"] = Field("server", description="What K3s is on it")
    jump: Jump | None = Field(None, description="Host through which it is reached")

    @property
    def endpoint(self) -> str:
        """Return what no two nodes may share: address, port and the jump host's, if any."""
        via = f" via {_host(self.jump.address)}:{self.jump.port}" if self.jump else ""
        return f"{_host(self.address)}:{self.port}{via}"


class Ssh(Strict):
    """How to log in to a site's nodes. The block, where named, wins over the files."""

    block: BlockName | None = Field(None, description="Site SSH block")
    user: UserName | None = Field(None, description="SSH user of all nodes")
    key_file: FilePath | None = Field(None, description="Private key on this machine")
    known_hosts: FilePath | None = Field(None, description="File; none: ~/.ssh/known_hosts")


class Host(Strict):
    """What the nodes are."""

    distribution: Literal["k3s", "rke2", "containerd"] = Field(
        "k3s", description="Kubernetes distribution; containerd: any other that uses it"
    )
    restart: Literal["auto", "always", "never"] = Field(
        "auto", description="When a change restarts K3s: where the host needs it, always, or never"
    )
    sudo: Flag = Field(True, description="Use `sudo -n` where the SSH user is not root")
