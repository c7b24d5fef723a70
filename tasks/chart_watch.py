"""Watch a chart come up: look, judge, say what is missing, give up when patience ends."""

import time
from datetime import timedelta
from typing import Any

from fleet.azure_objects import talks
from fleet.chart_progress import (
    Broken,
    Online,
    Snapshot,
    Verdict,
    belongs_to,
    find_endpoint,
    is_registry_pod,
    judge,
)
from fleet.cluster_objects import DeploymentView, JobView, PodView
from fleet.errors import FleetError, TemporaryError, WaitingForSiteError
from fleet.outcomes import SiteEndpoint
from fleet.plan_at_site import ClusterView
from fleet.pull_errors import (
    SiteAuthorityError,
    SiteCertificateError,
    SiteRegistrySilentError,
    SiteSchemeError,
)
from tasks.azure_limits import azure_slot
from tasks.helm_install import choose
from tasks.run_log import say
from tasks.sessions import SiteSession
from tasks.waiting import wait_for

_LOG_LINES = 15
_AZURE_EVERY = 5.0


def watch_chart(session: SiteSession) -> SiteEndpoint:
    """Wait until a site's registry is online, and return where it answers.

    Raises:
        WaitingForSiteError: Patience ended and nothing failed.
        FleetError: The failure, once it has lasted longer than it may.
    """
    watch = _Watch(session)
    endpoint, phase = wait_for(watch.look, patience=session.site.patience.online)
    if endpoint is None:
        raise watch.last_error or WaitingForSiteError(
            f"{session.site.name} is not online yet; still waiting for {phase}. Nothing failed: "
            "run the onboarding again later."
        )
    say(f"online at {endpoint.url}")
    return endpoint


def take_snapshot(
    session: SiteSession, connection_state: str, activation: str, known: ClusterView | None = None
) -> Snapshot:
    """Look once at a site's cluster; what Azure says is given, and Azure is not asked.

    Args:
        session: The site.
        connection_state: What Azure says of the connection.
        activation: Whether it says that the connected registry was activated.
        known: What has just been read of the cluster; none: it is read.
    """
    watch = _Watch(session, known, connection_state=connection_state, activation=activation)
    return watch.snapshot()


