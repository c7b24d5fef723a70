"""What a host's services and its `crictl` need of the node's files, whatever the distribution."""

from typing import Any, Protocol

from lab.faults import Fault
from lab.hosts.image_names import Credentials, Source


class Node(Protocol):
    """The files of one node, as of the last start of its services."""

    def start(self) -> list[Fault]:
        """Read the configuration and render what is rendered from it.

        Returns:
            The faults ordered for this start.

        Raises:
            FatalError: The program would die of what it read.
        """

    def sources(self, host: str) -> list[Source]:
        """Return where containerd pulls a host's images from now.

        Raises:
            PullError: A certificate that the host's hosts.toml names cannot be read.
        """

    def credentials(self, host: str) -> Credentials | None:
        """Return the credentials that the configuration has for an endpoint's host and port."""

    def log_containerd(self, line: str) -> None:
        """Write a line to containerd's log."""

    def write_kubeconfig(self, text: str) -> None:
        """Write the cluster's admin kubeconfig where the distribution does, root's alone."""

    def registry_settings(self) -> dict[str, Any]:
        """Return what `crictl info` shows of the registries."""
