"""`ctr` on a host, as far as operators' scripts need it: pulls under way, a pull, a list.

Source: containerd cmd/ctr. Unlike the kubelet it reads no certs.d but the one of `--hosts-dir`, and
it needs no right but root's.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from lab.hosts.arguments import Arguments, UsageError
from lab.hosts.cri_endpoint import USUAL_SOCKET
from lab.hosts.distributions import Distribution
from lab.hosts.folder import resolve
from lab.hosts.hosts_files import Reader, sources
from lab.hosts.image_names import Credentials, PullError
from lab.hosts.image_pull import Download, ImagePuller
from lab.hosts.stand_ins import Reply, ToolCall

_GLOBAL_VALUES = {
    "-a": "address", "--address": "address", "-n": "namespace", "--namespace": "namespace",
    "--timeout": "timeout", "--connect-timeout": "timeout",
}  # fmt: skip
_GLOBAL_FLAGS = {"--debug": "debug", "-v": "version", "--version": "version"}
_PULL_VALUES = {
    "--hosts-dir": "hosts", "-u": "user", "--user": "user", "--platform": "platform",
    "--snapshotter": "snapshotter",
}  # fmt: skip
_PULL_FLAGS = {
    "-k": "insecure", "--skip-verify": "insecure", "--plain-http": "plain", "--local": "local",
    "--all-platforms": "all",
}  # fmt: skip
_NAMESPACE = "k8s.io"


class Ctr:
    """Answers `ctr` for one host."""

    def __init__(
        self,
        root: Path,
        distribution: Distribution,
        puller: ImagePuller,
        pulls: Callable[[], list[Download]],
    ) -> None:
        """Pull with `puller`; `pulls` tells the images that are being pulled."""
        self._root = root
        self._distribution = distribution
        self._puller = puller
        self._pulls = pulls
        self._is_running = False

    def set_running(self, running: bool) -> None:
        """Follow containerd."""
        self._is_running = running

    async def run(
        self, call: ToolCall, arguments: list[str], *, root: bool, bundled: bool
    ) -> Reply:
        """Run one command line; a `bundled` one (`k3s ctr`) knows its socket and namespace."""
        try:
            asked = Arguments(arguments, _GLOBAL_VALUES, _GLOBAL_FLAGS, stop_at_word=True)
            default = self._distribution.socket if bundled else USUAL_SOCKET
            socket = asked.last("address") or call.environment.get("CONTAINERD_ADDRESS", default)
            refused = self._refusal(socket.removeprefix("unix://"), root=root)
            if refused:
                return Reply(stderr=f'ctr: failed to dial "{socket}": {refused}\n', exit=1)
            usual = _NAMESPACE if bundled else "default"
            namespace = asked.last("namespace") or call.environment.get(
                "CONTAINERD_NAMESPACE", usual
            )
            return await self._command(asked.words, in_kubernetes=namespace == _NAMESPACE)
        except UsageError as error:
            return Reply(stderr=f"ctr: {error}\n", exit=1)

    def _refusal(self, socket: str, *, root: bool) -> str:
        """Return why there is no connection; "" when there is one."""
        failed = f"connection error: dial unix {socket}: connect: "
        if socket.removeprefix(str(self._root)) != self._distribution.socket:
            return failed + "no such file or directory"
        if not root:
            return failed + "permission denied"
        return "" if self._is_running else failed + "connection refused"

    async def _command(self, words: list[str], *, in_kubernetes: bool) -> Reply:
        names = {"c": "content", "i": "images", "image": "images", "ls": "list", "fetch": "pull"}
        group, action, *rest = [*(names.get(word, word) for word in words[:2]), *words[2:], "", ""]
        rest = [word for word in rest if word]
        if group == "version":
            number = ".".join(str(part) for part in self._distribution.containerd)
            return Reply(f"Client:\n  Version:  v{number}\n\nServer:\n  Version:  v{number}\n")
        if (group, action) == ("content", "active"):
            return _active(self._pulls() if in_kubernetes else [])
        if (group, action) == ("images", "list"):
            return self._list(rest, in_kubernetes=in_kubernetes)
        if (group, action) == ("images", "pull"):
            return await self._pull(rest)
        return Reply(stderr=f"ctr {' '.join(words)}: the lab's hosts do not have this\n", exit=1)

    def _list(self, words: list[str], *, in_kubernetes: bool) -> Reply:
        asked = Arguments(words, {}, {"-q": "quiet", "--quiet": "quiet"})
        found = self._puller.images.values() if in_kubernetes else ()
        head = "" if asked.has("quiet") else "REF TYPE DIGEST SIZE PLATFORMS LABELS\n"
        kind = "application/vnd.oci.image.manifest.v1+json"
        lines = [
            f"{image.reference}\n"
            if asked.has("quiet")
            else f"{image.reference} {kind} {image.digest} {image.size} B linux/amd64 -\n"
            for image in found
        ]
        return Reply(head + "".join(lines))

    async def _pull(self, words: list[str]) -> Reply:
        asked = Arguments(words, _PULL_VALUES, _PULL_FLAGS)
        if not asked.words:
            return Reply(stderr="ctr: please provide an image reference to pull\n", exit=1)
        user, _, password = (asked.last("user") or "").partition(":")
        given = Credentials(user, password) if user else None
        hosts = (asked.last("hosts") or "/nowhere").removeprefix(str(self._root))
        reader = Reader(self._root, self._distribution.containerd)
        try:
            image = await self._puller.pull(
                asked.words[0],
                lambda host: sources(resolve(self._root, hosts), host, reader),
                lambda host: given,
            )
        except PullError as error:
            text = str(error).partition(": ")[2] if "unpack image" in str(error) else str(error)
            return Reply(stderr=f"ctr: {text}\n", exit=1)
        return Reply(f"{image.reference}: resolved\nunpacking linux/amd64 {image.digest}...\n")


def _active(pulls: list[Download]) -> Reply:
    """List a layer of made-up digest per pull; a megabyte of it comes each second unless it hangs.

    Layout: containerd cmd/ctr/commands/content/content.go (seen with 1.6.20): columns end at tab
    stops, sizes have four digits.
    """
    rows = [("REF", "SIZE", "AGE")]
    for pull in pulls:
        digest = hashlib.sha256(pull.name.encode()).hexdigest()
        seconds = 0.0 if pull.since is None else time.monotonic() - pull.since
        age = f"{seconds:.0f} seconds"
        rows.append((f"layer-sha256:{digest}", f"{1 + seconds:.4g}MB", age))
    stops = [max(len(cell) for cell in column) // 8 + 1 for column in zip(*rows, strict=True)]
    lines = [
        "".join(
            cell + "\t" * (stop - len(cell) // 8) for cell, stop in zip(row, stops, strict=True)
        )
        for row in rows
    ]
    return Reply("".join(f"{line}\n" for line in lines))
