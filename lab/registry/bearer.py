"""The bearer tokens that a site's registry issues: signed, short-lived, made for one host name."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lab.registry.access import Access

LIFE = timedelta(minutes=75)


class BadBearerError(Exception):
    """The bearer token is not ours, not for this host, or has expired."""


@dataclass(frozen=True)
class Bearer:
    """Whose token it is and what it may do."""

    subject: str
    access: tuple[Access, ...]

    def allows(self, kind: str, name: str, verb: str) -> bool:
        """Tell whether the token covers a verb on a repository or on the catalog."""
        return any(
            entry.kind == kind and entry.name == name and verb in entry.verbs
            for entry in self.access
        )


def issue(key: bytes, service: str, subject: str, access: Iterable[Access], now: datetime) -> str:
    """Return a JSON web token signed with HMAC-SHA256."""
    entries = [{"type": a.kind, "name": a.name, "actions": sorted(a.verbs)} for a in access]
    claims = {
        "iss": "Azure Container Registry",
        "aud": service,
        "sub": subject,
        "iat": int(now.timestamp()),
        "exp": int((now + LIFE).timestamp()),
        "access": entries,
    }
    signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
    return f"{signed}.{_sign(key, signed)}"


def read(key: bytes, service: str, token: str, now: datetime) -> Bearer:
    """Return what a token says.

    Raises:
        BadBearerError: The signature is wrong, the audience is another host, or time is up.
    """
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(_sign(key, signed).encode(), signature.encode()):
        raise BadBearerError("invalid signature")
    claims = json.loads(_decode(signed.partition(".")[2]))
    if claims["aud"] != service:
        raise BadBearerError("issued for another service")
    if now.timestamp() >= claims["exp"]:
        raise BadBearerError("token expired")
    access = (Access(a["type"], a["name"], frozenset(a["actions"])) for a in claims["access"])
    return Bearer(claims["sub"], tuple(access))


def _sign(key: bytes, text: str) -> str:
    return _base64(hmac.new(key, text.encode(), hashlib.sha256).digest())


def _encode(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
