"""Why does this pull fail? A ladder over what was seen; the first rung that fails is the cause.

The order is that of dependence: what a rung needs stands before it, so a failure further up is not
taken for its own. What a rung leads to may be seen to work all the same (a site that serves an
image whose repository has left the scope map since); then it is a warning, and not the cause.
"""

from collections.abc import Iterable, Iterator, Sequence

from fleet.explain_azure import climb_azure
from fleet.explain_cluster import climb_cluster
from fleet.explain_commands import Commands
from fleet.explain_facts import (
    AzureSeen,
    ClusterSeen,
    NodeSeen,
    Pull,
    RegistrySeen,
    Seen,
    Unread,
)
from fleet.explain_nodes import climb_machine, climb_pull
from fleet.explain_site import climb_registry, climb_secrets
from fleet.explain_verdicts import (
    Cause,
    CauseName,
    Step,
    Verdict,
    failed,
    passed,
    softened,
    unknown,
)
from fleet.strict import Strict

_NAMED = "image's registry"
_CACHED = "cached image usable"
_CHECKS_SINCE = 35
_CONSEQUENCES = (
    CauseName.UNKNOWN_FAILURE,
    CauseName.NOT_SYNCED,
    CauseName.SITE_OFFLINE,
    CauseName.PASSWORD_NOT_SYNCED,
    CauseName.PASSWORD_STALE,
)


class Explanation(Strict):
    """What was found out about one image at one site.

    `cause` is None where the pull works: then `steps` may still hold warnings.
    """

    site: str
    image: str
    cause: Cause | None
    steps: tuple[Step, ...]

    @property
    def works(self) -> bool:
        """Return whether the image pulls, from the site's own registry."""
        return self.cause is None

    @property
    def headline(self) -> str:
        """Return the cause in a sentence, or that there is none."""
        if self.cause is not None:
            return self.cause.sentence
        return f"{self.image} pulls at {self.site} from its own registry."

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what is no cause, but should be known."""
        return tuple(
            f"{_where(step)}{step.words}"
            for step in self.steps
            if step.verdict is Verdict.WARNED and step.words
        )


def _where(step: Step) -> str:
    return f"{step.where}: " if step.where and step.where not in step.words else ""


def explain(seen: Seen) -> Explanation:
    """Climb the ladder and name one cause."""
    commands = Commands(seen.site, seen.registry, seen.fleet_file)
    image = seen.image.under(seen.image.host or seen.login_server or seen.registry.name)
    elsewhere = _elsewhere(seen, commands)
    if elsewhere is not None:
        step = failed(_NAMED, elsewhere)
        return Explanation(site=seen.site.name, image=image, cause=elsewhere, steps=(step,))
    steps = tuple(_hide_consequences(_climb(seen, commands)))
    cause = _cause(steps) or _not_seen(seen, commands)
    if cause is not None:
        cause = cause.model_copy(update={"evidence": _with_words(seen, cause.evidence)})
    return Explanation(site=seen.site.name, image=image, cause=cause, steps=steps)


def _climb(seen: Seen, commands: Commands) -> Iterator[Step]:
    yield passed(_NAMED, seen.login_server)
    serves = f"{seen.site.name} serves it all the same"
    for step in climb_azure(seen, commands):
        yield softened(step, serves) if seen.site_serves else step
    for node in seen.nodes:
        yield from climb_machine(seen, node, commands)
    cluster, registry = (list(climb(seen, commands)) for climb in (climb_cluster, climb_registry))
    yield from _cached(seen, (*cluster, *registry), commands)
    for step in cluster:
        yield softened(step, serves) if seen.site_serves else step
    yield from climb_secrets(seen, commands)
    yield from registry
    for node in seen.nodes:
        yield from climb_pull(seen, node, commands)


def _hide_consequences(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the ladder; what a failed rung brings about further up is not judged on its own."""
    first: Step | None = None
    for step in steps:
        if first is not None and step.cause is not None and step.cause.name in _CONSEQUENCES:
            yield unknown(step.rung, f"fails too, and `{first.rung}` comes first", step.where)
            continue
        if step.verdict is Verdict.FAILED:
            first = first or step
        yield step


def _with_words(seen: Seen, evidence: tuple[str, ...]) -> tuple[str, ...]:
    """Return the evidence with what pulls say themselves, for those who saw that first."""
    said = (*_words(seen, "by_cloud"), *_words(seen, "by_site"))
    return tuple(dict.fromkeys((*evidence, *said)))


