"""The image that somebody asks about, in any of the spellings that people have at hand."""

import re
from typing import Literal

from fleet.errors import FleetError
from fleet.strict import Strict

_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
)
_TAG = re.compile(r"\w[\w.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Kind = Literal["cloud", "site", "other"]


class ImageNameError(FleetError):
    """Write the image as REPOSITORY:TAG or REPOSITORY@DIGEST, with a host before it or without."""


class AskedImage(Strict):
    """An image: `host` is empty where none was written, `tag` where there is a digest."""

    repository: str
    tag: str = ""
    digest: str = ""
    host: str = ""

    @property
    def reference(self) -> str:
        """Return what names the manifest: the digest, or the tag."""
        return self.digest or self.tag

    @property
    def short(self) -> str:
        """Return the image without a host."""
        return f"{self.repository}{'@' if self.digest else ':'}{self.reference}"

    def under(self, host: str) -> str:
        """Return the image's name on a host, as a node or a pod would write it."""
        return f"{host}/{self.short}"

    def kind(self, login_server: str, site_host: str) -> Kind:
        """Return which registry the name leads to.

        Args:
            login_server: The cloud registry's; empty: not known.
            site_host: `address:port` of the site's; empty: not known.
        """
        if self.host in ("", login_server.lower()):
            return "cloud"
        if self.host == site_host.lower() or f"{self.host}:80" == site_host.lower():
            return "site"
        return "other"


def parse_image(text: str) -> AskedImage:
    """Read `repo:tag`, `repo@sha256:...`, and both with a host; no tag means latest.

    Raises:
        ImageNameError: It is no image name.
    """
    name, at, digest = text.strip().partition("@")
    first, slash, rest = name.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    host, path = (first.lower(), rest) if is_host else ("", name)
    repository, colon, tag = path.partition(":")
    wrong = (
        not _REPOSITORY.fullmatch(repository)
        or (at and not _DIGEST.fullmatch(digest))
        or (colon and not _TAG.fullmatch(tag))
    )
    if wrong:
        raise ImageNameError(
            f"{text!r} is not the name of an image. Write REPOSITORY:TAG or REPOSITORY@sha256:..., "
            "in lower case, with the cloud registry's or the site's address before it or without."
        )
    return AskedImage(
        repository=repository,
        tag="" if digest else tag or "latest",
        digest=digest,
        host=host,
    )
