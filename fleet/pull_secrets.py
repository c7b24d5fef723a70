"""The pull secrets of a site: what they hold, and what has to be written where.

The same password stands under two names, the cloud's login server (mirror mode keeps cloud image
names) and the site's own address. Secrets are patched in place, never deleted and made again: from
Kubernetes 1.35 on the kubelet knows cached images by the Secret's UID (facts/edge-hosts.md §5).
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from fleet.cluster_objects import Meta, SecretView, ServiceAccountView
from fleet.errors import NotOursError, PullTargetMissingError
from fleet.helm_chart import is_ours, our_labels
from fleet.outcomes import Action, SiteEndpoint
from fleet.passwords import PasswordMark, mark_annotations
from fleet.sites import Site

TYPE = "kubernetes.io/dockerconfigjson"
STAGING_SECRET = "acrfleet-client-password"  # noqa: S105 - the Secret's name
_KEY = ".dockerconfigjson"
_STAGED_KEY = "password"


def docker_config(hosts: Sequence[str], user: str, password: SecretStr) -> SecretStr:
    """Return the content of a pull secret for image names on the given hosts."""
    value = password.get_secret_value()
    auth = b64encode(f"{user}:{value}".encode()).decode()
    entry = {"username": user, "password": value, "auth": auth}
    return SecretStr(json.dumps({"auths": dict.fromkeys(sorted(hosts), entry)}))


def pull_hosts(endpoint: SiteEndpoint, login_server: str) -> tuple[str, str]:
    """Return the image hosts that a pull secret serves; the port must match exactly."""
    return login_server, endpoint.host


def read_password(secret: SecretView, user: str) -> SecretStr | None:
    """Return the password for a user in a pull secret, or None when it holds none."""
    auths = _auths(secret)
    for entry in auths.values() if auths else ():
        if isinstance(entry, dict) and entry.get("username") == user and entry.get("password"):
            return SecretStr(str(entry["password"]))
    return None


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
    same = _auths(found) == json.loads(content.get_secret_value())["auths"]
    if not is_ours(found.meta.labels):
        if same:
            return Action.ADOPTED
        raise _foreign(site, namespace, found)
    marked = mark_annotations(mark).items() <= found.meta.annotations.items()
    labelled = our_labels(site).items() <= found.meta.labels.items()
    return Action.UNCHANGED if same and marked and labelled else Action.CHANGED


def staging_body(site: Site, mark: PasswordMark, password: SecretStr | None) -> dict[str, Any]:
    """Return the Secret that keeps a password from its generation until it is in use.

    Without a password it is the note that this slot is about to be generated.
    """
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": STAGING_SECRET,
            "labels": our_labels(site),
            "annotations": mark_annotations(mark),
        },
        "type": "Opaque",
    }
    if password is not None:
        body["data"] = {_STAGED_KEY: _encoded(password)}
    return body


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


def _foreign(site: Site, namespace: str, found: SecretView) -> NotOursError:
    return NotOursError(
        f"Secret {namespace}/{found.meta.name} at {site.name} was not made by acrfleet and "
        "holds other credentials. Delete it, or choose another `pull_secrets.name`."
    )


def _encoded(value: SecretStr) -> str:
    return b64encode(value.get_secret_value().encode()).decode()


def _auths(secret: SecretView) -> dict[str, Any] | None:
    content = secret.data.get(_KEY)
    try:
        config = json.loads(content.get_secret_value()) if content else None
    except ValueError:
        return None
    auths = config.get("auths") if isinstance(config, dict) else None
    return auths if isinstance(auths, dict) else None
