"""The rungs at the site's registry: it answers, takes the pod's login, and has the image."""

from fleet.explain_commands import Commands, in_turn
from fleet.explain_facts import AzureSeen, ClusterSeen, RegistrySeen, Seen, Unread
from fleet.explain_logins import PodLogin
from fleet.explain_verdicts import Cause, CauseName, Step, Steps, failed, passed, unknown, warned

_SECRET = "pull secret"  # noqa: S105 - a rung's name
_ANSWERS = "site registry answers"
_LOGIN = "site takes the password"
_MAY = "site lets it be pulled"
_HAS = "image at the site"
_DIGEST = "same digest as in Azure"
_PLATFORM = "image for the nodes' platform"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "riscv64": "riscv64"}
_PROBLEMS = {
    "absent": CauseName.SECRET_MISSING,
    "no-namespace": CauseName.SECRET_MISSING,
    "unattached": CauseName.SECRET_UNATTACHED,
    "unreadable": CauseName.SECRET_HOST,
    "other-host": CauseName.SECRET_HOST,
    "other-user": CauseName.SECRET_USER,
}


def climb_secrets(seen: Seen, commands: Commands) -> Steps:
    """Yield what pods of each namespace and service account would log in with."""
    cluster = seen.cluster
    if isinstance(cluster, Unread):
        yield unknown(_SECRET, "the cluster was not reached")
        return
    for login in cluster.logins:
        where = f"{login.namespace}/{login.account}"
        if login.problem:
            yield failed(_SECRET, _secret_cause(seen, login, commands), where)
        else:
            yield passed(_SECRET, f"{login.user}", where)


def _secret_cause(seen: Seen, login: PodLogin, commands: Commands) -> Cause:
    site, where = seen.site, f"{login.namespace}/{login.account}"
    name = _PROBLEMS[login.problem]
    secret = f"{login.namespace}/{site.pull_secrets.name}"
    sentences = {
        CauseName.SECRET_MISSING: f"Pods of {where} have no credentials: the pull secret {secret}"
        " is not there.",
        CauseName.SECRET_UNATTACHED: f"Pods of {where} have no credentials: their service account"
        f" does not list the pull secret {site.pull_secrets.name}.",
        CauseName.SECRET_HOST: f"Pods of {where} have credentials, but for another host or port"
        " than the image's.",
        CauseName.SECRET_USER: f"Pods of {where} log in as somebody else: another pull secret"
        " holds other credentials for the image's host.",
    }
    return Cause(
        name=name,
        sentence=sentences[name],
        evidence=(login.evidence,),
        first="A pod keeps the list it was made with: delete those that wait, once this has run:",
        command=commands.onboard(),
    )


def climb_registry(seen: Seen, commands: Commands) -> Steps:
    """Yield what the site's registry answered."""
    answers = seen.answers
    if isinstance(answers, Unread):
        for rung in (_ANSWERS, _LOGIN, _MAY, _HAS):
            yield unknown(rung, f"the site's registry was not asked: {answers.why}")
        return
    if answers.certificate:
        yield failed(_ANSWERS, _certificate(seen, answers, commands))
        return
    if answers.silent:
        yield failed(_ANSWERS, _silent(seen, answers, commands))
        return
    yield passed(_ANSWERS, seen.endpoint.url if seen.endpoint else "")
    yield from _climb_login(seen, answers, commands)


def _climb_login(seen: Seen, answers: RegistrySeen, commands: Commands) -> Steps:
    if answers.let_in is None:
        for rung in (_LOGIN, _MAY, _HAS):
            yield unknown(rung, "no pull secret of the site holds a password to try")
        return
    if not answers.let_in:
        yield failed(_LOGIN, _refused(seen, commands))
        return
    yield passed(_LOGIN, seen.site.names.client_token)
    if not answers.may_pull:
        yield failed(_MAY, _not_there_yet(seen, "does not let it be pulled yet", commands))
        return
    yield passed(_MAY)
    if answers.digest is None:
        yield failed(_HAS, _not_there_yet(seen, "does not have it", commands))
        return
    yield passed(_HAS, answers.digest)
    yield _digest(seen, answers.digest)
    yield from _platforms(seen, answers, commands)


def _certificate(seen: Seen, answers: RegistrySeen, commands: Commands) -> Cause:
    return Cause(
        name=CauseName.CERTIFICATE,
        sentence=f"No node accepts the certificate of the registry of {seen.site.name}.",
        evidence=(answers.certificate,),
        first="Issue it again with the registry's address among its names, by the CA that the "
        "fleet file names (docs/how-to/https-registry.md), then:",
        command=commands.onboard(),
    )


