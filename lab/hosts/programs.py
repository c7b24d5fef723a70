"""The programs of a distribution: `k3s`, `rke2`, `containerd`, `kubelet`, `crictl`, `ctr`."""

from lab.hosts.crictl import Crictl
from lab.hosts.ctr import Ctr
from lab.hosts.distributions import Distribution
from lab.hosts.stand_ins import Reply, ToolCall

NAMES = ("k3s", "rke2", "containerd", "kubelet", "crictl", "ctr", "kubectl")
_NOT_HERE = (
    "{tool}: the lab's hosts do not have this; use the Kubernetes API through the SSH tunnel\n"
)


class Programs:
    """Answers the programs of one host."""

    def __init__(self, distribution: Distribution, crictl: Crictl, ctr: Ctr) -> None:
        """Speak for one distribution."""
        self._distribution = distribution
        self._crictl = crictl
        self._ctr = ctr

    async def run(self, call: ToolCall) -> Reply:
        """Answer one program."""
        is_k3s = self._distribution.kind == "k3s"
        tool, arguments = call.tool, call.arguments
        if is_k3s and tool == "k3s" and arguments[:1] in (["crictl"], ["ctr"], ["kubectl"]):
            tool, *arguments = arguments
        root = call.uid == 0 or _everyone_is_root(call)
        if tool == "crictl":
            return await self._crictl.run(call, arguments, root=root, bundled=is_k3s)
        if tool == "ctr":
            return await self._ctr.run(call, arguments, root=root, bundled=is_k3s)
        if tool != self._distribution.kind and tool != "kubelet":
            return Reply(stderr=_NOT_HERE.format(tool=" ".join([call.tool, *arguments])), exit=1)
        if arguments[:1] in (["--version"], ["-v"]):
            return Reply(self._version(tool))
        words = " ".join([tool, *arguments[:1]])
        return Reply(stderr=_NOT_HERE.format(tool=words), exit=1)

    def _version(self, tool: str) -> str:
        version = self._distribution.version
        if tool == "kubelet":
            return "Kubernetes v1.31.4\n"
        if tool == "containerd":
            return f"containerd github.com/containerd/containerd/v2 v{version} fcd43222d6b0\n"
        return f"{tool} version {version} (6a322f12)\ngo version go1.22.9\n"


def _everyone_is_root(call: ToolCall) -> bool:
    """Without namespaces and without root there is nobody to become: sudo says who it is."""
    return call.environment.get("SUDO_UID") == str(call.uid) and "SUDO_COMMAND" in call.environment
