"""`crictl` on a host."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from lab.clock import Clock
from lab.faults import Fault
from lab.hosts.arguments import Arguments, UsageError
from lab.hosts.cri_endpoint import cri_socket, no_connection
from lab.hosts.distributions import Distribution
from lab.hosts.image_names import Credentials, Image, PullError, decode_credentials
from lab.hosts.image_pull import Download, ImagePuller
from lab.hosts.node import Node
from lab.hosts.stand_ins import Reply, ToolCall

_PULL_VALUES = {
    "--creds": "creds", "--auth": "auth", "-u": "user", "--username": "user", "-a": "annotation",
    "--annotation": "annotation", "--pod-config": "pod", "--pull-timeout": "timeout",
}  # fmt: skip
_LIST_VALUES = {"-o": "output", "--output": "output"}
_LIST_FLAGS = {
    "-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--digests": "digests",
    "--no-trunc": "full",
}  # fmt: skip
_GLOBAL_VALUES = {
    "-r": "runtime", "--runtime-endpoint": "runtime", "-i": "image", "--image-endpoint": "image",
    "-t": "timeout", "--timeout": "timeout", "-c": "config", "--config": "config",
}  # fmt: skip
_GLOBAL_FLAGS = {"-D": "debug", "--debug": "debug", "-v": "version", "--version": "version"}
_NOT_HERE = (
    "{tool}: the lab's hosts do not have this; use the Kubernetes API through the SSH tunnel\n"
)


class Crictl:
    """Answers `crictl`."""

    def __init__(
        self, root: Path, distribution: Distribution, clock: Clock, node: Node, puller: ImagePuller
    ) -> None:
        """Serve one node, whose containerd does not run yet.

        Attributes to set: `take_faults` for the operation `pull IMAGE` (latency, hang) and
        `on_new_image`, which hears of each image that the node did not have.
        """
        self.take_faults: Callable[[str], list[Fault]] = lambda _: []
        self.on_new_image: Callable[[str], None] = lambda _: None
        self._root = root
        self._distribution = distribution
        self._clock = clock
        self._node = node
        self._puller = puller
        self._is_running = False
        self._pulls: dict[asyncio.Task[Image], Download] = {}

    def pulls(self) -> list[Download]:
        """Return the images that are being pulled."""
        return list(self._pulls.values())

    def set_running(self, running: bool) -> None:
        """Follow K3s: its containerd answers while it runs; pulls under way end with it."""
        self._is_running = running
        if not running:
            for pull in list(self._pulls):
                pull.cancel()

    async def run(
        self, call: ToolCall, arguments: list[str], *, root: bool, bundled: bool
    ) -> Reply:
        """Answer `crictl ...`, root's alone, and only while containerd runs.

        A `bundled` one (`k3s crictl`) knows its socket, another looks where crictl always looks.
        """
        try:
            asked = Arguments(arguments, _GLOBAL_VALUES, _GLOBAL_FLAGS, stop_at_word=True)
            if asked.has("version"):
                version = self._distribution.version.replace("+", "-")
                return Reply(f"crictl version {version}\n")
            own = self._distribution.socket
            socket = cri_socket(asked, call.environment, self._root, own if bundled else None)
            reason = self._refusal(socket, root=root)
            if reason:
                return Reply(stderr=no_connection(socket, reason), exit=1)
            return await self._command(call, asked.words)
        except UsageError as error:
            return Reply(stderr=f"FATA[0000] {error}\n", exit=1)

    def _refusal(self, socket: str, *, root: bool) -> str:
        if socket != self._distribution.socket:
            return "no such file or directory"
        if not root:
            return "permission denied"
        return "" if self._is_running else "connection refused"

    async def _command(self, call: ToolCall, words: list[str]) -> Reply:
        name, *rest = words or ["help"]
        commands: dict[str, Callable[[ToolCall, list[str]], Awaitable[Reply]]] = {
            "pull": self._pull,
            "images": self._images,
            "image": self._images,
            "img": self._images,
            "inspecti": self._inspect,
            "rmi": self._remove,
            "info": self._info,
            "version": self._show_version,
        }
        if name not in commands:
            return Reply(stderr=_NOT_HERE.format(tool=f"crictl {name}"), exit=1)
        return await commands[name](call, rest)

    async def _pull(self, call: ToolCall, arguments: list[str]) -> Reply:
        asked = Arguments(arguments, _PULL_VALUES, {})
        if len(asked.words) != 1:
            return Reply(stderr="FATA[0000] image cannot be empty\n", exit=1)
        if asked.has("user"):
            return Reply(stderr="FATA[0000] inappropriate ioctl for device\n", exit=1)
        given = _given_credentials(asked, call.environment)
        name = asked.words[0]

        def credentials_for(host: str) -> Credentials | None:
            return given or self._node.credentials(host)

        known = set(self._puller.images.values())
        try:
            image = await self._pull_while_running(name, credentials_for)
        except PullError as error:
            return _pull_failed(name, error, self._clock.now())
        if image not in known:
            self.on_new_image(image.reference)
        return Reply(f"Image is up to date for {image.image_id}\n")

    async def _pull_while_running(
        self, name: str, credentials_for: Callable[[str], Credentials | None]
    ) -> Image:
        pull = asyncio.create_task(self._pull_with_faults(name, credentials_for))
        self._pulls[pull] = Download(name, time.monotonic())
        try:
            await asyncio.wait([pull])
            if pull.cancelled():
                raise PullError("error reading from server: EOF", code="Unavailable")
            return await pull
        finally:
            self._pulls.pop(pull, None)
            pull.cancel()

    async def _pull_with_faults(
        self, name: str, credentials_for: Callable[[str], Credentials | None]
    ) -> Image:
        for fault in self.take_faults(f"pull {name}"):
            if fault.kind == "hang":
                self._pulls = {
                    pull: download._replace(since=None) if download.name == name else download
                    for pull, download in self._pulls.items()
                }
                await asyncio.Event().wait()
            await asyncio.sleep(fault.seconds if fault.kind == "latency" else 0)
        return await self._puller.pull(name, self._node.sources, credentials_for)

    async def _images(self, call: ToolCall, arguments: list[str]) -> Reply:
        asked = Arguments(arguments, _LIST_VALUES, _LIST_FLAGS)
        found = [image for image in self._puller.images.values() if _matches(image, asked.words)]
        if asked.last("output") == "json":
            return Reply(
                json.dumps({"images": [_describe(image) for image in found]}, indent=2) + "\n"
            )
        if asked.has("quiet"):
            return Reply("".join(f"{image.image_id}\n" for image in found))
        rows = [("IMAGE", "TAG", "IMAGE ID", "SIZE")]
        for image in found:
            name, _, tag = image.reference.rpartition(":")
            rows.append((name, tag, image.image_id.removeprefix("sha256:")[:13], f"{image.size}B"))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
        return Reply("".join(f"{line.rstrip()}\n" for line in lines))

    async def _inspect(self, call: ToolCall, arguments: list[str]) -> Reply:
        asked = Arguments(arguments, _LIST_VALUES, _LIST_FLAGS)
        found = [image for image in self._puller.images.values() if _matches(image, asked.words)]
        if not found or not asked.words:
            return Reply(
                stderr=f'FATA[0000] no such image "{" ".join(asked.words)}" present\n', exit=1
            )
        return Reply(json.dumps({"status": _describe(found[0])}, indent=2) + "\n")

    async def _remove(self, call: ToolCall, arguments: list[str]) -> Reply:
        asked = Arguments(arguments, {}, {**_LIST_FLAGS, "-a": "all", "--all": "all"})
        removed = [
            name
            for name, image in self._puller.images.items()
            if asked.has("all") or (asked.words and _matches(image, asked.words))
        ]
        for name in removed:
            del self._puller.images[name]
        if not removed and not asked.has("all"):
            text = f'ERRO[0000] no such image "{" ".join(asked.words)}" present\n'
            return Reply(stderr=text + "FATA[0000] unable to remove the image(s)\n", exit=1)
        return Reply("".join(f"Deleted: {name}\n" for name in removed))

    async def _info(self, call: ToolCall, arguments: list[str]) -> Reply:
        conditions = [
            {"type": kind, "status": True, "reason": "", "message": ""}
            for kind in ("RuntimeReady", "NetworkReady")
        ]
        config = {"registry": self._node.registry_settings()}
        return Reply(
            json.dumps({"status": {"conditions": conditions}, "config": config}, indent=2) + "\n"
        )

    async def _show_version(self, call: ToolCall, arguments: list[str]) -> Reply:
        number = ".".join(str(part) for part in self._distribution.containerd)
        end = "" if self._distribution.kind == "containerd" else "-k3s2"
        return Reply(
            f"Version:  0.1.0\nRuntimeName:  containerd\nRuntimeVersion:  v{number}{end}\n"
            "RuntimeApiVersion:  v1\n"
        )


def _given_credentials(asked: Arguments, environment: dict[str, str]) -> Credentials | None:
    """Return the credentials of the command line, or of crictl's own environment variables."""
    pair = asked.last("creds") or environment.get("CRICTL_CREDS")
    if pair:
        user, _, password = pair.partition(":")
        return Credentials(user, password)
    encoded = asked.last("auth") or environment.get("CRICTL_AUTH")
    return _decode(encoded) if encoded else None


