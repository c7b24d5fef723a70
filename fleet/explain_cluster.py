"""The rungs in the site's cluster: does it answer, is the registry installed, does it run."""

from collections.abc import Sequence

from fleet.azure_objects import talks
from fleet.chart_progress import Broken, Online, Pending, Snapshot, judge
from fleet.distributions import DISTRIBUTIONS
from fleet.explain_commands import Commands, in_turn
from fleet.explain_facts import ClusterSeen, Seen, Unread
from fleet.explain_verdicts import Cause, CauseName, Step, Steps, failed, passed, unknown
from fleet.node_facts import NodeFacts
from fleet.outcomes import SiteEndpoint

_CLUSTER = "cluster answers"
_CHART = "registry installed"
_RUNS = "registry runs"


def climb_cluster(seen: Seen, commands: Commands) -> Steps:
    """Yield how far the site's registry is."""
    cluster = seen.cluster
    if isinstance(cluster, Unread):
        yield _silent(seen, cluster, commands)
        for rung in (_CHART, _RUNS):
            yield unknown(rung, "the cluster was not reached")
        return
    yield passed(_CLUSTER, cluster.version)
    shown = cluster.snapshot
    broken = _log_cause(seen, shown, commands) or _install_cause(seen, cluster, commands)
    if broken is None:
        yield passed(_CHART, seen.site.chart.release)
        yield _runs(seen, cluster, commands)
        return
    if broken.name in (CauseName.CHART_JOB, CauseName.CHART_MISSING):
        yield failed(_CHART, broken)
        yield unknown(_RUNS, "it is not installed")
        return
    yield passed(_CHART, seen.site.chart.release)
    yield failed(_RUNS, broken)


def _silent(seen: Seen, cluster: Unread, commands: Commands) -> Step:
    """Tell an API that does not answer on a server that runs from one that nobody could ask."""
    server = seen.site.servers()[0]
    unit = DISTRIBUTIONS[seen.site.host.distribution].unit_of(server.role)
    looked = next((one.facts for one in seen.nodes if one.node == server), None)
    if not isinstance(looked, NodeFacts) or not looked.services[unit].is_running:
        return unknown(_CLUSTER, f"the cluster was not reached: {cluster.why}")
    return failed(
        _CLUSTER,
        Cause(
            name=CauseName.CLUSTER_SILENT,
            sentence=f"The Kubernetes API of {seen.site.name} does not answer, though {unit} runs"
            f" on {server.name}.",
            evidence=(cluster.why,),
            first=f"See `journalctl -u {unit}` there; if that does not tell, start it anew:",
            command=commands.on_node(server, commands.restart(server)),
        ),
    )


def _runs(seen: Seen, cluster: ClusterSeen, commands: Commands) -> Step:
    verdict = judge(seen.site, cluster.snapshot)
    if isinstance(verdict, Online) or isinstance(cluster.endpoint, SiteEndpoint):
        where = verdict.endpoint if isinstance(verdict, Online) else cluster.endpoint
        return passed(_RUNS, where.url if isinstance(where, SiteEndpoint) else "")
    return failed(_RUNS, _down(seen, f"there should be {cluster.endpoint}", "", commands))


def _log_cause(seen: Seen, shown: Snapshot, commands: Commands) -> Cause | None:
    site, words = seen.site, shown.pod_words
    online = talks(shown.connection_state)
    if "ALREADY_ACTIVATED" in words and not online:
        pod = commands.kubectl(
            "-n",
            site.chart.namespace,
            "rollout",
            "restart",
            "deployment",
            "--selector",
            f"app.kubernetes.io/instance={site.chart.release}",
        )
        return Cause(
            name=CauseName.ALREADY_ACTIVATED,
            sentence=f"Another installation has activated {site.names.connected_registry}, so the"
            f" registry of {site.name} may not: it holds nothing, and lets nobody in.",
            evidence=_lines(words, "ALREADY_ACTIVATED"),
            first="See that the other installation is gone, then:",
            command=in_turn(commands.deactivate(), pod),
        )
    if "Incorrect Password" in words and not online:
        return Cause(
            name=CauseName.SYNC_PASSWORD,
            sentence=f"Azure refuses the sync password of {site.name}: somebody renewed a password"
            f" of {site.names.sync_token}, and the registry no longer follows Azure.",
            evidence=_lines(words, "Incorrect Password"),
            first="This gives it another one:",
            command=commands.onboard(),
        )
    return None


