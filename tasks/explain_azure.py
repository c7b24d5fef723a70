"""What Azure says of an image at a site: reads alone, within a slot that the caller holds."""

from pydantic import SecretStr

from fleet.errors import FleetError
from fleet.explain_facts import AzureSeen, Unread
from fleet.explain_image import AskedImage, parse_image
from fleet.repositories import select_repositories
from fleet.sites import Site
from tasks.access import read_client_access, read_sync_access
from tasks.discovery import choose_probe_image
from tasks.sessions import RegistrySession


def choose_image(cloud: RegistrySession, site: Site) -> AskedImage | Unread:
    """Return the image with which the site's pulls are proven."""
    if site.probe_image:
        return parse_image(site.probe_image)
    try:
        repositories = select_repositories(site.repositories, cloud.catalog.list_repositories())
        probe = choose_probe_image(cloud, site, repositories)
    except FleetError as error:
        return Unread(why=str(error))
    return AskedImage(repository=probe.repository, tag=probe.tag)


def look_at_azure(
    cloud: RegistrySession, site: Site, image: AskedImage | Unread
) -> AzureSeen | Unread:
    """Return the registry, the site's objects in it, and whether it has the image."""
    try:
        facts = cloud.access.read_registry()
        sync = read_sync_access(cloud.access, site)
        client = read_client_access(cloud.access, site)
    except FleetError as error:
        return Unread(why=str(error))
    return AzureSeen(
        now=cloud.access.now(),
        registry=facts,
        connected=sync.connected_registry,
        sync_map=sync.token_scope_map or sync.scope_map,
        sync_token=sync.token,
        client_map=client.token_scope_map or client.scope_map,
        client_token=client.token,
        image=image if isinstance(image, Unread) else _find(cloud, image),
    )


def _find(cloud: RegistrySession, image: AskedImage) -> str | Unread | None:
    try:
        if image.digest:
            there = cloud.catalog.has_manifest(image.repository, image.digest)
            return image.digest if there else None
        return cloud.catalog.find_digest(image.repository, image.tag)
    except FleetError as error:
        return Unread(why=str(error))


def ask_password(
    cloud: RegistrySession, user: str, password: SecretStr, repository: str
) -> bool | None:
    """Return whether the cloud registry takes a password; None where it could not be asked."""
    try:
        return cloud.catalog.lets_in(user, password, repository)
    except FleetError:
        return None
