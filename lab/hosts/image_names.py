"""What an image name means, and where containerd looks for it.

Sources: containerd docs/hosts.md and core/remotes/docker/config; distribution/reference.
"""

import base64
import re
from dataclasses import dataclass, field


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
    """One endpoint to try: the API's base URL and what hosts.toml says of it.

    Attributes:
        url: Base URL, /v2 included.
        rewrites: Pattern -> replacement for repository names.
        is_default: Whether it is the image's own host.
        authorities: PEM texts of certificates that it trusts, too.
        skip_verify: Whether any certificate is good enough.
        dial_timeout: Seconds for a connection; None: containerd's 30.
        may_be_plain: Whether an endpoint that speaks no TLS is asked in plain http.
    """

    url: str
    rewrites: dict[str, str] = field(default_factory=dict)
    is_default: bool = False
    authorities: tuple[str, ...] = ()
    skip_verify: bool = False
    dial_timeout: float | None = None
    may_be_plain: bool = False

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


def decode_credentials(encoded: str) -> Credentials:
    """Read the base64 of user:password; ValueError when it is none."""
    user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    return Credentials(user, password)
