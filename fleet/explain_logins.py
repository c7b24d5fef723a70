"""With what a pod logs in to pull: the pull secrets of its service account, matched by host.

The kubelet compares an entry's host with the image's, port included, and tries every entry that
fits (facts/edge-hosts.md §5.1). A service account's list is copied when the pod is created (§5.2).
"""

from collections.abc import Mapping

from pydantic import SecretStr

from fleet.cluster_objects import SecretView, ServiceAccountView
from fleet.pull_secrets import TYPE, logins_by_host
from fleet.strict import Strict


class PodLogin(Strict):
    """What pods of one service account log in with for an image's host.

    `problem` is empty where it is the client token's; else one of absent, unattached, unreadable,
    other-host, other-user, no-namespace.
    """

    namespace: str
    account: str
    problem: str = ""
    evidence: str = ""
    user: str = ""
    password: SecretStr | None = None


def find_login(
    namespace: str,
    account: ServiceAccountView | None,
    secrets: Mapping[str, SecretView | None],
    host: str,
    token: str,
    name: str,
) -> PodLogin:
    """Return what pods of a service account log in with.

    Args:
        namespace: Theirs.
        account: The service account; None: it is not there.
        secrets: Its pull secrets and ours, by name; None: not there.
        host: The image's host, with its port.
        token: The client token's name.
        name: Our pull secret's name.
    """
    who = account.meta.name if account else "default"
    base = PodLogin(namespace=namespace, account=who)
    listed = account.pull_secrets if account else ()
    entries = [
        (one, *entry)
        for one in listed
        if (secret := secrets.get(one))
        for entry in logins_by_host(secret)
    ]
    for _, at, user, password in entries:
        if at == host.lower() and user == token:
            return base.model_copy(update={"user": user, "password": SecretStr(password)})
    problem, evidence = _why_not(namespace, who, listed, secrets, host, name)
    others = [(one, user, password) for one, at, user, password in entries if at == host.lower()]
    if others:
        one, user, password = others[0]
        return base.model_copy(
            update={
                "problem": "other-user",
                "evidence": f"Secret {namespace}/{one} holds {user} for {host}, not {token}",
                "user": user,
                "password": SecretStr(password),
            }
        )
    return base.model_copy(update={"problem": problem, "evidence": evidence})


def _why_not(
    namespace: str,
    account: str,
    listed: tuple[str, ...],
    secrets: Mapping[str, SecretView | None],
    host: str,
    name: str,
) -> tuple[str, str]:
    ours, where = secrets.get(name), f"{namespace}/{name}"
    if ours is None:
        return "absent", f"there is no Secret {where}"
    if ours.type != TYPE:
        return "unreadable", f"Secret {where} is of type {ours.type}, which kubelets do not read"
    found = logins_by_host(ours)
    if not found:
        return "unreadable", f"Secret {where} holds no login that a kubelet can read"
    if name not in listed:
        return "unattached", f"service account {namespace}/{account} does not list {name}"
    hosts = ", ".join(sorted({at for at, _, _ in found}))
    return "other-host", f"Secret {where} has logins for {hosts}; the image's host is {host}"
