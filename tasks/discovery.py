"""What is in a registry and whether connected registries can be made there."""

from prefect import task

from fleet.azure_errors import NoProbeImageError, RegistryNotReadyError
from fleet.azure_objects import RegistryFacts
from fleet.sites import Site
from fleet.verification import ProbeImage
from tasks.azure_limits import azure_slot
from tasks.policy import READ, WRITE
from tasks.run_log import say, warn
from tasks.sessions import RegistrySession


@task(name="check registry", task_run_name="check registry {cloud.registry.name}", **WRITE)
def check_registry(cloud: RegistrySession) -> RegistryFacts:
    """Check that a registry exists and is fit to be a parent of connected registries.

    The dedicated data endpoint is turned on where the fleet file allows it; that is all it writes.

    Raises:
        RegistryNotFoundError: There is no such registry, or the login does not see it.
        RegistryNotReadyError: It is not Premium, or its data endpoint is off.
    """
    with azure_slot(cloud.registry):
        return prepare_registry(cloud)


@task(name="list repositories", task_run_name="list repositories of {cloud.registry.name}", **READ)
def list_repositories(cloud: RegistrySession) -> tuple[str, ...]:
    """Return the names of all repositories of a registry."""
    with azure_slot(cloud.registry):
        names = cloud.catalog.list_repositories()
    say(f"registry {cloud.registry.name} has {len(names)} repositories")
    return names


@task(name="choose image to prove pulls with", task_run_name="choose image for {site.name}", **READ)
def read_probe_image(
    cloud: RegistrySession, site: Site, repositories: tuple[str, ...]
) -> ProbeImage:
    """Return the image that a site is proven with, and the digest that Azure serves for it.

    That is the site's `probe_image`, or the newest tag of the first selected repository that has a
    tag.

    Raises:
        NoProbeImageError: The named image is not there or not selected, or there is no tag at all.
    """
    with azure_slot(cloud.registry):
        return choose_probe_image(cloud, site, repositories)


def choose_probe_image(
    cloud: RegistrySession, site: Site, repositories: tuple[str, ...]
) -> ProbeImage:
    """Do what `read_probe_image` says, within a slot that the caller holds."""
    if site.probe_image:
        return _named_image(cloud, site.probe_image, repositories)
    return _first_image(cloud, site, repositories)


@task(name="look at registry", task_run_name="look at registry {cloud.registry.name}", **READ)
def look_at_registry(cloud: RegistrySession) -> RegistryFacts:
    """Do as `check_registry`, and leave a data endpoint off that it would turn on.

    Raises:
        RegistryNotFoundError, RegistryNotReadyError: As `check_registry`.
    """
    with azure_slot(cloud.registry):
        return _judged_registry(cloud)


def prepare_registry(cloud: RegistrySession) -> RegistryFacts:
    """Do what `check_registry` says, within a slot that the caller holds."""
    facts = _judged_registry(cloud)
    if not facts.data_endpoint:
        facts = cloud.access.turn_on_data_endpoint()
        name = cloud.registry.name
        warn(f"registry {name}: turned on the dedicated data endpoint, as the fleet file allows")
    return facts


def _judged_registry(cloud: RegistrySession) -> RegistryFacts:
    name, facts = cloud.registry.name, cloud.access.read_registry()
    if facts.sku.casefold() != "premium":
        raise RegistryNotReadyError(
            f"registry {name} is {facts.sku or 'of an unknown SKU'}, connected registries need"
            f" Premium: `az acr update --name {name} --sku Premium` (it costs more)"
        )
    if not facts.data_endpoint and not cloud.registry.enable_data_endpoint:
        raise RegistryNotReadyError(
            f"registry {name} has no dedicated data endpoint, connected registries need it:"
            f" run `az acr update --name {name} --data-endpoint-enabled true`, or allow it with"
            " `enable_data_endpoint: true` in the fleet file. Behind a firewall clients then also"
            f" have to reach {name}.REGION.data.azurecr.io"
        )
    if facts.abac:
        say(
            f"registry {name} assigns roles per repository (ABAC): AcrPull and AcrPush count for"
            " nothing there; to list repositories the login needs `Container Registry Repository"
            " Catalog Lister` and `Container Registry Repository Reader`"
        )
    say(f"registry {name} is ready: {facts.login_server}, {facts.sku}, {facts.location}")
    return facts


def _named_image(cloud: RegistrySession, image: str, repositories: tuple[str, ...]) -> ProbeImage:
    repository, _, tag = image.partition(":")
    tag = tag or "latest"
    if repository not in repositories:
        raise NoProbeImageError(
            f"probe_image {image}: the site does not mirror repository {repository}; name one that"
            " `repositories` selects"
        )
    digest = cloud.catalog.find_digest(repository, tag)
    if digest is None:
        raise NoProbeImageError(
            f"probe_image {image}: registry {cloud.registry.name} has no tag {tag} in {repository};"
            " push it or name another image"
        )
    return ProbeImage(repository=repository, tag=tag, digest=digest)


def _first_image(cloud: RegistrySession, site: Site, repositories: tuple[str, ...]) -> ProbeImage:
    for repository in repositories:
        tag = cloud.catalog.find_newest_tag(repository)
        digest = cloud.catalog.find_digest(repository, tag) if tag else None
        if tag and digest:
            return ProbeImage(repository=repository, tag=tag, digest=digest)
    raise NoProbeImageError(
        f"site {site.name}: none of the {len(repositories)} selected repositories has a tag, so no"
        " pull can be proven; push an image to one of them"
    )
