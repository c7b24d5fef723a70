"""The rungs in Azure: is the image there, and may the site and its clients have it."""

from collections.abc import Sequence

from fleet.azure_objects import ScopeMapState, TokenState, same_name
from fleet.explain_commands import Commands
from fleet.explain_facts import AzureSeen, Seen, Unread
from fleet.explain_verdicts import (
    Cause,
    CauseName,
    Step,
    Steps,
    failed,
    passed,
    unknown,
    warned,
)
from fleet.repositories import matches_any
from fleet.scope_maps import allows

_IMAGE = "image in Azure"
_CONNECTED = "connected registry in Azure"
_SYNC = "site may mirror it"
_CLIENT = "clients may pull it"
_TOKEN = "client token in Azure"  # noqa: S105 - a rung's name
_PULL = ("content/read",)
_MIRROR = ("content/read", "metadata/read")


def climb_azure(seen: Seen, commands: Commands) -> Steps:
    """Yield what Azure says, in the order in which it matters."""
    azure = seen.azure
    if isinstance(azure, Unread):
        for rung in (_IMAGE, _CONNECTED, _SYNC, _CLIENT, _TOKEN):
            yield unknown(rung, f"Azure could not be asked: {azure.why}")
        return
    yield _image(seen, azure, commands)
    yield from _connected(seen, azure, commands)
    yield _scope(seen, azure, commands)
    yield _client_scope(seen, azure, commands)
    yield _token(seen, azure, commands)


def _image(seen: Seen, azure: AzureSeen, commands: Commands) -> Step:
    name = seen.image.short
    if isinstance(azure.image, Unread):
        return unknown(_IMAGE, azure.image.why)
    if azure.image is not None:
        return passed(_IMAGE, azure.image)
    tags = commands.az_registry(
        "repository", "show-tags", "--repository", seen.image.repository, "--output", "table"
    )
    return failed(
        _IMAGE,
        Cause(
            name=CauseName.IMAGE_NOT_IN_AZURE,
            sentence=f"The registry {seen.registry.name} in Azure has no {name}, so no site can"
            " mirror it.",
            first="Push the image, or correct the name in the manifest; this lists the tags:",
            command=tags,
        ),
    )


def _connected(seen: Seen, azure: AzureSeen, commands: Commands) -> Steps:
    state, name = azure.connected, seen.site.names.connected_registry
    if state is None:
        yield failed(
            _CONNECTED,
            Cause(
                name=CauseName.CONNECTED_REGISTRY_MISSING,
                sentence=f"{seen.site.name} has no connected registry {name} in Azure.",
                command=commands.onboard(),
            ),
        )
        return
    if not azure.registry.data_endpoint:
        yield failed(_CONNECTED, _data_endpoint(seen, commands))
    disk = [one for one in state.status_details if one.code.casefold() == "diskerror"]
    if disk:
        yield failed(_CONNECTED, _site_disk(seen, disk[-1].description, commands))
    since = f"{state.last_sync:%Y-%m-%d %H:%M} UTC" if state.last_sync else "never"
    words = f"{state.connection_state}, {state.activation}, last sync {since}"
    yield passed(_CONNECTED, words) if state.is_online else warned(_CONNECTED, words)


def _data_endpoint(seen: Seen, commands: Commands) -> Cause:
    return Cause(
        name=CauseName.DATA_ENDPOINT_OFF,
        sentence=f"The registry {seen.registry.name} has its dedicated data endpoint switched off,"
        " so no site can fetch anything from it.",
        command=commands.az_registry("update", "--data-endpoint-enabled", "true"),
    )


def _site_disk(seen: Seen, words: str, commands: Commands) -> Cause:
    return Cause(
        name=CauseName.SITE_DISK,
        sentence=f"The registry of {seen.site.name} reports an error of its disk, so it cannot"
        " store what it mirrors.",
        evidence=(f"DiskError: {words}",),
        first="Free or enlarge its volume; this shows it:",
        command=commands.kubectl("-n", seen.site.chart.namespace, "get", "pvc"),
    )


def _scope(seen: Seen, azure: AzureSeen, commands: Commands) -> Step:
    site, repository = seen.site, seen.image.repository
    name = site.names.sync_scope_map
    if _grants(azure.sync_map, repository, _MIRROR):
        return passed(_SYNC, name)
    cause = Cause(
        name=CauseName.SYNC_SCOPE,
        sentence=f"{repository} is not in the sync scope map {name}, so {site.name} does not"
        " mirror it.",
        evidence=(f"the fleet file selects {repository} for {site.name}",),
        command=commands.onboard(),
    )
    return failed(_SYNC, cause if _is_selected(seen) else _not_selected(seen, commands))


