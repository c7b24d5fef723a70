"""What a plan says about a site's pull secrets and service accounts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from fleet.cluster_objects import ServiceAccountView
from fleet.outcomes import Action
from fleet.passwords import PasswordMark, Renew
from fleet.pull_choice import PullPassword, PullTargets
from fleet.pull_errors import PullTargetMissingError
from fleet.pull_secrets import (
    compare_pull_secret,
    docker_config,
    service_account_patch,
    staging_name,
)
from fleet.site_plan import Part, PlannedChange
from fleet.sites import Site

_TO_COME = SecretStr("known after apply")


@dataclass(frozen=True)
class PullView:
    """What decides about pull secrets: what is there, and which accounts are to have them."""

    targets: PullTargets
    accounts: Mapping[tuple[str, str], ServiceAccountView | None]


def password_change(kind: str, token: str, choice: Renew) -> PlannedChange:
    """Return that a password is generated."""
    return PlannedChange(
        part=Part.PASSWORDS,
        kind=kind,
        name=token,
        action=Action.CREATED,
        detail=f"{choice.slot} is generated, because none that works is at the site",
    )


def pull_changes(
    site: Site, view: PullView, choice: PullPassword | Renew, hosts: Sequence[str]
) -> Iterator[PlannedChange]:
    """Yield what becomes of passwords, pull secrets and service accounts.

    Args:
        site: The site.
        view: What is there.
        choice: The password that they get.
        hosts: The image hosts that a pull secret serves.

    Raises:
        NotOursError: A Secret of that name was made by somebody else.
        PullTargetMissingError: A service account is not there.
    """
    token = site.names.client_token
    if isinstance(choice, Renew):
        yield password_change("client password", token, choice)
        mark, value = PasswordMark(token=token, slot=choice.slot), _TO_COME
    else:
        mark, value = choice.mark, choice.value
    for namespace, found in view.targets.secrets.items():
        content = docker_config(hosts, token, value, found)
        action = compare_pull_secret(site, namespace, found, content, mark)
        if action is not Action.UNCHANGED:
            name = f"{namespace}/{site.pull_secrets.name}"
            yield _change("pull secret", name, action, mark.slot)
    yield from _accounts(site, view)
    if isinstance(choice, PullPassword) and choice.is_staged:
        name = f"{site.chart.namespace}/{staging_name(site)}"
        yield _change("Secret", name, Action.DELETED, "its password is in the pull secrets then")


def _accounts(site: Site, view: PullView) -> Iterator[PlannedChange]:
    secret = site.pull_secrets.name
    for (namespace, account), found in view.accounts.items():
        if found is None:
            raise PullTargetMissingError(
                f"pull_secrets.service_accounts of {site.name} names {account}, which the "
                f"namespace {namespace} does not have. Create it, or take it out of the fleet file."
            )
        if service_account_patch(secret, found) is not None:
            yield _change("service account", f"{namespace}/{account}", Action.CHANGED, secret)


def _change(kind: str, name: str, action: Action, detail: str) -> PlannedChange:
    return PlannedChange(part=Part.PULL_SECRETS, kind=kind, name=name, action=action, detail=detail)