def _decode(encoded: str) -> Credentials:
    try:
        return decode_credentials(encoded)
    except ValueError:
        raise UsageError("pulling image: invalid auth: illegal base64 data") from None


def _pull_failed(name: str, error: PullError, now: datetime) -> Reply:
    text = f"rpc error: code = {error.code} desc = {error}"
    logged = '"PullImage from image service failed"'
    line = f"E{now:%m%d %H:%M:%S.%f}    1 log.go:32] {logged} err={json.dumps(text)}"
    stderr = f"{line} image={json.dumps(name)}\nFATA[0000] pulling image: {text}\n"
    return Reply(stderr=stderr, exit=1)


def _matches(image: Image, words: list[str]) -> bool:
    return not words or any(
        image.image_id.removeprefix("sha256:").startswith(word.removeprefix("sha256:"))
        or image.reference == word
        or image.reference.rpartition(":")[0] == word
        for word in words
    )


def _describe(image: Image) -> dict[str, Any]:
    repository = image.reference.partition("@")[0]
    name = repository.rpartition(":")[0] if ":" in repository.rpartition("/")[2] else repository
    return {
        "id": image.image_id,
        "repoTags": [] if "@" in image.reference else [image.reference],
        "repoDigests": [f"{name}@{image.digest}"],
        "size": str(image.size),
    }
