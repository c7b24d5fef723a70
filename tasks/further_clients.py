"""Look after a site's client tokens besides its own: prove that each pulls what it is for."""

from fleet.client_tokens import further_clients
from fleet.outcomes import SiteEndpoint
from tasks.sessions import SiteSession
from tasks.upstreams import Upstream
from tasks.verification import verify_pulls


def verify_further_pulls(session: SiteSession, endpoint: SiteEndpoint, upstream: Upstream) -> None:
    """Climb the ladder of proofs with the pull secret of each further client token.

    Raises:
        RepositoriesNotFoundError: A token's globs select nothing of what the site mirrors.
        WaitingForSiteError, NotOnboardedError, SiteTokenRefusedError: As `verify_pulls` does.
    """
    for view in further_clients(session.site):
        probe = upstream.probe_image_of(view)
        with session.seen_as(view):
            verify_pulls(session, endpoint, upstream.facts.login_server, probe)
