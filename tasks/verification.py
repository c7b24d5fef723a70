"""Prove that images pull at a site from its own registry, rung by rung. Nothing is changed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from prefect import task
from pydantic import SecretStr

from clients.site_registry import SiteRegistry
from fleet.azure_objects import ConnectedRegistryState
from fleet.cluster_objects import NodeState
from fleet.errors import FleetError, WaitingForSiteError
from fleet.host_errors import PortClosedError
from fleet.outcomes import SiteEndpoint
from fleet.passwords import PasswordsInUse
from fleet.pull_errors import (
    NodePullFailedError,
    SiteImageDiffersError,
    SiteImageMissingError,
    SitePortClosedError,
    SiteTokenRefusedError,
)
from fleet.site_certificates import find_end_warning
from fleet.verification import (
    Evidence,
    NodeEvidence,
    ProbeImage,
    Rung,
    RungName,
    explain_pull_failure,
)
from tasks.azure_limits import azure_slot
from tasks.policy import WAIT
from tasks.run_log import say, warn
from tasks.sessions import SiteSession
from tasks.site_facts import find_passwords_in_use, read_pull_password
from tasks.waiting import wait_for


@task(name="verify pulls", task_run_name="verify pulls at {session.site.name}", **WAIT)
def verify_pulls(
    session: SiteSession, endpoint: SiteEndpoint, login_server: str, probe: ProbeImage
) -> Evidence:
    """Climb the ladder at one site and return the evidence.

    It changes nothing but the nodes' image caches.

    Args:
        session: The site.
        endpoint: Where its registry answers.
        login_server: The cloud registry's name, under which pods name their images.
        probe: The image, with the digest that Azure serves.

    Raises:
        WaitingForSiteError: The image is not synchronised yet.
        SitePortClosedError, SiteCertificateError, SiteSchemeError, SiteRegistrySilentError,
        SiteTokenRefusedError, SiteImageMissingError, SiteImageDiffersError, NodePullFailedError:
        The rung that does not hold.
    """
    ladder = _Ladder(session, endpoint, login_server, probe)
    return ladder.climb(session.site.patience.accepted)


@task(name="verify pulls", task_run_name="verify pulls at {session.site.name}", **WAIT)
def prove_pulls(
    session: SiteSession, endpoint: SiteEndpoint, login_server: str, probe: ProbeImage
) -> tuple[Evidence, PasswordsInUse]:
    """Do as `verify_pulls`, and find out which passwords the site holds, in one step.

    Raises:
        FleetError: As `verify_pulls` does.
    """
    ladder = _Ladder(session, endpoint, login_server, probe)
    return ladder.climb(session.site.patience.accepted), find_passwords_in_use(session)


@dataclass
class _Ladder:
    """One climb: the rungs that held so far."""

    session: SiteSession
    endpoint: SiteEndpoint
    login_server: str
    probe: ProbeImage
    rungs: list[Rung] = field(default_factory=list)

    def climb(self, patience: timedelta) -> Evidence:
        """Climb every rung; an image may take `patience` to be synchronised."""
        self.reach_port()
        self.check_registry(patience)
        self.pull_on_nodes()
        evidence, image = self.evidence(), f"{self.probe.repository}:{self.probe.tag}"
        say(f"proved {image} from {self.endpoint.url} in {evidence.seconds:.1f} s")
        return evidence

    def reach_port(self) -> None:
        """Rung 1: every node reaches the registry's address."""
        for name, node in self.session.nodes.items():
            with self._rung(RungName.PORT, name, self.endpoint.host):
                try:
                    node.host.probe(self.endpoint.address, self.endpoint.port)
                except PortClosedError as error:
                    raise SitePortClosedError(
                        f"The node {name} of {self.session.site.name} does not reach the site's "
                        f"registry at {self.endpoint.host}: {error} Look at the node's firewall, "
                        "at kube-proxy, and whether the registry's pod is ready."
                    ) from None

    def check_registry(self, patience: timedelta) -> None:
        """Rungs 2 to 5: it answers, logs in the pull secret's user and has Azure's digest."""
        user, password = self.session.site.names.client_token, read_pull_password(self.session)
        with self.session.open_registry(self.endpoint) as registry:
            self._check_certificate(registry)
            with self._rung(RungName.REGISTRY, None, self.endpoint.url):
                challenge = registry.read_challenge()
            with self._rung(RungName.TOKEN, None, user):
                scope = f"repository:{self.probe.repository}:pull"
                token = registry.fetch_token(challenge, user, password, scope)
                if token is None:
                    raise SiteTokenRefusedError(
                        f"The registry of {self.session.site.name} refuses the password in the "
                        f"pull secret for {user}. Run the onboarding: it finds out whether the "
                        "password is still the one in Azure and whether the site knows it."
                    )
            self._find_image(registry, token, patience)

    def _check_certificate(self, registry: SiteRegistry) -> None:
        """At an https site before rung 2: the CA vouches for it, it names the address, is valid."""
        if self.endpoint.scheme != "https":
            return
        with self._rung(RungName.CERTIFICATE, None, self.endpoint.host):
            shown = registry.read_certificate()
        ending = find_end_warning(shown, datetime.now(UTC)) if shown else ""
        if ending:
            site = self.session.site.name
            warn(f"the certificate of the registry of {site} {ending}; issue it again before")

    def pull_on_nodes(self) -> None:
        """Rungs 6 and 7: containerd on every node pulls it, by the address and by the name.

        By the address there is nothing to fall back to, so that pull proves where it came from.
        """
        names = {
            RungName.PULL_SITE: self.probe.under(self.endpoint.host),
            RungName.PULL_MIRROR: self.probe.under(self.login_server),
        }
        user, password = self.session.site.names.client_token, read_pull_password(self.session)
        for name, node in self.session.nodes.items():
            pulls = node.pull_images(tuple(names.values()), user, password)
            for (rung, image), pulled in zip(names.items(), pulls, strict=False):
                if not pulled.ok:
                    raise self._pull_failed(name, image, pulled.words)
                self._hold(Rung(name=rung, node=name, seen=image, seconds=pulled.seconds))

    def evidence(self) -> Evidence:
        """Return what was proven."""
        known = {state.name: state for state in self.session.cluster.list_nodes()}
        state = self._read_azure()
        return Evidence(
            time=datetime.now(UTC),
            endpoint=self.endpoint,
            login_server=self.login_server,
            image=self.probe,
            rungs=tuple(self.rungs),
            nodes=tuple(
                NodeEvidence(name=name, version=_version(known.get(name)))
                for name in self.session.nodes
            ),
            cluster_version=self.session.cluster.read_version(),
            registry_version=(state.version if state else None) or "",
        )

    @contextmanager
    def _rung(self, name: RungName, node: str | None, seen: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._hold(Rung(name=name, node=node, seen=seen, seconds=time.monotonic() - started))

    def _hold(self, rung: Rung) -> None:
        self.rungs.append(rung)
        say(str(rung))

    def _find_image(self, registry: SiteRegistry, token: SecretStr, patience: timedelta) -> None:
        image, started = f"{self.probe.repository}:{self.probe.tag}", datetime.now(UTC)
        last: list[str | None] = [None]

        def look() -> tuple[bool | None, str]:
            last[0] = registry.find_digest(self.probe.repository, self.probe.tag, token)
            if last[0] == self.probe.digest:
                return True, ""
            return None, f"{self.session.site.name} to synchronise {image}"

        before = time.monotonic()
        found, phase = wait_for(look, patience=patience)
        if not found:
            raise self._not_there(image, last[0], started, phase)
        seconds = time.monotonic() - before
        self.rungs.append(Rung(name=RungName.MANIFEST, seen=image, seconds=seconds))
        self.rungs.append(Rung(name=RungName.DIGEST, seen=self.probe.digest, seconds=0.0))

    def _not_there(
        self, image: str, digest: str | None, started: datetime, phase: str
    ) -> FleetError:
        """Tell a site that has not synchronised since from one that has, and still lacks it."""
        site, state = self.session.site, self._read_azure()
        if state is None or state.last_sync is None or state.last_sync <= started:
            seen = state.last_sync if state else None
            return WaitingForSiteError(
                f"Still waiting for {phase}; its last sync was {seen or 'never'}, it is "
                f"{state.connection_state if state else 'unknown'} in Azure. Run it again later."
            )
        if digest is None:
            return SiteImageMissingError(
                f"The registry of {site.name} has synchronised and does not have {image}. Is the "
                "repository in the sync scope map, and may the client token read it?"
            )
        return SiteImageDiffersError(
            f"The registry of {site.name} has synchronised and serves {image} as {digest}, but "
            f"Azure serves {self.probe.digest}."
        )

    def _read_azure(self) -> ConnectedRegistryState | None:
        cloud = self.session.cloud
        with azure_slot(cloud.registry):
            return cloud.access.read_connected_registry(self.session.site.names.connected_registry)

    def _pull_failed(self, node: str, image: str, words: str) -> FleetError:
        cause = explain_pull_failure(words)
        hint = f" Usually: {cause}." if cause else ""
        return NodePullFailedError(
            f"The node {node} of {self.session.site.name} could not pull {image}: {words}.{hint}"
        )


def _version(state: NodeState | None) -> str:
    return state.version if state else ""
