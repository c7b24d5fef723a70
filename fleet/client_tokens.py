"""Client tokens besides a site's own: each pulls its part of the repositories, for its namespaces.

A site seen through such a token is a site whose client objects, pull secrets and probe image are
that token's. So every step that looks after the site's own token looks after the others as well,
and each token has its own passwords, its own staging Secret and its own rotation.
"""

from fleet.names import derive_client_names
from fleet.sites import ClientToken, Site


def clients_of(site: Site) -> tuple[Site, ...]:
    """Return the site as each of its client tokens sees it; its own token's view is first."""
    return (site, *(_seen_through(site, token) for token in site.client_tokens))


def further_clients(site: Site) -> tuple[Site, ...]:
    """Return the site as its client tokens besides its own see it."""
    return clients_of(site)[1:]


def tokens_of(site: Site) -> tuple[str, ...]:
    """Return the names in Azure of all of a site's client tokens."""
    return tuple(client.names.client_token for client in clients_of(site))


def _seen_through(site: Site, token: ClientToken) -> Site:
    names = derive_client_names(site.fleet, site.name, token.name)
    return site.model_copy(
        update={
            "names": site.names.model_copy(update=names),
            "pull_secrets": token.pull_secrets,
            "probe_image": token.probe_image,
            "seen_through": token,
            "client_tokens": (),
        }
    )
