"""Bearer tokens: JSON web tokens, signed by RSA for Entra and by a shared key for a registry.

They live by real time and not by the lab's clock: the client that caches them looks at its own
watch, which does not jump.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa


class BadTokenError(Exception):
    """The token is no token of ours, or it is no longer valid."""


class EntraKey:
    """The key with which the tenant signs; verifies what it has signed."""

    def __init__(self) -> None:
        """Name a new RSA key, which is made when it is first needed."""
        self.id = secrets.token_urlsafe(16)

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def sign(self, claims: dict[str, Any]) -> str:
        """Return the claims as a signed token."""
        head = {"typ": "JWT", "alg": "RS256", "kid": self.id}
        text = f"{encode(head)}.{encode(claims)}"
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_base64(signature)}"

    def verify(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that this key signed and that has not expired."""
        text, claims, signature = split(token)
        try:
            self._key.public_key().verify(
                signature, text.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature as error:
            raise BadTokenError("the signature is not ours") from error
        return _current(claims)

    def as_jwk(self) -> dict[str, str]:
        """Return the public key for the tenant's key set."""
        numbers = self._key.public_key().public_numbers()
        modulus = numbers.n.to_bytes(256, "big")
        public = {"n": _base64(modulus), "e": _base64(numbers.e.to_bytes(3, "big"))}
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id} | public


class RegistryKey:
    """The key with which one registry signs its refresh and access tokens."""

    def __init__(self) -> None:
        """Make a new random key."""
        self._key = secrets.token_bytes(32)

    def sign(self, claims: dict[str, Any]) -> str:
        """Return the claims as a signed token."""
        text = f"{encode({'typ': 'JWT', 'alg': 'HS256'})}.{encode(claims)}"
        return f"{text}.{_base64(self._digest(text))}"

    def verify(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that this key signed and that has not expired."""
        text, claims, signature = split(token)
        if not hmac.compare_digest(signature, self._digest(text)):
            raise BadTokenError("the signature is not ours")
        return _current(claims)

    def _digest(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()


def lifetime(seconds: float) -> dict[str, int]:
    """Return the claims that say from when until when a token is good."""
    now = int(time.time())
    return {"iat": now, "nbf": now - 5, "exp": now + int(seconds)}


def split(token: str) -> tuple[str, dict[str, Any], bytes]:
    """Return the signed text, the claims and the signature of a token, unverified."""
    try:
        text, signature = token.rsplit(".", 1)
        claims = json.loads(decode(text.split(".")[1]))
        return text, dict(claims), decode(signature)
    except (ValueError, IndexError, TypeError) as error:
        raise BadTokenError("it is not a JSON web token") from error


def encode(value: dict[str, Any]) -> str:
    """Return a JSON object as one segment of a token."""
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def decode(segment: str) -> bytes:
    """Return the bytes of one segment of a token."""
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _current(claims: dict[str, Any]) -> dict[str, Any]:
    if claims.get("exp", 0) <= time.time():
        raise BadTokenError("it has expired")
    return claims


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
