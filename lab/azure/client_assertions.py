"""Logging in with a certificate: a token that the client signed with its own key."""

import base64
import json
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from lab.azure.errors import EntraError
from lab.azure.signing import BadTokenError, decode, lifetime, split


class Certificates:
    """The certificates that an application may log in with."""

    def __init__(self) -> None:
        """Start without any."""
        self._keys: dict[str, rsa.RSAPublicKey] = {}

    def add(self, certificate: x509.Certificate) -> None:
        """Register a certificate, which must have an RSA key."""
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise TypeError("an application's certificate has an RSA key")
        for kind in (hashes.SHA1(), hashes.SHA256()):  # noqa: S303 - x5t is SHA-1 by definition
            thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(kind))
            self._keys[thumbprint.rstrip(b"=").decode()] = key

    def check(self, assertion: str, client: str, endpoint: str) -> None:
        """Refuse an assertion that no registered key signed, or that is not for us."""
        try:
            text, claims, signature = split(assertion)
            head = _head(text)
        except (BadTokenError, ValueError) as error:
            message = "Client assertion is not a valid JWT."
            raise EntraError(401, "invalid_client", 50027, message) from error
        key = self._keys.get(str(head.get("x5t#S256") or head.get("x5t")).rstrip("="))
        if key is None:
            message = f"The key was not found by its thumbprint for the app '{client}'."
            raise EntraError(401, "invalid_client", 700027, message)
        _check_signature(key, head, text, signature)
        _check_claims(claims, client, endpoint)


def _head(text: str) -> dict[str, Any]:
    return dict(json.loads(decode(text.split(".")[0])))


def _check_signature(
    key: rsa.RSAPublicKey, head: dict[str, Any], text: str, signature: bytes
) -> None:
    algorithm = hashes.SHA256()
    pss = padding.PSS(mgf=padding.MGF1(algorithm), salt_length=padding.PSS.DIGEST_LENGTH)
    scheme = pss if head.get("alg") == "PS256" else padding.PKCS1v15()
    try:
        key.verify(signature, text.encode(), scheme, algorithm)
    except InvalidSignature as error:
        message = "Client assertion failed signature validation."
        raise EntraError(401, "invalid_client", 700027, message) from error


def _check_claims(claims: dict[str, Any], client: str, endpoint: str) -> None:
    now = lifetime(0)["exp"]
    if claims.get("exp", 0) <= now:
        message = "Client assertion is not within its valid time range."
        raise EntraError(401, "invalid_client", 700024, message)
    if claims.get("iss") != client or claims.get("sub") != client:
        message = "Issuer and subject of the client assertion must be the application."
        raise EntraError(401, "invalid_client", 700021, message)
    if claims.get("aud") != endpoint:
        message = f"Client assertion audience claim does not match {endpoint}."
        raise EntraError(401, "invalid_client", 700023, message)