def _silent(seen: Seen, answers: RegistrySeen, commands: Commands) -> Cause:
    chart = seen.site.chart
    return Cause(
        name=CauseName.REGISTRY_SILENT,
        sentence=f"The registry of {seen.site.name} does not answer as a registry.",
        evidence=(answers.silent,),
        command=commands.kubectl(
            "-n",
            chart.namespace,
            "rollout",
            "restart",
            "deployment",
            "--selector",
            f"app.kubernetes.io/instance={chart.release}",
        ),
    )


def _refused(seen: Seen, commands: Commands) -> Cause:
    site, azure, cluster = seen.site, seen.azure, seen.cluster
    mark = cluster.mark if isinstance(cluster, ClusterSeen) else None
    lets_in = azure.lets_in if isinstance(azure, AzureSeen) else None
    shown = _slot_of(azure, mark.slot) if mark and isinstance(azure, AzureSeen) else None
    if lets_in is not False:
        return _behind(seen, "does not know the password in its pull secret yet", commands)
    renewed = mark is None or shown is None or shown != mark.created
    login = seen.login
    secret = ("-n", login.namespace if login else "default", "delete", "secret")
    delete = commands.kubectl(*secret, site.pull_secrets.name)
    return Cause(
        name=CauseName.PASSWORD_STALE,
        sentence=f"The password in the pull secret of {site.name} is none of"
        f" {site.names.client_token}'s: Azure refuses it, too.",
        evidence=(
            "Azure has renewed that password since"
            if renewed
            else "Azure has not renewed it, so the Secret was changed by hand",
        ),
        command=commands.onboard() if renewed else in_turn(delete, commands.onboard()),
    )


def _slot_of(azure: AzureSeen, slot: str) -> object:
    found = azure.client_token.slots.get(slot) if azure.client_token else None
    return found.created if found else None


def _behind(seen: Seen, what: str, commands: Commands) -> Cause:
    cause = _not_there_yet(seen, what, commands)
    if cause.name is not CauseName.NOT_SYNCED:
        return cause
    return cause.model_copy(update={"name": CauseName.PASSWORD_NOT_SYNCED})


def _not_there_yet(seen: Seen, what: str, commands: Commands) -> Cause:
    """Tell a site that does not synchronise from one that will at its next sync."""
    site, azure = seen.site, seen.azure
    state = azure.connected if isinstance(azure, AzureSeen) else None
    sync = f"{state.last_sync:%Y-%m-%d %H:%M} UTC" if state and state.last_sync else "never"
    evidence = (
        f"last sync {sync}, schedule {state.settings.schedule!r}, {state.connection_state},"
        f" {state.activation}"
        if state
        else "Azure could not be asked when it last synchronised",
        *([f"it is fed by {site.fed_by.name}; explain that site, too"] if site.fed_by else []),
    )
    image = seen.image.short
    if state is not None and not state.is_online:
        return Cause(
            name=CauseName.SITE_OFFLINE,
            sentence=f"{site.name} does not synchronise with Azure, so its registry {what}:"
            f" {image}.",
            evidence=evidence,
            first="Bring the site's link back (it must reach the login server and the data endpoint"
            " on port 443); this waits for it and proves the pull:",
            command=commands.verify(),
        )
    return Cause(
        name=CauseName.NOT_SYNCED,
        sentence=f"The registry of {site.name} {what}: {image} comes with a later sync.",
        evidence=evidence,
        first="This waits for it and proves the pull:",
        command=commands.verify(),
    )


def _digest(seen: Seen, digest: str) -> Step:
    theirs = seen.azure.image if isinstance(seen.azure, AzureSeen) else None
    if not isinstance(theirs, str):
        return unknown(_DIGEST, "Azure was not asked for it")
    if theirs == digest:
        return passed(_DIGEST)
    return warned(_DIGEST, f"the site serves an older one: {digest}, Azure {theirs}")


def _platforms(seen: Seen, answers: RegistrySeen, commands: Commands) -> Steps:
    for node in seen.nodes:
        if isinstance(node.facts, Unread) or not node.facts.arch or not answers.platforms:
            continue
        here = _ARCHITECTURES.get(node.facts.arch, node.facts.arch)
        if any(one.partition("/")[2].split("/")[0] == here for one in answers.platforms):
            yield passed(_PLATFORM, f"linux/{here}", node.node.name)
            continue
        target = seen.image.under(seen.login_server)
        wanted = ",".join((*answers.platforms, f"linux/{here}"))
        yield failed(
            _PLATFORM,
            Cause(
                name=CauseName.PLATFORM,
                sentence=f"{seen.image.short} is not built for the processor of {node.node.name}"
                f" ({here}).",
                evidence=(f"it is for {', '.join(answers.platforms)}",),
                first="Build it for that platform, too, in the folder of its Dockerfile:",
                command=f"docker buildx build --platform {wanted} --tag {target} --push .",
            ),
            node.node.name,
        )