class _Watch:
    """What has to be remembered from one look to the next."""

    def __init__(
        self, session: SiteSession, known: ClusterView | None = None, **azure: str
    ) -> None:
        self._known = known
        self.last_error: FleetError | None = None
        self._session = session
        self._broken_since = 0.0
        self._azure_at = float("inf" if azure else "-inf")
        self._job_failures, self._job_words = 0, ""
        self._azure = azure or {"connection_state": "Offline", "activation": "Inactive"}

    def look(self) -> tuple[SiteEndpoint | None, str]:
        """Look once; raise when a failure has lasted too long."""
        try:
            verdict = judge(self._session.site, self.snapshot())
        except TemporaryError as error:
            return None, f"{self._session.site.name} to be reachable: {error}"
        self._note(verdict)
        if isinstance(verdict, Online):
            return verdict.endpoint, ""
        return None, verdict.phase

    def _note(self, verdict: Verdict) -> None:
        if not isinstance(verdict, Broken):
            self.last_error = None
            return
        now = time.monotonic()
        if type(self.last_error) is not type(verdict.error):
            self._broken_since = now
        self.last_error = verdict.error
        if timedelta(seconds=now - self._broken_since) >= verdict.grace:
            raise verdict.error

    def snapshot(self) -> Snapshot:
        """Look at everything from the chart's job to Azure, as far as the last look leads."""
        if choose(self._session).is_helm:
            return self._release(Snapshot(installer="helm", **self._azure))
        cluster, chart = self._session.cluster, self._session.site.chart
        known = self._known
        found = known.chart if known else cluster.find_chart(chart.namespace, chart.release)
        job = None
        if found is not None and found.job_name:
            job = cluster.find_job(chart.namespace, found.job_name)
        seen = Snapshot(chart=found, job=job, **self._azure)
        if job is None or not job.complete:
            return seen.model_copy(update=self._job_attempts(job))
        return self._release(seen)

    def _release(self, seen: Snapshot) -> Snapshot:
        cluster, chart = self._session.cluster, self._session.site.chart
        releases = cluster.list_releases(chart.namespace, chart.release)
        deployments = cluster.list_deployments(chart.namespace)
        mine = [item for item in deployments if belongs_to(chart, item.meta)]
        changes = {"release": releases[-1] if releases else None, "deployments": tuple(mine)}
        seen = seen.model_copy(update=changes)
        return self._ready(seen) if _rolled_out(mine) else self._unready(seen)

    def _ready(self, seen: Snapshot) -> Snapshot:
        session = self._session
        known, namespace = self._known, session.site.chart.namespace
        services = tuple(known.services if known else session.cluster.list_services(namespace))
        endpoint = find_endpoint(session.site.chart, services)
        answer = self._ask(endpoint) if isinstance(endpoint, SiteEndpoint) else {}
        self._read_azure()
        changes = {
            "services": services,
            **answer,
            "pod_words": "" if self._azure_is_online() else self._pod_words(self._pods()),
            **self._azure,
        }
        return seen.model_copy(update=changes)

    def _unready(self, seen: Snapshot) -> Snapshot:
        cluster, namespace = self._session.cluster, self._session.site.chart.namespace
        pods = self._pods()
        words = self._pod_words(pods)
        if words:
            self._read_azure()
        changes = {
            "pods": pods,
            "pod_words": words,
            "claims": cluster.list_claims(namespace),
            "warnings": cluster.list_warnings(namespace),
            **self._azure,
        }
        return seen.model_copy(update=changes)

    def _ask(self, endpoint: SiteEndpoint) -> dict[str, Any]:
        try:
            with self._session.open_registry(endpoint) as registry:
                registry.read_challenge()
        except (TemporaryError, SiteRegistrySilentError) as error:
            return {"answer_words": str(error)}
        except (SiteCertificateError, SiteSchemeError, SiteAuthorityError) as error:
            return {"refusal": error}
        return {"answers": True}

    def _read_azure(self) -> None:
        if time.monotonic() - self._azure_at < _AZURE_EVERY:
            return
        cloud, name = self._session.cloud, self._session.site.names.connected_registry
        with azure_slot(cloud.registry):
            state = cloud.access.read_connected_registry(name)
        self._azure_at = time.monotonic()
        if state is not None:
            self._azure = {
                "connection_state": state.connection_state,
                "activation": state.activation,
            }

    def _azure_is_online(self) -> bool:
        return talks(self._azure["connection_state"])

    def _pods(self) -> tuple[PodView, ...]:
        chart = self._session.site.chart
        pods = self._session.cluster.list_pods(chart.namespace)
        return tuple(pod for pod in pods if is_registry_pod(chart, pod))

    def _pod_words(self, pods: tuple[PodView, ...]) -> str:
        return "\n".join(filter(None, (self._log(pod) for pod in pods)))

    def _job_attempts(self, job: JobView | None) -> dict[str, int | str]:
        """Return how often the job's pod has failed, and what it last said about it.

        Kubernetes removes the pod with its log when the job gives up, so its words are kept.
        """
        if job is None:
            return {}
        pods = self._session.cluster.list_pods(job.meta.namespace)
        for pod in pods:
            if pod.meta.labels.get("job-name") == job.meta.name and pod.restarts:
                self._job_failures = max(self._job_failures, pod.restarts)
                self._job_words = self._log(pod) or self._job_words
        return {"job_attempts": self._job_failures, "job_words": self._job_words}

    def _log(self, pod: PodView) -> str:
        read = self._session.cluster.read_pod_log
        words = read(pod.meta.namespace, pod.meta.name, lines=_LOG_LINES)
        if not words and pod.restarts:
            words = read(pod.meta.namespace, pod.meta.name, lines=_LOG_LINES, previous=True)
        return words.strip()


def _rolled_out(deployments: list[DeploymentView]) -> bool:
    return bool(deployments) and all(item.rolled_out for item in deployments)
