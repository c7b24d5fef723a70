"""A throw-away certificate authority for one lab."""

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = timedelta(days=3650)
_PURPOSES = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


class Authority:
    """Signs server and client certificates; its own certificate is written to `ca_file`."""

    def __init__(
        self, folder: Path, name: str = "acrfleet lab CA", *, life: timedelta = _LIFE
    ) -> None:
        """Make a key and a self-signed certificate below `folder`; a negative life is over."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject(name)
        self._certificate = (
            _builder(self._name, self._name, self._key.public_key(), self._key.public_key(), life)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self.pem)

    def issue(
        self,
        common_name: str,
        *,
        names: Sequence[str] = (),
        organization: str | None = None,
        life: timedelta = _LIFE,
    ) -> tuple[bytes, bytes]:
        """Return certificate and key as PEM.

        Args:
            common_name: The subject's name; it serves none.
            names: DNS names and IP addresses it serves.
            organization: The subject's organization.
            life: How long from now on it is valid; a negative one is over.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(common_name, organization)
        builder = (
            _builder(subject, self._name, key.public_key(), self._key.public_key(), life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_PURPOSES), critical=False)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def server_context(self, names: Sequence[str]) -> ssl.SSLContext:
        """Return a TLS context for a server that answers under these names."""
        certificate, key = self.issue(names[0], names=names)
        return context_of(self.folder / f"server-{names[0]}.pem", certificate, key)


def context_of(bundle: Path, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """Return a server's TLS context for a certificate and its key, which go into `bundle`.

    Raises:
        ssl.SSLError: They are no PEM, or do not belong together.
    """
    bundle.touch(mode=0o600)
    bundle.write_bytes(certificate + b"\n" + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle)
    return context


def _subject(common_name: str, organization: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    life: timedelta,
) -> x509.CertificateBuilder:
    """Start a certificate with the key identifiers that strict verification asks for."""
    now = datetime.now(UTC)
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + life) - timedelta(hours=1))
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(signed_by, critical=False)
    )
