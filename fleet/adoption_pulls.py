"""Taking over a site's pull secrets: in place, with the password that they hold.

A password counts when the site's own registry accepts it. A Secret keeps its UID and what it holds
for others, gains what is missing, and is marked; none is deleted and made again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from fleet.adoption import Fate, Finding, Place
from fleet.adoption_passwords import password_mark, slot_words
from fleet.azure_objects import TokenState
from fleet.cluster_objects import SecretView, ServiceAccountView
from fleet.errors import NotOursError
from fleet.outcomes import Action
from fleet.passwords import PasswordMark, Renew, choose_client_password, is_working
from fleet.pull_errors import PasswordSlotsTakenError
from fleet.pull_secrets import (
    compare_pull_secret,
    docker_config,
    has_content,
    other_users,
    pull_secret_body,
    read_hosts,
    read_password,
    read_staged,
    require_ours,
    staging_body,
)
from fleet.rotation_notes import fingerprint
from fleet.sites import Site


@dataclass(frozen=True)
class HeldPassword:
    """A password somewhere at the site; `secret` is the Secret that holds it, if it is one."""

    where: str
    user: str
    value: SecretStr
    secret: SecretView | None = None


@dataclass(frozen=True)
class PullFacts:
    """What is known about a site's pull secrets.

    `hosts` are the image hosts they serve, `targets` the Secrets by namespace, `elsewhere` further
    places that hold a password of the token, `accepted` whether the site's registry takes a
    password, by its fingerprint; `staged` is the staging Secret and `now` the present (UTC).
    """

    hosts: Sequence[str]
    token: TokenState | None
    targets: Mapping[str, SecretView | None]
    accepted: Mapping[str, bool]
    now: datetime
    elsewhere: Sequence[HeldPassword] = ()
    staged: SecretView | None = None


@dataclass
class PullPlan:
    """What becomes of the pull secrets: bodies by namespace, and a value to keep until it is in.

    `held` are the fingerprints of the passwords that stay.
    """

    findings: list[Finding] = field(default_factory=list)
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    staging: dict[str, Any] | None = None
    held: list[str] = field(default_factory=list)


def plan_pull_secrets(site: Site, facts: PullFacts) -> PullPlan:
    """Return how every target namespace comes to a pull secret with the password in use."""
    plan = PullPlan()
    for namespace, found in facts.targets.items():
        if found is not None:
            fate, detail = _plan_one(site, facts, plan, namespace, found)
            _note(site, plan, namespace, fate, detail)
    missing = [name for name, found in facts.targets.items() if found is None]
    if missing:
        fate, detail = _plan_missing(site, facts, plan)
        for namespace in missing:
            _note(site, plan, namespace, fate, detail)
    return plan


def plan_accounts(
    site: Site, accounts: Mapping[tuple[str, str], ServiceAccountView | None]
) -> Iterator[Finding]:
    """Yield what becomes of the service accounts; None: there is no such account."""
    secret = site.pull_secrets.name
    for (namespace, name), account in accounts.items():
        fate, detail = Fate.KEPT, ""
        if account is None:
            fate = Fate.OBSTACLE
            detail = "there is none; create it, or take it out of pull_secrets.service_accounts"
        elif secret not in account.pull_secrets:
            fate, detail = Fate.CHANGED, f"gets the pull secret {secret} after those it has"
        full_name = f"{namespace}/{name}"
        yield Finding(
            place=Place.CLUSTER, kind="service account", name=full_name, fate=fate, detail=detail
        )


def _note(site: Site, plan: PullPlan, namespace: str, fate: Fate, detail: str) -> None:
    name = f"{namespace}/{site.pull_secrets.name}"
    plan.findings.append(
        Finding(place=Place.CLUSTER, kind="pull secret", name=name, fate=fate, detail=detail)
    )


def _plan_one(
    site: Site, facts: PullFacts, plan: PullPlan, namespace: str, found: SecretView
) -> tuple[Fate, str]:
    user, token = site.names.client_token, facts.token
    try:
        require_ours(site, namespace, found)
    except NotOursError as error:
        return Fate.OBSTACLE, str(error)
    strangers = other_users(found, facts.hosts, user)
    if strangers:
        return Fate.OBSTACLE, _STRANGER.format(
            who=", ".join(f"{name} on {host}" for host, name in sorted(strangers.items())),
            user=user,
        )
    password = read_password(found, user)
    if password is None or token is None:
        return Fate.CHANGED, f"holds no password of {user}; it gets one"
    mark = PasswordMark.from_annotations(found.meta.annotations)
    if mark is None or not is_working(mark, token.name, token.slots, facts.now):
        if not facts.accepted.get(fingerprint(password)):
            return Fate.OBSTACLE, _REFUSED.format(user=user, site=site.name)
        mark = password_mark(token, found, facts.now)
    if mark is None:
        return Fate.OBSTACLE, _ENDED.format(user=user)
    return _keep(site, facts, plan, namespace, found, password, mark)


def _keep(
    site: Site,
    facts: PullFacts,
    plan: PullPlan,
    namespace: str,
    found: SecretView,
    password: SecretStr,
    mark: PasswordMark,
) -> tuple[Fate, str]:
    """Complete and mark a Secret whose password stays."""
    content = docker_config(facts.hosts, mark.token, password, found)
    lacking = sorted(set(facts.hosts) - set(read_hosts(found, mark.token)))
    words = [f"gains {', '.join(lacking)}"] if lacking else []
    plan.held.append(fingerprint(password))
    if len(set(plan.held)) > 1:
        words.append("holds another password than the first one; all get the same")
    fate = Fate.CHANGED if words else Fate.ADOPTED
    if has_content(found, content) and not words:
        action = compare_pull_secret(site, namespace, found, content, mark)
        fate = Fate.KEPT if action is Action.UNCHANGED else Fate.ADOPTED
    if fate is not Fate.KEPT:
        plan.bodies[namespace] = pull_secret_body(site, content, mark)
    return fate, "; ".join([*words, slot_words(mark)])


def _plan_missing(site: Site, facts: PullFacts, plan: PullPlan) -> tuple[Fate, str]:
    """Find the password for namespaces that have no pull secret yet."""
    token = facts.token
    if plan.held or any(facts.targets.values()):
        return Fate.CREATED, "with the password that the other pull secrets hold"
    if token is None:
        return Fate.CREATED, "with the first password of a new client token"
    if facts.staged is not None and read_staged(facts.staged)[1] is not None:
        return Fate.CREATED, "with the password that an earlier run made and kept"
    for one in facts.elsewhere:
        mark = password_mark(token, one.secret, facts.now)
        if facts.accepted.get(fingerprint(one.value)) and mark is not None:
            plan.staging = staging_body(site, mark, one.value)
            return Fate.CREATED, f"with the password that {one.where} holds; {slot_words(mark)}"
    if facts.elsewhere:
        where = ", ".join(one.where for one in facts.elsewhere)
        return Fate.OBSTACLE, f"{where}: {_REFUSED.format(user=token.name, site=site.name)}"
    return _new_password(token, facts.now)


def _new_password(token: TokenState, now: datetime) -> tuple[Fate, str]:
    try:
        choice = choose_client_password(token.name, token.slots, live=[], staged=None, now=now)
    except PasswordSlotsTakenError as error:
        return Fate.OBSTACLE, str(error)
    slot = choice.slot if isinstance(choice, Renew) else choice.mark.slot
    return Fate.CREATED, f"nothing at the site holds a password of {token.name}; {slot} is made"


_STRANGER = (
    "it logs in as {who}; a pull through the site's registry needs {user} there, and a Secret can"
    " name one user for a host. Choose another `pull_secrets.name`"
)
_REFUSED = (
    "the registry of {site} does not accept the password of {user} in it, so nothing proves that it"
    " is in use. See whether the connected registry accepts {user} and has synchronised since; if"
    " the Secret is a left-over, delete it or choose another `pull_secrets.name`, then adopt again"
)
_ENDED = (
    "the site's registry accepts the password of {user} in it, but Azure has none that it can be:"
    " somebody ended it, and it stops working at the next sync. Make one in a slot that nobody uses"
    " (`az acr token credential generate --registry REGISTRY --name {user} --password2`, or"
    " --password1), put it into the Secret and adopt again"
)
