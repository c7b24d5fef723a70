"""The programs in the lab's pods that are neither Helm nor the registry."""

from lab.cluster.node.containers import Container


class PlainProgram:
    """Any other image: a server that is ready at once, or a task that succeeds at once."""

    def start(self, container: Container) -> None:
        """Be ready, or be done."""
        if container.pod["spec"]["restartPolicy"] == "Always":
            container.set_ready(True)
        else:
            container.exit(0)

    def stop(self) -> None:
        """Nothing runs that would have to end."""
