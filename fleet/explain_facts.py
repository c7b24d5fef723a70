"""What was seen of a pull that fails, by those who looked; a part not seen says why.

Nothing here is decided: `fleet.explain` climbs a ladder over these facts.
"""

from datetime import datetime

from pydantic import ConfigDict, Field, SecretStr

from fleet.azure_objects import (
    ConnectedRegistryState,
    RegistryFacts,
    ScopeMapState,
    TokenState,
)
from fleet.chart_progress import Snapshot
from fleet.explain_image import AskedImage
from fleet.explain_logins import PodLogin
from fleet.node_facts import NodeFacts
from fleet.outcomes import SiteEndpoint
from fleet.passwords import PasswordMark
from fleet.sites import AcrRegistry, Node, Site
from fleet.strict import Strict


class Unread(Strict):
    """Something that could not be looked at, and why, in words without a secret."""

    why: str


class _Seen(Strict):
    model_config = ConfigDict(arbitrary_types_allowed=True)


class AzureSeen(_Seen):
    """What Azure says.

    Attributes:
        now: Azure's own time, UTC.
        image: The digest that Azure serves; None: it has no such image.
        lets_in: Whether it takes the pull secret's password; None: not asked.
    """

    now: datetime
    registry: RegistryFacts
    connected: ConnectedRegistryState | None = None
    sync_map: ScopeMapState | None = None
    sync_token: TokenState | None = None
    client_map: ScopeMapState | None = None
    client_token: TokenState | None = None
    image: str | Unread | None = None
    lets_in: bool | None = None


class WaitingPod(Strict):
    """A pod that waits for the image, with the kubelet's reason and words."""

    name: str
    reason: str
    words: str = ""


class ClusterSeen(_Seen):
    """What the site's cluster says.

    Attributes:
        version: The API server's.
        snapshot: How far the registry's chart is.
        endpoint: Where the registry answers, or what is missing for that.
        logins: What pods would log in with, by namespace and service account.
        mark: Which password the pull secret says it holds.
        renewed: Namespaces whose pull secret is younger than pods that use it.
        waiting: Pods that wait for the image.
    """

    version: str = ""
    snapshot: Snapshot = Snapshot()
    endpoint: SiteEndpoint | str = ""
    logins: tuple[PodLogin, ...] = ()
    mark: PasswordMark | None = None
    renewed: tuple[str, ...] = ()
    waiting: tuple[WaitingPod, ...] = ()


class RegistrySeen(Strict):
    """What the site's own registry answers to the pull secret's login.

    Attributes:
        silent: Why it does not answer as a registry; empty: it does.
        certificate: Why its certificate is not accepted; empty: it is, or there is none.
        let_in: Whether it takes the password; None: not asked.
        may_pull: Whether it grants that user this repository; None: not asked.
        digest: What it serves for the image; None: nothing.
        platforms: For which platforms that is, as `linux/amd64`; empty: not known.
    """

    silent: str = ""
    certificate: str = ""
    let_in: bool | None = None
    may_pull: bool | None = None
    digest: str | None = None
    platforms: tuple[str, ...] = ()

    @property
    def serves(self) -> bool:
        """Return whether a pod's login gets the image here."""
        return self.digest is not None


class Pull(Strict):
    """One pull tried on a node by its containerd, as a pod there would."""

    name: str
    ok: bool
    words: str = ""
    seconds: float = 0.0


class NodeSeen(_Seen):
    """What one node shows.

    Attributes:
        facts: Its machine.
        journal: The unit's last words, where it does not run.
        closed: Why the registry's port is not reached from it; empty: it is; None: not tried.
        dead: Other endpoints of our mirrors that take no connection, with the reason.
        cached: Whether it holds the image already; None: not looked.
        log: What containerd logged of endpoints that failed, newest last.
        by_cloud, by_site: Pulls by the cloud's name and by the site's address; None: not tried.
    """

    node: Node
    facts: NodeFacts | Unread
    journal: str = ""
    closed: str | None = None
    dead: dict[str, str] = Field(default_factory=dict)
    cached: bool | None = None
    log: tuple[str, ...] = ()
    by_cloud: Pull | None = None
    by_site: Pull | None = None

    @property
    def pulls(self) -> tuple[Pull, ...]:
        """Return the pulls that were tried."""
        return tuple(one for one in (self.by_cloud, self.by_site) if one)

    @property
    def works(self) -> bool:
        """Return whether all pulls that were tried worked, and some were."""
        return bool(self.pulls) and all(one.ok for one in self.pulls)


class Seen(_Seen):
    """Everything that was seen of one image at one site.

    `login_server` is the cloud registry's name, empty where nobody could tell.
    """

    site: Site
    registry: AcrRegistry
    fleet_file: str
    image: AskedImage
    login_server: str = ""
    azure: AzureSeen | Unread
    cluster: ClusterSeen | Unread
    answers: RegistrySeen | Unread
    nodes: tuple[NodeSeen, ...] = ()
    ca: str | Unread | None = None

    @property
    def endpoint(self) -> SiteEndpoint | None:
        """Return where the site's registry answers, if that is known."""
        found = self.cluster.endpoint if isinstance(self.cluster, ClusterSeen) else None
        return found if isinstance(found, SiteEndpoint) else None

    @property
    def site_serves(self) -> bool:
        """Return whether the site's registry was seen to serve the image to a pod's login."""
        return isinstance(self.answers, RegistrySeen) and self.answers.serves

    @property
    def login(self) -> PodLogin | None:
        """Return the first login, a broken one before others."""
        logins = self.cluster.logins if isinstance(self.cluster, ClusterSeen) else ()
        return next((one for one in logins if one.problem), logins[0] if logins else None)


def secret_of(login: PodLogin | None) -> tuple[str, SecretStr]:
    """Return user and password of a login; both empty where pods have none."""
    if login is None or login.password is None:
        return "", SecretStr("")
    return login.user, login.password
