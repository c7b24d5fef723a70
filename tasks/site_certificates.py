"""The CA that vouches for a site's registry: from a file here, or from the site's cluster."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect import task

from clients.cluster import Cluster
from clients.local_files import read_ca_file
from fleet.pull_errors import SiteAuthorityMissingError
from fleet.site_certificates import Authorities, read_authorities
from fleet.sites import Site
from tasks.policy import READ
from tasks.run_log import warn

if TYPE_CHECKING:
    from tasks.sessions import SiteSession

_KEY = "ca.crt"


def check_ca(session: "SiteSession") -> None:
    """Look at the CA file of an https site before anything is written; warn when it ends soon.

    A CA in the site's cluster is read later: cert-manager may only make it with the chart.

    Raises:
        SiteAuthorityError: The file is missing, or holds no CA that is valid today.
    """
    tls = session.site.chart.tls
    if tls is not None and tls.ca_file is not None:
        _check(session)


def read_ca(session: "SiteSession") -> str | None:
    """Return the CA of an https site as PEM text for its nodes, or None if they need none.

    Raises:
        SiteAuthorityMissingError: The site's cluster does not hold it yet.
        SiteAuthorityError: It is no CA that is valid today.
    """
    return None if session.site.chart.tls is None else _read(session)


def look_at_ca(session: "SiteSession") -> str | None:
    """Do as `read_ca` as part of another step, and warn about what ends soon.

    Raises:
        SiteAuthorityMissingError, SiteAuthorityError: As above.
    """
    _warn_about(session)
    return _text(session)


@task(name="check CA", task_run_name="check the CA of {session.site.name}", **READ)
def _check(session: "SiteSession") -> None:
    _warn_about(session)


@task(name="read CA", task_run_name="read the CA of {session.site.name}", **READ)
def _read(session: "SiteSession") -> str | None:
    tls = session.site.chart.tls
    if tls is not None and tls.ca_secret is not None:
        _warn_about(session)
    return _text(session)


def _text(session: "SiteSession") -> str | None:
    ca = session.read_ca()
    return ca.text if ca else None


def load_authorities(site: Site, cluster: Cluster | None) -> Authorities | None:
    """Return the CAs that the fleet file names for a site, or None if it names none.

    Args:
        site: The site.
        cluster: Needed where the CA is in a Secret there.

    Raises:
        SiteAuthorityError, SiteAuthorityMissingError: As above.
    """
    tls, now = site.chart.tls, datetime.now(UTC)
    if tls is None:
        return None
    if tls.ca_file is not None:
        return read_authorities(read_ca_file(tls.ca_file), f"the CA file {tls.ca_file}", now)
    if tls.ca_secret is None or cluster is None:
        return None
    name = f"{site.chart.namespace}/{tls.ca_secret}"
    found = cluster.find_secret(site.chart.namespace, tls.ca_secret)
    if found is None or _KEY not in found.data:
        what = f"has no {_KEY}" if found else "does not exist"
        raise SiteAuthorityMissingError(
            f"The Secret {name} at {site.name} {what}, so nodes cannot be given the CA of their "
            "registry. Wait for cert-manager, or mend chart.tls.ca_secret."
        )
    source = f"{_KEY} of the Secret {name} at {site.name}"
    return read_authorities(found.data[_KEY].get_secret_value(), source, now)


def _warn_about(session: "SiteSession") -> None:
    ca = session.read_ca()
    for warning in ca.warnings if ca else ():
        warn(warning)
