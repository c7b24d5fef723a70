"""Whether a site's registry has come up, judged from one look at the cluster and at Azure.

Success is the whole chain, because a complete Job alone proves nothing: job complete (where the
helm-controller installs), release deployed, workload rolled out, `/v2/` answers, Online in Azure
(facts/edge-hosts.md §2.2).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pydantic import ConfigDict

from fleet.azure_objects import talks
from fleet.chart_settings import Installer
from fleet.cluster_errors import (
    ChartFailedError,
    SiteAlreadyActivatedError,
    SyncPasswordRefusedError,
)
from fleet.cluster_objects import (
    ChartView,
    ClaimView,
    DeploymentView,
    EventView,
    JobView,
    Meta,
    PodView,
    ServiceView,
)
from fleet.errors import FleetError
from fleet.outcomes import SiteEndpoint
from fleet.sites import Chart, Site, Strict

_AT_ONCE = timedelta(seconds=5)
_A_WHILE = timedelta(minutes=2)
_HASH = "helmcharts.helm.cattle.io/configHash"


class Snapshot(Strict):
    """One look at everything that the judgement needs; parts not looked at yet are empty.

    `refusal` is why no node would talk to the registry although it answers.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    installer: Installer = "helm-controller"
    chart: ChartView | None = None
    job: JobView | None = None
    job_attempts: int = 0
    job_words: str = ""
    release: Meta | None = None
    deployments: tuple[DeploymentView, ...] = ()
    pods: tuple[PodView, ...] = ()
    pod_words: str = ""
    claims: tuple[ClaimView, ...] = ()
    warnings: tuple[EventView, ...] = ()
    services: tuple[ServiceView, ...] = ()
    answers: bool = False
    answer_words: str = ""
    refusal: FleetError | None = None
    connection_state: str = "Offline"
    activation: str = "Inactive"


@dataclass(frozen=True)
class Pending:
    """Not there yet; `phase` says what is being waited for."""

    phase: str


@dataclass(frozen=True)
class Broken:
    """It failed; a failure that may heal by itself must last for `grace` to count."""

    error: FleetError
    grace: timedelta
    phase: str


@dataclass(frozen=True)
class Online:
    """It works, here."""

    endpoint: SiteEndpoint


Verdict = Pending | Broken | Online


def judge(site: Site, seen: Snapshot) -> Verdict:
    """Return how far a site's registry is: the first rung that does not hold, or its endpoint."""
    for rung in _RUNGS:
        verdict = rung(site, seen)
        if verdict is not None:
            return verdict
    endpoint = find_endpoint(site.chart, seen.services)
    assert isinstance(endpoint, SiteEndpoint)  # noqa: S101 - _judge_service has looked
    return Online(endpoint)


def find_endpoint(chart: Chart, services: Sequence[ServiceView]) -> SiteEndpoint | str:
    """Return where the registry answers, or what stands in the way.

    The Service is found by what Helm and the chart write on it, because its name differs between
    chart versions; `-rstorage` is the HA chart's internal one (facts/connected-registry.md §5.3).
    """
    ours = [
        service
        for service in services
        if belongs_to(chart, service.meta)
        and service.cluster_ip
        and not service.meta.name.endswith("-rstorage")
    ]
    if len(ours) != 1:
        names = ", ".join(sorted(service.meta.name for service in ours)) or "none"
        return f"exactly one Service of the release {chart.release}, found {names}"
    scheme = "http" if chart.http_enabled else "https"
    port = _port(scheme, ours[0])
    if port is None:
        found = ", ".join(f"{port.name or '-'}:{port.port}" for port in ours[0].ports)
        return f"an {scheme} port on the Service {ours[0].meta.name}, found {found}"
    return SiteEndpoint(address=ours[0].cluster_ip or "", port=port, scheme=scheme)


def belongs_to(chart: Chart, meta: Meta) -> bool:
    """Return whether an object is part of the chart's release."""
    return (
        meta.annotations.get("meta.helm.sh/release-name") == chart.release
        or meta.labels.get("app.kubernetes.io/instance") == chart.release
        or meta.labels.get("app.kubernetes.io/name") == "connected-registry"
    )


def is_registry_pod(chart: Chart, pod: PodView) -> bool:
    """Return whether a pod is the registry's, not the Helm job's."""
    return belongs_to(chart, pod.meta) and "helmcharts.helm.cattle.io/chart" not in pod.meta.labels


def _judge_job(site: Site, seen: Snapshot) -> Verdict | None:
    name = f"{site.chart.namespace}/{site.chart.release}"
    if seen.installer == "helm":
        return None
    if seen.chart is None:
        return Pending(f"HelmChart {name} to exist")
    failed = seen.chart.failed or (seen.job.failed if seen.job else None)
    if failed:
        job = seen.chart.job_name or f"helm-install-{site.chart.release}"
        return _broken(site, f"the job {job} gave up: {failed}", seen.job_words, _AT_ONCE)
    if seen.job is None:
        return Pending(f"the helm-controller to start a job for {name}")
    if not seen.job.complete:
        failed_attempts = max(seen.job.attempts_failed, seen.job_attempts)
        tries = f", {failed_attempts} attempts failed" if failed_attempts else ""
        words = f": {_last_line(seen.job_words)}" if tries and seen.job_words else ""
        return Pending(f"the job {seen.job.meta.name} to complete{tries}{words}")
    return None


