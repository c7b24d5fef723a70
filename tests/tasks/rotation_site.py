"""A site of the lab whose pull secrets are in two namespaces, with somebody who pulls there."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fleet.cluster_objects import SecretView
from fleet.outcomes import SiteEndpoint
from fleet.pull_secrets import read_password, staging_name
from fleet.sites import PullSecrets
from tasks.pull_secrets import deliver_pull_secrets
from tests.flows.pull_load import PullLoad, pulling
from tests.tasks.rotation_process import Which
from tests.tasks.rotation_runs import Rotations
from tests.tasks.site_bench import REPOSITORIES, LabSites, SiteBench
from tests.waiting import wait_until

WANTED = PullSecrets(namespaces=("default",), namespace_labels={"team": "blue"})
NAMES = ("default", "bridge")


@dataclass
class RotationSite:
    """One site, its rotations, and the pulls there so far."""

    bench: SiteBench
    endpoint: SiteEndpoint
    rotations: Rotations
    load: PullLoad

    def secret(self, namespace: str = "default") -> SecretView | None:
        """Return a namespace's pull secret."""
        return self.bench.session.cluster.find_secret(namespace, "acrfleet-pull")

    def password(self, namespace: str = "default") -> str:
        """Return the password that a namespace's pull secret holds."""
        found = self.secret(namespace)
        password = read_password(found, self.token) if found else None
        assert password is not None, f"no password in {namespace}"
        return password.get_secret_value()

    @property
    def token(self) -> str:
        """Return the name of the client token."""
        return self.bench.site.names.client_token

    def slots(self) -> set[str]:
        """Return which slots of the client token hold a password in Azure."""
        state = self.bench.cloud.access.read_token(self.token)
        assert state is not None
        return set(state.slots)

    def in_use(self) -> str:
        """Return what is rolled: the password in the pull secrets."""
        return self.password()

    def assert_safe(self) -> None:
        """See that what is in use works at this moment, and that no pull has failed so far."""
        self.assert_every_password_works()
        assert self.load.failures == []

    def assert_every_password_works(self) -> None:
        """Ask the site's registry whether it takes what each pull secret holds at this moment."""
        scope = f"repository:{REPOSITORIES[0]}:pull"
        with self.bench.session.open_registry(self.endpoint) as registry:
            challenge = registry.read_challenge()
            for found in filter(None, map(self.secret, NAMES)):
                password = read_password(found, self.token)
                assert password is not None
                token = registry.fetch_token(challenge, self.token, password, scope)
                assert token is not None, f"{found.meta.namespace}: its password is refused"

    def assert_at_rest(self) -> None:
        """See one password, the same everywhere, in Azure and in the pull secrets."""
        self.assert_every_password_works()
        found = [self.secret(name) for name in NAMES]
        assert len({self.password(one.meta.namespace) for one in found if one}) == 1
        assert self.slots() == {one.meta.annotations["acrfleet/slot"] for one in found if one}
        cluster, namespace = self.bench.session.cluster, self.bench.site.chart.namespace
        assert cluster.find_secret(namespace, staging_name(self.bench.site)) is None


@contextmanager
def rotation_site(
    sites: LabSites, which: Which = "client", rest: float = 0.2, **changes: Any
) -> Iterator[RotationSite]:
    """Bring the lab's next site to where a rotation begins; no pull may fail until the end.

    Args:
        sites: The lab.
        which: Which of its passwords is rolled.
        rest: Seconds between two pulls.
        **changes: Fields of the site that are other than usual.
    """
    with sites.next_site() as bench:
        endpoint = bench.bring_online()
        bench.configure(endpoint)
        bench.session.cluster.create_namespace("bridge", {"team": "blue"})
        session = bench.with_site(pull_secrets=WANTED)
        deliver_pull_secrets.fn(session, endpoint, bench.login_server, REPOSITORIES)
        rules = bench.site.rotation.model_copy(update={"grace": timedelta()})
        fields = {"patience": bench.site.patience, "rotation": rules, "pull_secrets": WANTED}
        rotations = Rotations(bench.lab, bench.site.name, fields | changes, which)
        with pulling(bench.lab, bench.site.name, rest=rest) as load:
            yield RotationSite(bench, endpoint, rotations, load)
        assert load.failures == []
        assert load.pulls > 0


@dataclass
class SharedSites:
    """A lab whose sites are used again by the next test, unless one left something behind."""

    lab: LabSites
    stack: ExitStack
    current: RotationSite | None = None

    @contextmanager
    def handed_out(self) -> Iterator[RotationSite]:
        """Hand out a site at rest, where somebody pulls all the time; no pull may fail."""
        site = self.current or self.stack.enter_context(rotation_site(self.lab))
        self.current, pulls = None, site.load.pulls
        yield site
        site.bench.lab.call(site.bench.lab.world.clear_faults)
        wait_until(lambda: site.load.pulls > pulls or bool(site.load.failures))
        assert site.load.failures == []
        site.assert_at_rest()
        self.current = site