def _client_scope(seen: Seen, azure: AzureSeen, commands: Commands) -> Step:
    site, repository = seen.site, seen.image.repository
    name = site.names.client_scope_map
    if _grants(azure.client_map, repository, _PULL):
        return passed(_CLIENT, name)
    cause = Cause(
        name=CauseName.CLIENT_SCOPE,
        sentence=f"The scope map {name} does not let the nodes of {site.name} pull {repository}.",
        command=commands.onboard(),
    )
    return failed(_CLIENT, cause if _is_selected(seen) else _not_selected(seen, commands))


def _grants(found: ScopeMapState | None, repository: str, actions: Sequence[str]) -> bool:
    return allows(found.actions if found else frozenset(), repository, actions)


def _is_selected(seen: Seen) -> bool:
    wanted, name = seen.site.repositories, seen.image.repository
    return matches_any(name, wanted.include) and not matches_any(name, wanted.exclude)


def _not_selected(seen: Seen, commands: Commands) -> Cause:
    site, repository, wanted = seen.site, seen.image.repository, seen.site.repositories
    excluded = matches_any(repository, wanted.exclude)
    todo = (
        f"Take {repository} out of what `repositories.exclude` matches"
        if excluded
        else f"Add {repository} to `repositories.include`"
    )
    return Cause(
        name=CauseName.NOT_SELECTED,
        sentence=f"The fleet file does not have {site.name} mirror {repository}.",
        evidence=(
            f"repositories.include: {', '.join(wanted.include)}",
            *([f"repositories.exclude: {', '.join(wanted.exclude)}"] if wanted.exclude else []),
        ),
        first=f"{todo} of {site.name} in {seen.fleet_file}, then:",
        command=commands.onboard(),
    )


def _token(seen: Seen, azure: AzureSeen, commands: Commands) -> Step:
    site, token, name = seen.site, azure.client_token, seen.site.names.client_token
    if token is None:
        return failed(
            _TOKEN,
            Cause(
                name=CauseName.TOKEN_MISSING,
                sentence=f"The client token {name} of {site.name} does not exist in Azure.",
                command=commands.onboard(),
            ),
        )
    if not token.is_enabled:
        return failed(_TOKEN, _disabled(seen, commands))
    accepted = azure.connected.client_token_ids if azure.connected else ()
    if not any(same_name(one, name) for one in accepted):
        return failed(
            _TOKEN,
            Cause(
                name=CauseName.TOKEN_NOT_ACCEPTED,
                sentence=f"The connected registry of {site.name} does not accept the client token"
                f" {name}.",
                evidence=(f"it accepts {len(accepted)} tokens, and not this one",),
                command=commands.onboard(),
            ),
        )
    return _password(seen, azure, token, commands)


def _is_in_use(seen: Seen) -> bool:
    """Return whether some pull secret logs in with the client token, as far as can be seen."""
    if isinstance(seen.cluster, Unread):
        return True
    return any(one.user == seen.site.names.client_token for one in seen.cluster.logins)


def _disabled(seen: Seen, commands: Commands) -> Cause:
    name = seen.site.names.client_token
    return Cause(
        name=CauseName.TOKEN_DISABLED,
        sentence=f"Somebody disabled the client token {name} of {seen.site.name} in Azure.",
        first="Enable it if the site is not to be shut out (docs/how-to/revoke-a-stolen-site.md):",
        command=commands.az("token", "update", "--name", name, "--status", "enabled"),
    )


def _password(seen: Seen, azure: AzureSeen, token: TokenState, commands: Commands) -> Step:
    mark = seen.cluster.mark if not isinstance(seen.cluster, Unread) else None
    slots = {mark.slot: token.slots.get(mark.slot)} if mark else dict(token.slots)
    ends = [slot.expires for slot in slots.values() if slot and slot.expires]
    over = [end for end in ends if end <= azure.now]
    if over and len(over) == len(slots):
        return failed(
            _TOKEN,
            Cause(
                name=CauseName.PASSWORD_EXPIRED,
                sentence=f"The password of {token.name} with which {seen.site.name} pulls expired"
                f" on {max(over):%Y-%m-%d %H:%M} UTC.",
                first="This makes another one; a rotation rolls only passwords that still work:",
                command=commands.onboard(),
            ),
        )
    if not token.slots and not _is_in_use(seen):
        return warned(_TOKEN, f"{token.name} has no password yet")
    if not token.slots:
        return failed(
            _TOKEN,
            Cause(
                name=CauseName.PASSWORD_STALE,
                sentence=f"The client token {token.name} of {seen.site.name} has no password.",
                command=commands.onboard(),
            ),
        )
    return passed(_TOKEN, f"{token.name}, {', '.join(sorted(token.slots))}")
