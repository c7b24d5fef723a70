"""Keeping a site's passwords: proven to work, their slot told as far as it can be, never renewed.

Azure shows when each slot was filled and not what is in it. A value that was in use at some time
cannot be from a slot that was filled later; if that leaves one slot, it is known, and otherwise it
is recorded as unknown (`fleet.passwords.adopted_mark`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from pydantic import SecretStr

from fleet.adoption import Fate, Finding, Place
from fleet.adoption_sources import Installation
from fleet.azure_objects import ConnectedRegistryState, TokenState
from fleet.cluster_objects import SecretView
from fleet.connection_string import build_connection_string, choose_gateway, same_connection
from fleet.errors import FleetError
from fleet.helm_chart import (
    connection_secret_body,
    connection_secret_name,
    is_ours,
    read_connection_string,
)
from fleet.passwords import UNKNOWN_SLOT, PasswordMark, adopted_mark, is_working
from fleet.sites import Site

CLOCKS = timedelta(minutes=10)
"""How far apart Azure's and a site's clock may be; a slot filled within it is not ruled out."""


@dataclass(frozen=True)
class ConnectionPlan:
    """What becomes of the connection string: the Secret to write, if any, and what it holds."""

    finding: Finding
    body: dict[str, Any] | None = None
    text: SecretStr | None = None


class _Result(Protocol):
    def __call__(
        self,
        fate: Fate,
        detail: str,
        body: dict[str, Any] | None = None,
        text: SecretStr | None = None,
    ) -> ConnectionPlan: ...


@dataclass(frozen=True)
class SyncFacts:
    """What is known of the sync password: Azure's view, the cluster's, and the present (UTC)."""

    token: TokenState | None
    state: ConnectedRegistryState | None
    secret: SecretView | None
    runs: bool
    now: datetime


def plan_connection(site: Site, installation: Installation, facts: SyncFacts) -> ConnectionPlan:
    """Return how the connection string comes into the Secret from which acrfleet keeps it."""
    name = connection_secret_name(site.chart)

    def result(
        fate: Fate, detail: str, body: dict[str, Any] | None = None, text: SecretStr | None = None
    ) -> ConnectionPlan:
        found = Finding(place=Place.CLUSTER, kind="Secret", name=name, fate=fate, detail=detail)
        return ConnectionPlan(found, body, text)

    token, state, secret = facts.token, facts.state, facts.secret
    if token is None or state is None:
        return result(Fate.OBSTACLE, "its connected registry or sync token is not in Azure")
    held = PasswordMark.from_annotations(secret.meta.annotations) if secret else None
    text = read_connection_string(secret) if secret else None
    if secret is not None and is_ours(secret.meta.labels) and text is not None:
        if is_working(held, token.name, token.slots, facts.now):
            return result(Fate.KEPT, slot_words(held))
    elif secret is not None and text != installation.text:
        return result(
            Fate.OBSTACLE,
            f"a Secret of that name exists in {site.chart.namespace} and holds something else than"
            " the release's connection string; delete it, or choose another `chart.release`",
        )
    doubt = _doubt(installation, facts)
    if doubt:
        return result(Fate.OBSTACLE, doubt)
    return _take_over(site, installation, facts, result)


def slot_words(mark: PasswordMark | None) -> str:
    """Return which slot a password is in, for people."""
    if mark is None:
        return ""
    if mark.slot == UNKNOWN_SLOT:
        return f"the password of {mark.token} stays; which of its slots it is in is unknown"
    return f"the password of {mark.token} stays, it is in {mark.slot}"


def _take_over(
    site: Site, installation: Installation, facts: SyncFacts, result: _Result
) -> ConnectionPlan:
    assert facts.token is not None  # noqa: S101 - plan_connection has looked
    assert facts.state is not None  # noqa: S101 - the same
    names, written = site.names, installation.written
    mark = adopted_mark(
        names.sync_token, facts.token.slots, written + CLOCKS if written else None, facts.now
    )
    if mark is None:
        return result(
            Fate.OBSTACLE, _NO_SLOT.format(token=names.sync_token, name=names.connected_registry)
        )
    try:
        wanted = build_connection_string(
            names.connected_registry,
            names.sync_token,
            installation.connection.password,
            *choose_gateway(site, facts.state.gateway_endpoint),
        )
    except FleetError as error:
        return result(Fate.OBSTACLE, str(error))
    same = same_connection(wanted, installation.text)
    text = installation.text if same else wanted
    body = connection_secret_body(site, text, mark)
    if not same:
        detail = "the parent's address in it is not Azure's any more; the registry restarts; "
        return result(Fate.CHANGED, detail + slot_words(mark), body, text)
    fate = Fate.CREATED if facts.secret is None else Fate.ADOPTED
    return result(fate, slot_words(mark), body, text)


_NO_SLOT = (
    "Azure has no password of {token} that the connection string can hold: both were made after it,"
    " or have expired, so it stops working at the next contact. Make a new one and give it to the"
    " site, then adopt: `az acr connected-registry get-settings --registry REGISTRY --name {name}"
    " --parent-protocol https --generate-password 1`"
)


def _doubt(installation: Installation, facts: SyncFacts) -> str:
    """Return why it is not proven that the sync password works, or nothing."""
    state, token = facts.state, facts.token
    assert state is not None  # noqa: S101 - plan_connection has looked
    assert token is not None  # noqa: S101 - the same
    name = installation.connection.name
    if not facts.runs:
        return (
            f"the registry's pod does not run, so nothing proves that the password of {token.name}"
            " works. See `kubectl logs` of the pod, bring it up, then adopt"
        )
    if state.is_online and state.is_active:
        return ""
    return (
        f"{name} is {state.connection_state} and {state.activation} in Azure, so nothing proves"
        f" that the password of {token.name} works. Mend the site's link or the registry and adopt"
        " then. If the site is to start over, run `az acr connected-registry deactivate --registry"
        f" REGISTRY --name {name}`, uninstall the release and onboard"
    )


def password_mark(
    token: TokenState, secret: SecretView | None, now: datetime
) -> PasswordMark | None:
    """Return the mark of a client password that the site's registry accepts.

    `secret` is the object that holds it; its last write came after the password was made.
    """
    written = secret.meta.written if secret else None
    return adopted_mark(token.name, token.slots, written + CLOCKS if written else None, now)