def _words(seen: Seen, kind: str) -> Iterator[str]:
    """Yield what the first failed pull of a kind says, and what containerd logged before it.

    The pull's own words are about the last endpoint; the log has those of the mirror.
    """
    for node in seen.nodes:
        pull: Pull | None = getattr(node, kind)
        if pull is not None and not pull.ok:
            words = (pull.words.splitlines() or [""])[-1]
            words = words.partition(" desc = ")[2] or words
            yield f"the pull on {node.node.name} says: {words}"
            logged = [line for line in node.log if kind == "by_site"][-2:]
            yield from (f"containerd on {node.node.name} logged: {line}" for line in logged)
            return


def _cause(steps: Sequence[Step]) -> Cause | None:
    return next((step.cause for step in steps if step.cause is not None), None)


def _elsewhere(seen: Seen, commands: Commands) -> Cause | None:
    site_host = seen.endpoint.host if seen.endpoint else ""
    image, login = seen.image, seen.login_server
    if not login or image.kind(login, site_host) != "other":
        return None
    here = f", {site_host}" if site_host else ""
    return Cause(
        name=CauseName.IMAGE_ELSEWHERE,
        sentence=f"{image.under(image.host)} names the registry {image.host}, and not that of"
        f" {seen.site.name}: it never goes through the site's registry.",
        evidence=(f"images of {seen.site.name} are named {login}/...{here}",),
        first=f"Bring it into {seen.registry.name}, have {seen.site.name} mirror"
        f" {image.repository}, and name it {image.under(login)} in the manifest:",
        command=commands.az_registry(
            "import", "--source", image.under(image.host), "--image", image.short
        ),
    )


def _cached(seen: Seen, registry: Sequence[Step], commands: Commands) -> Iterator[Step]:
    """Yield the rung of Kubernetes 1.35: a cached image needs the Secret it was pulled with.

    Made anew, a pull secret has another UID and maybe other bytes, so the kubelet asks the
    registry first; while that is away, pods do not start (facts/edge-hosts.md §5.3).
    """
    cluster = seen.cluster
    if not isinstance(cluster, ClusterSeen) or _minor(cluster.version) < _CHECKS_SINCE:
        return
    down = _cause(registry)
    cached = [node.node.name for node in seen.nodes if node.cached]
    if down is None or not (cached and cluster.renewed and cluster.waiting):
        yield passed(_CACHED)
        return
    pods = ", ".join(one.name for one in cluster.waiting[:3])
    yield failed(
        _CACHED,
        Cause(
            name=CauseName.SECRET_RENEWED,
            sentence=f"The pull secret in {', '.join(cluster.renewed)} was deleted and made anew"
            " while the site's registry is away, so kubelets ask the registry before they use an"
            " image that they hold already.",
            evidence=(
                f"waiting: {pods}; the image is on {', '.join(cached)}",
                f"Kubernetes {cluster.version} checks that (from 1.35 on)",
                down.sentence,
            ),
            first="Bring the registry back; from then on let `acrfleet rotate` renew passwords, "
            f"which changes the Secret in place. {down.first}",
            command=down.command or commands.verify(),
        ),
    )


def _minor(version: str) -> int:
    parts = version.lstrip("v").split(".")
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0


def _not_seen(seen: Seen, commands: Commands) -> Cause | None:
    """Return that nothing wrong was seen, where that is because of what was not seen."""
    pulled = bool(seen.nodes) and all(node.works for node in seen.nodes)
    if pulled:
        return None
    blind = [_blind(seen, node) for node in seen.nodes if isinstance(node.facts, Unread)]
    others = [
        f"{name}: {part.why}"
        for name, part in (
            ("Azure", seen.azure),
            ("cluster", seen.cluster),
            ("registry", seen.answers),
        )
        if isinstance(part, Unread)
    ]
    first = seen.nodes[0] if seen.nodes else None
    return Cause(
        name=CauseName.NOT_SEEN,
        sentence=f"What could be seen of {seen.site.name} is right; why the pull fails shows only"
        " in what could not be looked at.",
        evidence=(*blind, *others, *_azure_s_view(seen)) or ("no pull was tried",),
        first="See that this works, then explain it again:",
        command=_way_in(seen, first, commands),
    )


def _way_in(seen: Seen, node: NodeSeen | None, commands: Commands) -> str:
    if node is None or not isinstance(node.facts, Unread):
        return commands.verify()
    return f"{commands.ssh(node.node)} true"


def _blind(seen: Seen, node: NodeSeen) -> str:
    return f"{node.node.name}: {node.facts.why}" if isinstance(node.facts, Unread) else ""


def _azure_s_view(seen: Seen) -> Iterator[str]:
    state = seen.azure.connected if isinstance(seen.azure, AzureSeen) else None
    if state is not None and not isinstance(seen.answers, RegistrySeen):
        since = f"{state.last_sync:%Y-%m-%d %H:%M} UTC" if state.last_sync else "never"
        yield f"in Azure it is {state.connection_state}, its last sync was {since}"
