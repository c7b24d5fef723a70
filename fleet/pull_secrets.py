"""The pull secrets of a site: what they hold, and what has to be written where.

The same password stands under two names, the cloud's login server (mirror mode keeps cloud image
names) and the site's own address. Secrets are patched in place, never deleted and made again: from
Kubernetes 1.35 on the kubelet knows cached images by the Secret's UID (facts/edge-hosts.md §5).
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from fleet.cluster_objects import Meta, SecretView, ServiceAccountView
from fleet.errors import NotOursError
from fleet.helm_chart import is_ours, our_labels
from fleet.outcomes import Action, SiteEndpoint
from fleet.passwords import PasswordMark, mark_annotations
from fleet.pull_errors import PullTargetMissingError
from fleet.sites import Site

TYPE = "kubernetes.io/dockerconfigjson"
_STAGING = "acrfleet-client-password"
_KEY = ".dockerconfigjson"
_STAGED_KEY = "password"


def staging_name(site: Site) -> str:
    """Return the name of the Secret that keeps a new password of a client token meanwhile."""
    return f"{_STAGING}-{site.seen_through.name}" if site.seen_through else _STAGING


def docker_config(
    hosts: Sequence[str], user: str, password: SecretStr, found: SecretView | None = None
) -> SecretStr:
    """Return the content of a pull secret for image names on the given hosts.

    Args:
        hosts: The hosts in front of image names.
        user: The client token's name.
        password: Its password.
        found: The Secret as it is. What it holds for other users and hosts stays, entries of the
            token under other names get the password too, and one that has it keeps its spelling.
    """
    kept = _auths(found) or {} if found else {}
    theirs = {host: entry for host, entry in kept.items() if _login(entry)[0] != user}
    mine = {host: entry for host, entry in kept.items() if host not in theirs}
    value = password.get_secret_value()
    auth = b64encode(f"{user}:{value}".encode()).decode()
    entry = {"username": user, "password": value, "auth": auth}
    ours = {
        host: mine[host] if _login(mine.get(host)) == (user, value) else entry
        for host in (*mine, *(host for host in sorted(hosts) if host not in mine))
    }
    return SecretStr(json.dumps({"auths": {**theirs, **ours}}))


def pull_hosts(endpoint: SiteEndpoint, login_server: str) -> tuple[str, str]:
    """Return the image hosts that a pull secret serves; the port must match exactly."""
    return login_server, endpoint.host


def read_password(secret: SecretView, user: str) -> SecretStr | None:
    """Return the password for a user in a pull secret, or None when it holds none."""
    for entry in (_auths(secret) or {}).values():
        name, password = _login(entry)
        if name == user and password:
            return SecretStr(password)
    return None


def first_mark(secrets: Iterable[SecretView | None]) -> PasswordMark | None:
    """Return which password pull secrets hold, as the first of them that says so has it."""
    for secret in secrets:
        mark = PasswordMark.from_annotations(secret.meta.annotations) if secret else None
        if mark is not None:
            return mark
    return None


def read_users(secret: SecretView) -> tuple[str, ...]:
    """Return the users for whom a pull secret holds a password, each once."""
    logins = [_login(entry) for entry in (_auths(secret) or {}).values()]
    return tuple(dict.fromkeys(name for name, password in logins if name and password))


def read_hosts(secret: SecretView, user: str) -> tuple[str, ...]:
    """Return the image hosts for which a pull secret names a user, without scheme and path."""
    auths = _auths(secret) or {}
    return tuple(sorted({_bare(host) for host, entry in auths.items() if _login(entry)[0] == user}))


def logins_by_host(secret: SecretView) -> tuple[tuple[str, str, str], ...]:
    """Return (host, user, password) of each entry; the password is secret, keep it in one."""
    entries = [
        (_bare(host).lower(), _login(entry)) for host, entry in (_auths(secret) or {}).items()
    ]
    return tuple((host, *login) for host, login in entries if all(login))


def pull_secret_body(site: Site, content: SecretStr, mark: PasswordMark) -> dict[str, Any]:
    """Return a pull secret; the same body creates it and, merged, changes it in place."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": site.pull_secrets.name,
            "labels": our_labels(site),
            "annotations": mark_annotations(mark),
        },
        "type": TYPE,
        "data": {_KEY: _encoded(content)},
    }


def require_ours(site: Site, namespace: str, found: SecretView | None) -> None:
    """Refuse, before any password is made, what could not be written over later.

    A Secret made by hand may be taken over when it turns out to hold the same credentials.

    Raises:
        NotOursError: It is of another type, or without credentials for the client token.
    """
    if found is None:
        return
    if found.type != TYPE:
        raise NotOursError(
            f"Secret {namespace}/{found.meta.name} at {site.name} has the type {found.type}, and "
            f"a pull secret must be {TYPE}; a type cannot be changed. Delete it, or choose "
            "another `pull_secrets.name`."
        )
    if not is_ours(found.meta.labels) and read_password(found, site.names.client_token) is None:
        raise _foreign(site, namespace, found)