def _judge_release(site: Site, seen: Snapshot) -> Verdict | None:
    name = f"the Helm release {site.chart.release}"
    if seen.release is None:
        return Pending(f"{name} to be recorded")
    status = seen.release.labels.get("status")
    if status == "failed":
        return _broken(site, f"{name} is failed", seen.job_words, _A_WHILE)
    wanted, found = (seen.job.config_hash if seen.job else None), seen.release.labels.get(_HASH)
    if wanted and found and wanted != found:
        return Pending(f"{name} to reach the newest settings")
    return None if status == "deployed" else Pending(f"{name} to be deployed, it is {status}")


def _judge_log(site: Site, seen: Snapshot) -> Verdict | None:
    active = seen.activation.casefold() == "active"
    if "ALREADY_ACTIVATED" in seen.pod_words:
        if not active:
            return Pending("the registry to try to activate again")
        why = f"its pod at {site.name} logs ALREADY_ACTIVATED"
        error = SiteAlreadyActivatedError(site.names.connected_registry, site.registry, why)
        return Broken(error, _AT_ONCE, "the registry to activate; it logs ALREADY_ACTIVATED")
    if "Incorrect Password" in seen.pod_words:
        text = (
            f"The parent refuses the sync password of {site.name} ({site.names.sync_token}): "
            f"{_last_line(seen.pod_words, 'Incorrect Password')}. Somebody renewed it. Delete the "
            f"Secret {site.chart.namespace}/{site.chart.release}-connection, run `az acr "
            "connected-registry deactivate --registry REGISTRY --name "
            f"{site.names.connected_registry}` and onboard the site again."
        )
        phase = "the parent to accept the sync password"
        return Broken(SyncPasswordRefusedError(text), _A_WHILE, phase)
    return None


def _judge_pods(site: Site, seen: Snapshot) -> Verdict | None:
    if seen.deployments and all(item.rolled_out for item in seen.deployments):
        return None
    told = _judge_log(site, seen)
    if told is not None:
        return told
    unbound = [claim for claim in seen.claims if claim.phase != "Bound"]
    if unbound:
        claim = unbound[0].meta.name
        why = _warning(seen, f"PersistentVolumeClaim/{claim}")
        return Pending(f"the volume claim {claim} to be bound, it is {unbound[0].phase}{why}")
    for pod in seen.pods:
        if pod.reasons:
            words = "; ".join(dict.fromkeys((*pod.reasons, *pod.messages)))
            text = f"the pod {pod.meta.name} is not ready: {words}"
            return _broken(site, text, seen.pod_words, _A_WHILE)
    where = seen.pods[0].meta.name if seen.pods else "the registry's pod"
    why = _warning(seen, f"Pod/{where}") if seen.pods else ""
    return Pending(f"{where} to be ready{why}")


def _judge_service(site: Site, seen: Snapshot) -> Verdict | None:
    endpoint = find_endpoint(site.chart, seen.services)
    if isinstance(endpoint, str):
        return _broken(site, f"there should be {endpoint}", "", _A_WHILE, phase=endpoint)
    if seen.refusal is not None:
        brought = site.chart.tls is not None and site.chart.tls.secret is not None
        phase = f"a certificate at {endpoint.url} that nodes accept"
        return Broken(seen.refusal, _AT_ONCE if brought else _A_WHILE, phase)
    if not seen.answers:
        return Pending(f"{endpoint.url}/v2/ to answer: {seen.answer_words or 'not asked yet'}")
    return None


def _judge_azure(site: Site, seen: Snapshot) -> Verdict | None:
    if talks(seen.connection_state):
        if seen.activation.casefold() == "active":
            return None
        return Pending(f"{site.names.connected_registry} to be Active in Azure")
    told = _judge_log(site, seen)
    if told is not None:
        return told
    return Pending(
        f"{site.names.connected_registry} to be Online in Azure, it is {seen.connection_state}"
    )


_RUNGS: tuple[Callable[[Site, Snapshot], Verdict | None], ...] = (
    _judge_job,
    _judge_release,
    _judge_pods,
    _judge_service,
    _judge_azure,
)


def _broken(
    site: Site, what: str, words: str, grace: timedelta, *, phase: str | None = None
) -> Broken:
    quoted = f"\n{words.strip()}" if words.strip() else ""
    error = ChartFailedError(f"The registry's chart failed at {site.name}: {what}.{quoted}")
    return Broken(error, grace, phase or what)


def _port(scheme: str, service: ServiceView) -> int | None:
    usual = 80 if scheme == "http" else 443
    named = [port.port for port in service.ports if port.name == scheme]
    if named:
        return named[0]
    if len(service.ports) == 1:
        return service.ports[0].port
    return usual if any(port.port == usual for port in service.ports) else None


def _last_line(words: str, holding: str = "") -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip() and holding in line]
    return lines[-1] if lines else ""


def _warning(seen: Snapshot, about: str) -> str:
    found = [event for event in seen.warnings if event.about == about]
    return f": {found[-1].reason}: {found[-1].message}" if found else ""
