"""Whether a registry's own certificate fits, looked at in its Secret before anything is written."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from fleet.chart_progress import find_endpoint
from fleet.cluster_objects import SecretView, ServiceView
from fleet.outcomes import SiteEndpoint
from fleet.site_certificates import (
    Certificate,
    find_end_warning,
    find_name_problem,
    find_time_problem,
    read_certificate,
)
from fleet.sites import Site

_CERTIFICATE, _KEY = "tls.crt", "tls.key"


def find_certificate_problems(
    site: Site, secret: SecretView | None, services: Sequence[ServiceView], now: datetime
) -> Iterator[str]:
    """Yield what nodes would refuse the registry for, or why its pod would not start.

    Args:
        site: The site; without `chart.tls.secret` there is nothing to look at.
        secret: The Secret of that name in the chart's namespace, None if there is none.
        services: Services of the cluster; an earlier installation's tells the address.
        now: The time in UTC.
    """
    name = _secret_name(site)
    if name is None:
        return
    if secret is None:
        yield (
            f"chart.tls.secret: the Secret {name} does not exist; create it with `kubectl create "
            "secret tls`"
        )
        return
    yield from (
        f"chart.tls.secret: the Secret {name} has no {key}"
        for key in (_CERTIFICATE, _KEY)
        if key not in secret.data
    )
    shown = _shown(secret)
    if shown is None:
        if _CERTIFICATE in secret.data:
            yield f"chart.tls.secret: {_CERTIFICATE} of the Secret {name} is no PEM certificate"
        return
    address = _address(site, services)
    names = find_name_problem(shown, address) if address else ""
    for problem in filter(None, (names, find_time_problem(shown, now))):
        yield f"chart.tls.secret: the certificate in the Secret {name} will be refused: {problem}"


def find_certificate_warnings(
    site: Site, secret: SecretView | None, services: Sequence[ServiceView], now: datetime
) -> Iterator[str]:
    """Yield what an operator should know about a certificate that stops nothing today."""
    name, shown = _secret_name(site), _shown(secret)
    if name is None or shown is None:
        return
    if find_end_warning(shown, now):
        yield f"The certificate in the Secret {name} at {site.name} {find_end_warning(shown, now)}"
    if _address(site, services) is None:
        named = ", ".join(found for found in shown.names if found.startswith("IP:")) or "none"
        yield (
            f"The cluster of {site.name} chooses the address of the registry, which its "
            f"certificate in the Secret {name} has to name (it names the addresses {named}): set "
            "chart.service.cluster_ip"
        )


def _secret_name(site: Site) -> str | None:
    tls = site.chart.tls
    return f"{site.chart.namespace}/{tls.secret}" if tls and tls.secret else None


def _shown(secret: SecretView | None) -> Certificate | None:
    content = secret.data.get(_CERTIFICATE) if secret else None
    return read_certificate(content.get_secret_value().encode()) if content else None


def _address(site: Site, services: Sequence[ServiceView]) -> str | None:
    if site.chart.service.cluster_ip:
        return str(site.chart.service.cluster_ip)
    local = [one for one in services if one.meta.namespace == site.chart.namespace]
    found = find_endpoint(site.chart, local)
    return found.address if isinstance(found, SiteEndpoint) else None