def compare_pull_secret(
    site: Site, namespace: str, found: SecretView | None, content: SecretStr, mark: PasswordMark
) -> Action:
    """Return what to do with a pull secret that is there.

    Raises:
        NotOursError: Somebody else made it, with other content.
    """
    if found is None:
        return Action.CREATED
    same = has_content(found, content)
    if not is_ours(found.meta.labels):
        if same:
            return Action.ADOPTED
        raise _foreign(site, namespace, found)
    marked = mark_annotations(mark).items() <= found.meta.annotations.items()
    labelled = our_labels(site).items() <= found.meta.labels.items()
    return Action.UNCHANGED if same and marked and labelled else Action.CHANGED


def has_content(found: SecretView, content: SecretStr) -> bool:
    """Return whether a pull secret holds this content, in whatever order and layout."""
    return bool(_auths(found) == json.loads(content.get_secret_value())["auths"])


def other_users(found: SecretView, hosts: Sequence[str], user: str) -> dict[str, str]:
    """Return who else a pull secret logs in as on the given hosts: user by host."""
    logins = {host: _login(entry)[0] for host, entry in (_auths(found) or {}).items()}
    return {
        host: name
        for host, name in logins.items()
        if _bare(host) in hosts and name not in ("", user)
    }


def staging_body(site: Site, mark: PasswordMark, password: SecretStr | None) -> dict[str, Any]:
    """Return the Secret that keeps a password from its generation until it is in use.

    Without a password it is the note that this slot is about to be generated.
    """
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": staging_name(site),
            "labels": our_labels(site),
            "annotations": mark_annotations(mark),
        },
        "type": "Opaque",
    }
    if password is not None:
        body["data"] = {_STAGED_KEY: _encoded(password)}
    return body


def without_value(note: dict[str, Any]) -> dict[str, Any]:
    """Return a note as a patch that also takes away the value of an earlier password."""
    return {**note, "data": {_STAGED_KEY: None}}


def read_staged(secret: SecretView | None) -> tuple[PasswordMark | None, SecretStr | None]:
    """Return the mark and the value of the staging Secret."""
    if secret is None:
        return None, None
    return PasswordMark.from_annotations(secret.meta.annotations), secret.data.get(_STAGED_KEY)


def target_namespaces(
    site: Site, named: Sequence[Meta], labelled: Sequence[Meta]
) -> tuple[str, ...]:
    """Return the namespaces that get the pull secret, by name and by label.

    Raises:
        PullTargetMissingError: The fleet file names one that does not exist.
    """
    existing = {meta.name for meta in named}
    missing = [name for name in site.pull_secrets.namespaces if name not in existing]
    if missing:
        raise PullTargetMissingError(
            f"pull_secrets.namespaces of {site.name} names {', '.join(missing)}, which the cluster "
            "does not have. Create it, or take it out of the fleet file."
        )
    wanted = {*site.pull_secrets.namespaces, *(meta.name for meta in labelled)}
    return tuple(sorted(wanted))


def service_account_patch(secret: str, found: ServiceAccountView) -> dict[str, Any] | None:
    """Return the patch that adds a pull secret to a ServiceAccount, or None when it has it.

    The list has no merge key, so it is written whole, with the version that was read: whoever
    added another entry in between makes the write fail, and it is repeated.
    """
    if secret in found.pull_secrets:
        return None
    names: Mapping[str, None] = dict.fromkeys((*found.pull_secrets, secret))
    return {
        "metadata": {"resourceVersion": found.meta.version},
        "imagePullSecrets": [{"name": name} for name in names],
    }


def detaching_patch(secret: str, found: ServiceAccountView) -> dict[str, Any] | None:
    """Return the patch that takes a pull secret from a ServiceAccount; None: it has it not."""
    if secret not in found.pull_secrets:
        return None
    kept = [{"name": name} for name in found.pull_secrets if name != secret]
    return {"metadata": {"resourceVersion": found.meta.version}, "imagePullSecrets": kept}


def _foreign(site: Site, namespace: str, found: SecretView) -> NotOursError:
    return NotOursError(
        f"Secret {namespace}/{found.meta.name} at {site.name} was not made by acrfleet and "
        "holds other credentials. Delete it, or choose another `pull_secrets.name`."
    )


def _encoded(value: SecretStr) -> str:
    return b64encode(value.get_secret_value().encode()).decode()


def _login(entry: Any) -> tuple[str, str]:
    """Return user and password of one entry; some tools write them as `auth` alone."""
    if not isinstance(entry, dict):
        return "", ""
    if entry.get("username") or entry.get("password"):
        return str(entry.get("username") or ""), str(entry.get("password") or "")
    try:
        text = b64decode(str(entry.get("auth") or ""), validate=True).decode()
    except ValueError:
        return "", ""
    name, _, password = text.partition(":")
    return name, password


def _bare(host: str) -> str:
    """Return an entry's name as the kubelet reads it: `http://10.43.0.80:80/v2/` is a host."""
    return host.partition("://")[2].partition("/")[0] if "://" in host else host.rstrip("/")


def _auths(secret: SecretView) -> dict[str, Any] | None:
    content = secret.data.get(_KEY)
    try:
        config = json.loads(content.get_secret_value()) if content else None
    except ValueError:
        return None
    auths = config.get("auths") if isinstance(config, dict) else None
    return auths if isinstance(auths, dict) else None
