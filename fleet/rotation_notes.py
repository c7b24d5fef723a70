"""What pull secrets remember of a rotation: when the password changed, what it was, what proved it.

Annotations, because they are read and written with the password that they speak of, in one object.
"""

from datetime import datetime
from hashlib import sha256

from pydantic import SecretStr

from fleet.cluster_objects import SecretView
from fleet.passwords import PasswordMark, mark_annotations
from fleet.pull_secrets import read_password, read_staged
from fleet.rotation import Holder, Staged

_CHANGED, _PROVED = "acrfleet/changed", "acrfleet/proved"
_BEFORE = {
    "acrfleet/token": "acrfleet/previous-token",
    "acrfleet/slot": "acrfleet/previous-slot",
    "acrfleet/created": "acrfleet/previous-created",
    "acrfleet/expires": "acrfleet/previous-expires",
}


def fingerprint(password: SecretStr) -> str:
    """Return a hash by which passwords are compared without being shown."""
    return sha256(password.get_secret_value().encode()).hexdigest()


def holder_of(namespace: str, secret: SecretView | None, token: str) -> Holder:
    """Return what a namespace's pull secret holds; None: there is no Secret yet."""
    if secret is None:
        return Holder(namespace=namespace)
    notes, password = secret.meta.annotations, read_password(secret, token)
    before = {key: notes[name] for key, name in _BEFORE.items() if name in notes}
    return Holder(
        namespace=namespace,
        mark=PasswordMark.from_annotations(notes),
        fingerprint=fingerprint(password) if password else None,
        changed=_time(notes.get(_CHANGED)),
        proved=_time(notes.get(_PROVED)),
        previous=PasswordMark.from_annotations(before),
    )


def staged_of(secret: SecretView | None) -> Staged | None:
    """Return what the staging Secret says, or None when there is none or it makes no sense."""
    mark, value = read_staged(secret)
    if mark is None:
        return None
    return Staged(mark=mark, fingerprint=fingerprint(value) if value else None)


def change_notes(now: datetime, previous: PasswordMark | None) -> dict[str, str]:
    """Return the annotations that go with a new password; they void an earlier proof."""
    before = mark_annotations(previous) if previous else dict.fromkeys(_BEFORE, "")
    renamed = {_BEFORE[key]: value for key, value in before.items()}
    return {_CHANGED: now.isoformat(), _PROVED: "", **renamed}


def proof_notes(now: datetime) -> dict[str, str]:
    """Return the annotation that says when a pull at the site worked with the password."""
    return {_PROVED: now.isoformat()}


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
