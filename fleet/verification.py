"""The proof that images pull at a site from its own registry: a ladder of rungs, and the evidence.

Each rung depends on the one before, so the first that fails says where to look
(facts/edge-hosts.md §6.2). Evidence holds no secret and goes into the site's record.
"""

from datetime import datetime
from enum import StrEnum

from fleet.outcomes import SiteEndpoint
from fleet.sites import Strict


class ProbeImage(Strict):
    """The image that proves a site: what Azure serves under this tag has this digest."""

    repository: str
    tag: str
    digest: str

    def under(self, host: str) -> str:
        """Return the image's name on a host, as a node or a pod would write it."""
        return f"{host}/{self.repository}:{self.tag}"


class RungName(StrEnum):
    """The rungs in the order in which they are climbed."""

    PORT = "port reachable"
    CERTIFICATE = "certificate trusted"
    REGISTRY = "registry answers"
    TOKEN = "token issued"  # noqa: S105 - what is proven, not a token
    MANIFEST = "manifest found"
    DIGEST = "digest as in Azure"
    PULL_SITE = "pull by the site's address"
    PULL_MIRROR = "pull by the cloud's name"


class Rung(Strict):
    """One rung that held: from where it was tried, what was seen, how long it took."""

    name: RungName
    node: str | None = None
    seen: str = ""
    seconds: float

    def __str__(self) -> str:
        """Say it in one line."""
        where = f" from {self.node}" if self.node else ""
        seen = f": {self.seen}" if self.seen else ""
        return f"{self.name}{where}{seen} ({self.seconds:.1f} s)"


class NodeEvidence(Strict):
    """One node that pulled the image, under both names."""

    name: str
    version: str = ""


class Evidence(Strict):
    """What was proven, when (UTC) and with which versions."""

    time: datetime
    endpoint: SiteEndpoint
    login_server: str
    image: ProbeImage
    rungs: tuple[Rung, ...]
    nodes: tuple[NodeEvidence, ...]
    cluster_version: str = ""
    registry_version: str = ""

    @property
    def seconds(self) -> float:
        """Return how long the whole ladder took."""
        return sum(rung.seconds for rung in self.rungs)


def explain_pull_failure(text: str) -> str:
    """Return what usually lies behind a failed pull, or an empty text for an unknown symptom.

    The symptoms are those of facts/edge-hosts.md §6.2b.
    """
    for sign, cause in _SYMPTOMS:
        if sign in text:
            return cause
    return ""


_SYMPTOMS = (
    (
        "server gave HTTP response to HTTPS client",
        "registries.yaml has no http:// endpoint for this name; see containerd.log for more",
    ),
    (
        "no basic auth credentials",
        "the credentials are for another host or port than the image's name",
    ),
    (
        "failed to fetch anonymous token",
        "no credentials were sent: the pull secret is absent or has expired",
    ),
    ("no such host", "the node's resolver does not know this name; use the Service's address"),
    ("certificate signed by unknown authority", "the node does not trust the registry's CA"),
    ("doesn't contain any IP SANs", "the registry's certificate does not name its address"),
    ("certificate is valid for", "the registry's certificate does not name its address"),
    ("certificate has expired", "the registry's certificate or its CA has expired"),
    ("text/html", "a path in the endpoint replaces the API root; use a rewrite instead"),
    ("not found", "the repository is not in the sync scope, or not synced yet"),
    ("connection refused", "nothing listens at the endpoint: the registry's pod is not ready"),
    ("i/o timeout", "packets to the endpoint are dropped: a firewall, or kube-proxy is not up"),
)
