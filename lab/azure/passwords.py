"""A token's two passwords: shown once, kept as salted hashes."""

import hashlib
import hmac
import secrets
import string
from dataclasses import dataclass
from datetime import datetime

SLOTS = ("password1", "password2")
_ALPHABET = string.ascii_letters + string.digits + "=+/"


@dataclass(frozen=True)
class PasswordHash:
    """One slot's password: everything but the value.

    `effective` is when the cloud registry begins to accept it; `expires` is None for never.
    """

    slot: str
    salt: bytes
    digest: bytes
    created: datetime
    effective: datetime
    expires: datetime | None

    def matches(self, value: str, now: datetime) -> bool:
        """Tell whether `value` is this password and whether it counts at `now`."""
        expired = self.expires is not None and self.expires <= now
        same = hmac.compare_digest(_digest(self.salt, value), self.digest)
        return same and not expired and self.effective <= now


def new_value() -> str:
    """Return a password such as the service makes: `=`, `+` and `/` occur in each."""
    letters = [secrets.choice(_ALPHABET) for _ in range(29)]
    for sign in "=+/":
        letters.insert(secrets.randbelow(len(letters) + 1), sign)
    return "".join(letters)


def hash_value(
    slot: str, value: str, *, created: datetime, effective: datetime, expires: datetime | None
) -> PasswordHash:
    """Return what the registry keeps of a new password."""
    salt = secrets.token_bytes(16)
    return PasswordHash(slot, salt, _digest(salt, value), created, effective, expires)


def _digest(salt: bytes, value: str) -> bytes:
    return hashlib.sha256(salt + value.encode()).digest()
