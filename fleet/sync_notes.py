"""What the Secrets at a site remember of a sync rotation, and the bodies that are written there.

The connection Secret carries its notes as annotations, written with the string that they speak of.
Two more Secrets beside it hold the new password until the registry has synchronised with it, and
the string before this one until it is not needed any more.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import SecretStr

from fleet.cluster_objects import SecretView
from fleet.connection_string import build_connection_string, parse_connection_string
from fleet.helm_chart import connection_secret_body, read_connection_string
from fleet.passwords import PasswordMark
from fleet.pull_secrets import read_staged, staging_body
from fleet.rotation_notes import change_notes, fingerprint, holder_of
from fleet.sites import Site
from fleet.sync_world import Connection, Kept

STAGING = "acrfleet-sync-password"
BEFORE = "acrfleet-connection-before"
_TAKEN = "acrfleet/taken"
_VALUE = "password"


def connection_of(secret: SecretView | None) -> Connection:
    """Return what the connection Secret says; nothing, where it is missing."""
    if secret is None:
        return Connection()
    notes = holder_of(secret.meta.namespace, secret, "")
    return Connection(
        mark=notes.mark,
        fingerprint=_fingerprint(secret),
        changed=notes.changed,
        taken=_time(secret.meta.annotations.get(_TAKEN)),
        proved=notes.proved,
        previous=notes.previous,
    )


def kept_string_of(secret: SecretView | None) -> Kept | None:
    """Return which password the string in a Secret of ours holds."""
    mark = PasswordMark.from_annotations(secret.meta.annotations) if secret else None
    if secret is None or mark is None:
        return None
    return Kept(mark=mark, fingerprint=_fingerprint(secret))


def kept_password_of(secret: SecretView | None) -> Kept | None:
    """Return what the staging Secret holds: a password, or a note that one is being made."""
    mark, value = read_staged(secret)
    if mark is None:
        return None
    return Kept(mark=mark, fingerprint=fingerprint(value) if value else None)


def staging_note(site: Site, mark: PasswordMark, value: SecretStr | None) -> dict[str, Any]:
    """Return the staging Secret; a note takes the place of an older value."""
    body = staging_body(site, mark, value)
    body["metadata"]["name"] = STAGING
    if value is None:
        body["data"] = {_VALUE: None}
    return body


def before_body(site: Site, text: SecretStr, mark: PasswordMark) -> dict[str, Any]:
    """Return the Secret that keeps the string in use while another takes its place."""
    body = connection_secret_body(site, text, mark)
    body["metadata"]["name"] = BEFORE
    return body


def string_body(
    site: Site, text: SecretStr, mark: PasswordMark, now: datetime, previous: PasswordMark | None
) -> dict[str, Any]:
    """Return the connection Secret with another string; notes of the one before are void."""
    body = connection_secret_body(site, text, mark)
    body["metadata"]["annotations"] |= {**change_notes(now, previous), _TAKEN: ""}
    return body


def taken_note(now: datetime) -> dict[str, Any]:
    """Return the change that says when the chart was seen to run with the string."""
    return {"metadata": {"annotations": {_TAKEN: now.isoformat()}}}


def with_password(text: SecretStr, password: SecretStr) -> SecretStr | None:
    """Return a connection string with another password; None: it is not one of ours."""
    parts = parse_connection_string(text)
    if parts is None:
        return None
    protocol: Literal["http", "https"] = "http" if parts.protocol == "http" else "https"
    return build_connection_string(
        parts.name, parts.sync_token, password, parts.gateway_endpoint, protocol
    )


def _fingerprint(secret: SecretView) -> str | None:
    text = read_connection_string(secret)
    parts = parse_connection_string(text) if text else None
    return fingerprint(parts.password) if parts else None


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
