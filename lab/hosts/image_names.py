"""What an image name means, and where containerd looks for it.

Sources: containerd docs/hosts.md and core/remotes/docker/config; distribution/reference.
"""

import base64
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class PullError(Exception):
    """The image could not be pulled; `code` is gRPC's."""

    def __init__(self, text: str, *, code: str = "Unknown") -> None:
        """Keep containerd's words."""
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Reference:
    """An image name in full: host, repository, and tag or digest."""

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read an image name as Docker does: no host means docker.io, no tag means latest.

        Raises:
            PullError: The name is none.
        """
        name, _, digest = text.partition("@")
        first, slash, rest = name.partition("/")
        is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
        host, path = (first, rest) if is_host else ("docker.io", name)
        repository, _, tag = path.partition(":")
        if host == "docker.io" and "/" not in repository:
            repository = f"library/{repository}"
        if not re.fullmatch(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*", repository):
            raise PullError(f'failed to parse reference "{text}": invalid reference format')
        return cls(host, repository, "" if digest else tag or "latest", digest)

    def __str__(self) -> str:
        """Return the name in full."""
        end = f"@{self.digest}" if self.digest else f":{self.tag}"
        return f"{self.host}/{self.repository}{end}"


@dataclass(frozen=True)
class Image:
    """An image on the node."""

    reference: str
    digest: str
    image_id: str
    size: int
    endpoint: str


@dataclass(frozen=True)
class Source:
    """One endpoint to try: the API's base URL and what hosts.toml says of it."""

    url: str
    rewrites: dict[str, str] = field(default_factory=dict)
    is_default: bool = False

    def repository(self, name: str) -> str:
        """Return the repository's name at this endpoint, by the first pattern that matches."""
        for pattern, replacement in self.rewrites.items():
            if re.search(pattern, name):
                return re.sub(pattern, re.sub(r"\$(\d)", r"\\\1", replacement), name, count=1)
        return name


@dataclass(frozen=True)
class Credentials:
    """What to log in with; never printed."""

    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """Return the Basic authorization."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def sources(certs_folder: Path, host: str, *, falls_back: bool = True) -> list[Source]:
    """Return where to pull a host's images from, in containerd's order.

    Args:
        certs_folder: containerd's certs.d.
        host: The image's host and port.
        falls_back: Whether the host itself comes last where its file names no server.

    Raises:
        PullError: The host's hosts.toml cannot be read.
    """
    own = "registry-1.docker.io" if host == "docker.io" else host
    default = Source(f"https://{own}/v2", is_default=True)
    for name in (host.replace(":", "_") + "_" if ":" in host else host, host, "_default"):
        path = certs_folder / name / "hosts.toml"
        if path.is_file():
            return _read_sources(path.read_text(), default if falls_back else None)
    return [default]


def _read_sources(text: str, default: Source | None) -> list[Source]:
    try:
        content: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PullError(f"invalid hosts.toml: toml: {error}") from None
    found = [
        Source(_with_api(url, entry), entry.get("rewrite", {}))
        for url, entry in content.get("host", {}).items()
    ]
    if "server" not in content:
        return [*found, default] if default else found
    server = Source(_with_api(content["server"], content), content.get("rewrite", {}), True)
    return [*found, server]


def _with_api(url: str, entry: dict[str, Any]) -> str:
    url = url if "://" in url else f"https://{url}"
    url = url.rstrip("/")
    return url if entry.get("override_path") or url.endswith("/v2") else f"{url}/v2"
