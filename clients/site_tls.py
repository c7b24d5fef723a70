"""TLS with a site's registry: the trust that verifies it, and why a connection did not come about.

Requests go only over connections that were verified. What is looked at here without verification
is the certificate alone, after a refusal, to say what is wrong with it; nothing is sent to it.
"""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx

from fleet.errors import FleetError
from fleet.outcomes import SiteEndpoint
from fleet.pull_errors import SiteSchemeError
from fleet.site_certificates import Authorities, explain_refusal, read_certificate

_SECONDS = 10.0


def trust_for(endpoint: SiteEndpoint, ca: Authorities | None) -> ssl.SSLContext:
    """Return how a site's registry is verified: chain and address, by the rules of containerd.

    Without a CA it is this machine's. An http endpoint gets a trust that trusts nobody.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if endpoint.scheme == "https" and ca is not None:
        context.load_verify_locations(cadata=ca.text)
    elif endpoint.scheme == "https":
        context.load_default_certs()
    return context


def find_tls_problem(
    endpoint: SiteEndpoint, local_port: int, ca: Authorities | None, error: Exception | None
) -> FleetError | None:
    """Return what an unanswered or refused request has to do with TLS, or None if it has nothing.

    Args:
        endpoint: The registry that was asked.
        local_port: Port on 127.0.0.1 that leads there.
        ca: With what it was verified.
        error: What the HTTP client raised; None: the registry answered, and refused.
    """
    if endpoint.scheme == "http":
        silent = isinstance(error, httpx.TimeoutException | httpx.ConnectError)
        speaks_tls = not silent and _read_shown(local_port) is not None
        return _mixed_up(endpoint, "https", "http") if speaks_tls else None
    reasons = [one for one in _causes(error) if isinstance(one, ssl.SSLError)]
    for reason in reasons:
        if isinstance(reason, ssl.SSLCertVerificationError):
            data = _read_shown(local_port)
            shown = read_certificate(data.encode()) if data else None
            known, now = ca.certificates if ca else None, datetime.now(UTC)
            return explain_refusal(endpoint, shown, known, reason.verify_message, now)
    if reasons and _speaks_http(endpoint, local_port):
        return _mixed_up(endpoint, "http", "https")
    return None


def _mixed_up(endpoint: SiteEndpoint, found: str, wanted: str) -> SiteSchemeError:
    fitting = "true" if found == "http" else "false"
    return SiteSchemeError(
        f"The site's registry at {endpoint.host} answers in {found}, but {wanted} was expected: "
        f"set chart.http_enabled: {fitting}, or have the chart serve {wanted}."
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _read_shown(local_port: int) -> str | None:
    """Return the certificate that is shown there as PEM, trusted or not; None: no TLS there."""
    try:
        return ssl.get_server_certificate(("127.0.0.1", local_port), timeout=_SECONDS)
    except (OSError, ValueError):
        return None


def _speaks_http(endpoint: SiteEndpoint, local_port: int) -> bool:
    url, headers = f"http://127.0.0.1:{local_port}/v2/", {"Host": endpoint.host}
    try:
        httpx.get(url, headers=headers, timeout=_SECONDS, trust_env=False)
    except httpx.HTTPError:
        return False
    return True
