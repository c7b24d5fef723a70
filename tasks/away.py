"""Sites that are away: a link that is down for weeks is no failure of a site that works."""

from collections.abc import Iterator
from contextlib import contextmanager

from fleet.errors import WaitingForSiteError
from fleet.host_errors import HostsUnreachableError, SiteUnreachableError
from tasks.site_runs import SiteRun


def is_away(error: HostsUnreachableError | SiteUnreachableError) -> bool:
    """Return whether nothing at the site answers."""
    return isinstance(error, SiteUnreachableError) or error.are_all


@contextmanager
def waiting_if_away(run: SiteRun) -> Iterator[None]:
    """Call a site waiting that has been onboarded and does not answer now.

    One that never answered has failed, since its address or its network may be wrong; and so has
    one of whose nodes only some are silent.

    Raises:
        WaitingForSiteError: The site is away; the next run takes it up.
    """
    try:
        yield
    except (HostsUnreachableError, SiteUnreachableError) as error:
        if run.record.onboarded_at is None or not is_away(error):
            raise
        raise WaitingForSiteError(
            f"{run.site.name} is away; the next run takes it up. {error}"
        ) from error
