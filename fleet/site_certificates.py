"""Certificates of sites' registries: which one a node would accept, and why not another.

A node's containerd verifies with Go's rules, so these are Go's, where they differ from OpenSSL's:
the address must be among the subject alternative names (the common name counts for nothing), and
every certificate of the CA file ends a chain, whether it signed itself or not (Go crypto/x509).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fleet.outcomes import SiteEndpoint
from fleet.pull_errors import SiteAuthorityError, SiteCertificateError
from fleet.strict import Strict

SOON = timedelta(days=30)
"""How long before its end a certificate is worth a warning."""

_DAY = "%Y-%m-%d"
_UNNAMED = "a certificate without a name"


class Certificate(Strict):
    """What a certificate says; `names` are its subject alternative names as OpenSSL writes them."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    begins: datetime
    ends: datetime
    may_sign: bool

    def is_valid(self, now: datetime) -> bool:
        """Return whether `now` (UTC) is within its life."""
        return self.begins <= now < self.ends

    def covers(self, address: str) -> bool:
        """Return whether a client that dials this address accepts its names."""
        return _as_name(address) in self.names


class Authorities(Strict):
    """The CAs that verify a site's registry: `text` is PEM and goes to the nodes as it is."""

    text: str
    certificates: tuple[Certificate, ...]
    warnings: tuple[str, ...] = ()


def read_certificate(data: bytes) -> Certificate | None:
    """Return what a certificate says (DER, or the first of a PEM file), or None if it is none."""
    try:
        if b"-----BEGIN" in data:
            return _view(x509.load_pem_x509_certificates(data)[0])
        return _view(x509.load_der_x509_certificate(data))
    except ValueError:
        return None


def read_authorities(text: str, source: str, now: datetime) -> Authorities:
    """Return the CAs in a PEM text, without comments, in their order.

    Args:
        text: One or several certificates; several while a CA is being replaced.
        source: Where the text is from, for messages.
        now: The time in UTC.

    Raises:
        SiteAuthorityError: It holds no certificate, a key, one that is no CA, or only expired ones.
    """
    if "PRIVATE KEY-----" in text:
        raise SiteAuthorityError(
            f"{source} holds a private key, which must not go to the nodes: give a file with the "
            "CA's certificate alone."
        )
    try:
        found = x509.load_pem_x509_certificates(text.encode())
        views = tuple(_view(certificate) for certificate in found)
    except ValueError:
        raise SiteAuthorityError(
            f"{source} holds no readable PEM certificate: give the certificate of the CA that "
            "signs the registry's, with its BEGIN and END lines."
        ) from None
    _refuse_unfit(views, source, now)
    pem = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)
    warnings = tuple(_authority_warnings(views, source, now))
    return Authorities(text=pem.decode(), certificates=views, warnings=warnings)


def find_name_problem(shown: Certificate, address: str) -> str:
    """Return what keeps a certificate from being valid for an address, or an empty text."""
    if shown.covers(address):
        return ""
    return (
        f"it does not name {address}: its subject alternative names are {_listed(shown.names)}; "
        f"issue it again with {_as_name(address)} among them"
    )


def find_time_problem(shown: Certificate, now: datetime) -> str:
    """Return that a certificate is expired or not valid yet, or an empty text."""
    if now >= shown.ends:
        return f"it expired on {shown.ends:{_DAY}}; issue it again"
    if now < shown.begins:
        return f"it is valid only from {shown.begins:%Y-%m-%d %H:%M} UTC; look at the clocks"
    return ""


def find_end_warning(shown: Certificate, now: datetime) -> str:
    """Return that a certificate ends soon, or an empty text."""
    if now >= shown.ends - SOON:
        return f"expires on {shown.ends:{_DAY}}, in {(shown.ends - now).days} days"
    return ""


def explain_refusal(
    endpoint: SiteEndpoint,
    shown: Certificate | None,
    authorities: Sequence[Certificate] | None,
    words: str,
    now: datetime,
) -> SiteCertificateError:
    """Return why the certificate that a site's registry shows was refused, and what to do.

    Args:
        endpoint: Where it was shown.
        shown: The certificate, None if it could not be read.
        authorities: The CAs it was verified with; None: those of this machine.
        words: What the TLS library said.
        now: The time in UTC.
    """
    problems = _problems(endpoint, shown, authorities, now) if shown else []
    who = f" ({shown.subject})" if shown else ""
    listed = "; ".join(problems) or f"{words}; look at it with `openssl s_client`"
    return SiteCertificateError(
        f"The certificate of the site's registry at {endpoint.url}{who} is refused: {listed}. "
        "Nodes would refuse it too."
    )


def _problems(
    endpoint: SiteEndpoint,
    shown: Certificate,
    authorities: Sequence[Certificate] | None,
    now: datetime,
) -> list[str]:
    time, issuer = find_time_problem(shown, now), _issuer_problem(shown, authorities)
    return list(filter(None, (find_name_problem(shown, endpoint.address), time, issuer)))


def _issuer_problem(shown: Certificate, authorities: Sequence[Certificate] | None) -> str:
    if authorities is None:
        return (
            f"it was issued by {shown.issuer}; if this machine does not know that CA, give its "
            "certificate as chart.tls.ca_file"
        )
    known = [authority.subject for authority in authorities]
    if shown.issuer in known:
        return ""
    return (
        f"it was issued by {shown.issuer}, but the CA of chart.tls is {_listed(known)}; give the "
        "right CA, or let the registry send the certificates in between"
    )


def _refuse_unfit(views: Sequence[Certificate], source: str, now: datetime) -> None:
    for number, view in enumerate(views, 1):
        if not view.may_sign:
            raise SiteAuthorityError(
                f"{source}: certificate {number} ({view.subject}) is not a CA's: give the "
                f"certificate of the CA that issued it ({view.issuer})."
            )
    if not any(view.is_valid(now) for view in views):
        listed = ", ".join(f"{v.subject} ({find_time_problem(v, now)})" for v in views)
        raise SiteAuthorityError(f"{source} holds no CA that is valid today: {listed}.")


def _authority_warnings(views: Sequence[Certificate], source: str, now: datetime) -> list[str]:
    found = []
    for view in views:
        if not view.is_valid(now):
            found.append(f"{source}: {view.subject}: {find_time_problem(view, now)}")
        elif find_end_warning(view, now):
            found.append(f"{source}: the CA {view.subject} {find_end_warning(view, now)}")
    return found


def _view(certificate: x509.Certificate) -> Certificate:
    return Certificate(
        subject=certificate.subject.rfc4514_string() or _UNNAMED,
        issuer=certificate.issuer.rfc4514_string() or _UNNAMED,
        names=_names(certificate),
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
        may_sign=_may_sign(certificate),
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = [f"DNS:{name.lower()}" for name in found.get_values_for_type(x509.DNSName)]
    return (*names, *(f"IP:{name}" for name in found.get_values_for_type(x509.IPAddress)))


def _may_sign(certificate: x509.Certificate) -> bool:
    extensions = certificate.extensions
    try:
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as missing:
        return missing.oid == x509.KeyUsage.oid


def _as_name(address: str) -> str:
    try:
        return f"IP:{ip_address(address)}"
    except ValueError:
        return f"DNS:{address.lower()}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