def _install_cause(seen: Seen, cluster: ClusterSeen, commands: Commands) -> Cause | None:
    shown, chart = cluster.snapshot, seen.site.chart
    by_controller = shown.installer == "helm-controller"
    if (by_controller and shown.chart is None) or (not by_controller and shown.release is None):
        return Cause(
            name=CauseName.CHART_MISSING,
            sentence=f"{seen.site.name} has no registry: {chart.namespace}/{chart.release} is not"
            " installed.",
            command=commands.onboard(),
        )
    attempts = max(shown.job_attempts, shown.job.attempts_failed if shown.job else 0)
    gave_up = (shown.chart and shown.chart.failed) or (shown.job and shown.job.failed)
    waits = shown.job is not None and not shown.job.complete
    if gave_up or (waits and attempts):
        return _job(seen, shown, attempts, commands)
    verdict = judge(seen.site, shown)
    if isinstance(verdict, Online) or shown.release is None:
        return None if shown.release else _waiting(seen, verdict, commands)
    return _pods(seen, shown, verdict, commands)


def _waiting(seen: Seen, verdict: object, commands: Commands) -> Cause:
    phase = verdict.phase if isinstance(verdict, Pending | Broken) else "the release"
    return Cause(
        name=CauseName.CHART_MISSING,
        sentence=f"The registry of {seen.site.name} is being installed; still waiting for {phase}.",
        command=commands.onboard(),
    )


def _job(seen: Seen, shown: Snapshot, attempts: int, commands: Commands) -> Cause:
    chart = seen.site.chart
    job = (shown.chart.job_name if shown.chart else "") or f"helm-install-{chart.release}"
    limit = (shown.chart.spec if shown.chart else {}).get("backOffLimit", 1000)
    log = commands.kubectl("-n", chart.namespace, "logs", f"job/{job}", "--tail", "40")
    return Cause(
        name=CauseName.CHART_JOB,
        sentence=f"The chart of {seen.site.name} was never installed: its job {job} fails, and the"
        " HelmChart shows nothing of it.",
        evidence=(
            f"{attempts} attempts failed, it may try {limit} times (backOffLimit)",
            *_lines(shown.job_words),
        ),
        first="Mend what the job complains of in `chart` of the fleet file (the whole of its log: "
        f"{log}), then:",
        command=commands.onboard(),
    )


def _pods(seen: Seen, shown: Snapshot, verdict: object, commands: Commands) -> Cause | None:
    if shown.deployments and all(one.rolled_out for one in shown.deployments):
        return None
    unbound = [one.meta.name for one in shown.claims if one.phase != "Bound"]
    warnings = tuple(f"{one.about}: {one.reason}: {one.message}" for one in shown.warnings[-3:])
    chart = seen.site.chart
    if unbound:
        return Cause(
            name=CauseName.VOLUME,
            sentence=f"The registry of {seen.site.name} has no volume: {unbound[0]} is not bound.",
            evidence=warnings,
            first="Name a storage class that the cluster has in `chart.storage`, or mend it:",
            command=commands.kubectl("-n", chart.namespace, "describe", "pvc", unbound[0]),
        )
    phase = verdict.phase if isinstance(verdict, Pending | Broken) else "not ready"
    return _down(seen, phase, shown.pod_words, commands, warnings)


def _down(
    seen: Seen, phase: str, words: str, commands: Commands, warnings: tuple[str, ...] = ()
) -> Cause:
    chart = seen.site.chart
    return Cause(
        name=CauseName.REGISTRY_DOWN,
        sentence=f"The registry of {seen.site.name} does not run: {phase.splitlines()[0]}.",
        evidence=(*warnings, *_lines(words)),
        first="See why, mend it, and run the onboarding where it was changed by hand:",
        command=in_turn(
            commands.kubectl("-n", chart.namespace, "get", "pods,deployments,services"),
            commands.onboard(),
        ),
    )


def _lines(words: str, holding: str = "") -> tuple[str, ...]:
    """Return the last lines of a log, those that hold a word."""
    found: Sequence[str] = [
        line.strip() for line in words.splitlines() if line.strip() and holding in line
    ]
    return tuple(dict.fromkeys(found[-4:]))
