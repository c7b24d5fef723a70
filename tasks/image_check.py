"""Compare what Azure has under each tag with what a site's registry holds. Nothing is changed."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prefect import task
from pydantic import SecretStr

from clients.site_registry import Challenge, SiteRegistry
from fleet.freshness import CloudTags, Image, SiteImages, compare, doubtful, newest, not_in_azure
from fleet.outcomes import SiteEndpoint
from fleet.pull_errors import SiteTokenRefusedError
from tasks.azure_limits import azure_slot
from tasks.policy import READ, Policy
from tasks.run_log import say
from tasks.sessions import RegistrySession, SiteSession
from tasks.site_facts import read_pull_password

_SLOW: Policy = {**READ, "timeout_seconds": 3600}


class CloudTagLists:
    """The tags of the registries in Azure, each repository read once per run by the first site.

    A site that seems to be behind, or to hold what is gone, may only know more than that reading;
    so it has the repository read anew before anybody is told.
    """

    def __init__(self) -> None:
        """Start with nothing read."""
        self._guard = threading.Lock()
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._found: dict[tuple[str, str], CloudTags] = {}

    def of(self, cloud: RegistrySession, repository: str, *, anew: bool = False) -> CloudTags:
        """Return the tags of a repository; `anew`: not those of an earlier reading."""
        key = (cloud.registry.key, repository)
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if anew or key not in self._found:
                with azure_slot(cloud.registry):
                    self._found[key] = cloud.catalog.list_newest_tags(repository)
            return self._found[key]


@task(name="compare images", task_run_name="compare images at {session.site.name}", **_SLOW)
def compare_images(
    session: SiteSession,
    endpoint: SiteEndpoint,
    lists: CloudTagLists,
    repositories: tuple[str, ...],
    count: int,
) -> SiteImages:
    """Return how fresh a site's images are, and which its pods run.

    Args:
        session: The site.
        endpoint: Where its registry answers.
        lists: The tags in Azure.
        repositories: What the site mirrors.
        count: How many tags of each repository are compared, the newest first.

    Raises:
        SiteTokenRefusedError: The site's registry takes the pull secret for none of them.
        SiteRegistryUnreachableError, SiteRegistrySilentError, SiteCertificateError: It does not
            answer as it should.
    """
    cloud = {name: lists.of(session.cloud, name) for name in repositories}
    with session.open_registry(endpoint) as registry:
        login = _Login(session.site.names.client_token, read_pull_password(session))
        look = _Look(registry, registry.read_challenge(), login)
        for name, tags in cloud.items():
            look.at(name, tags, count)
        for name in doubtful(look.compare(cloud, count)):
            tags = lists.of(session.cloud, name, anew=True)
            if tags != cloud[name]:
                cloud[name] = tags
                look.at(name, tags, count)
    if repositories and len(look.refused) == len(repositories):
        raise SiteTokenRefusedError(
            f"The registry of {session.site.name} refuses the password in the pull secret for "
            f"{login.user}. Run the onboarding: it finds out whether the password is still the one "
            "in Azure and whether the site knows it."
        )
    images = look.compare(cloud, count)
    say(f"compared {len(images)} images of {len(repositories)} repositories")
    return SiteImages(
        fleet=session.site.fleet,
        site=session.site.name,
        checked_at=datetime.now(UTC),
        images=images,
        running=session.cluster.list_running_images(),
    )


@dataclass(frozen=True)
class _Login:
    user: str
    password: SecretStr


@dataclass
class _Look:
    """One look at a site's registry, repository by repository, and what was seen so far."""

    registry: SiteRegistry
    challenge: Challenge
    login: _Login
    held: dict[str, Mapping[str, str]] = field(default_factory=dict)
    left: dict[str, Sequence[str]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def compare(self, cloud: Mapping[str, CloudTags], count: int) -> tuple[Image, ...]:
        """Compare what was seen with the newest tags of Azure."""
        tags = {name: newest(found, count) for name, found in cloud.items()}
        return compare(tags, self.held, self.left)

    def at(self, repository: str, cloud: CloudTags, count: int) -> None:
        """See which of the newest tags the site holds, and which that Azure has no more."""
        scope = f"repository:{repository}:pull,metadata_read"
        token = self.registry.fetch_token(
            self.challenge, self.login.user, self.login.password, scope
        )
        if token is None:
            self.refused.add(repository)
            return
        here = self.registry.list_tags(repository, token)
        self.left[repository] = not_in_azure(here or (), cloud)
        wanted = [tag.tag for tag in newest(cloud, count) if here is None or tag.tag in here]
        digests = {
            tag: self.registry.find_digest(repository, tag, token, checked=False)
            for tag in (*wanted, *self.left[repository])
        }
        self.held[repository] = {tag: found for tag, found in digests.items() if found}
