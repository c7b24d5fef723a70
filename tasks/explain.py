"""Look at everything that a pull depends on, from Azure down to the node; nothing is written.

What can't be reached is noted, and the rest is looked at all the same. Only a pull leaves a trace:
the image in the node's cache, where a pod's own pull would have put it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from prefect import task
from prefect.artifacts import create_markdown_artifact
from pydantic import SecretStr

from fleet.errors import FleetError
from fleet.explain import Explanation, explain
from fleet.explain_facts import AzureSeen, ClusterSeen, RegistrySeen, Seen, Unread, secret_of
from fleet.explain_image import AskedImage, ImageNameError, parse_image
from fleet.explain_words import explanation_page
from fleet.pages import artifact_key
from fleet.sites import AcrRegistry, Fleet, Site
from tasks.azure_limits import azure_slot
from tasks.best_effort import best_effort
from tasks.explain_azure import ask_password, choose_image, look_at_azure
from tasks.explain_cluster import find_login_server, look_at_cluster, look_at_registry
from tasks.explain_nodes import look_at_machines, try_pulls
from tasks.policy import READ
from tasks.sessions import SiteSession, open_registry_session, open_site
from tasks.site_certificates import look_at_ca

_AZURE_S_ENDING = {"government": "azurecr.us", "china": "azurecr.cn"}

Slot = Callable[[], AbstractContextManager[None]]


@task(name="explain a failed pull", task_run_name="explain pulls at {site.name}", **READ)
def explain_pull(
    fleet: Fleet, site: Site, fleet_file: str, image: str | None, pull: bool
) -> Explanation:
    """Do what `explain_site` does, within the limits of the Prefect server."""
    registry = fleet.registries[site.registry]
    return explain_site(
        fleet, site, fleet_file, image, pull=pull, slot=partial(azure_slot, registry)
    )


def publish_explanation(fleet: str, found: Explanation) -> None:
    """Put an explanation where the UI shows it, under the key `explain-<fleet>-<site>`."""
    with best_effort("the explanation"):
        create_markdown_artifact(
            key=artifact_key("explain", fleet, found.site),
            markdown=explanation_page(found),
            description=found.headline,
        )


def explain_site(
    fleet: Fleet,
    site: Site,
    fleet_file: str,
    image: str | None = None,
    *,
    pull: bool = True,
    slot: Slot = nullcontext,
) -> Explanation:
    """Return why an image does not pull at a site, or that it does.

    Args:
        fleet: The fleet; it knows the site's registry.
        site: The site.
        fleet_file: Its file as the operator named it, for commands.
        image: As `fleet.explain_image.parse_image` reads it; None: the image that proves the site.
        pull: Whether nodes try to pull, as a pod would.
        slot: Held while Azure is asked.

    Raises:
        ImageNameError: The image is none, or there is none to choose.
        BlockNotFoundError: A block that the fleet file names does not exist.
    """
    registry = fleet.registries[site.registry]
    asked = parse_image(image) if image else None
    cloud = open_registry_session(registry)
    try:
        with open_site(site, cloud) as session:
            return explain(_look(session, asked, fleet_file, pull, slot))
    finally:
        cloud.close()


def _look(
    session: SiteSession, asked: AskedImage | None, fleet_file: str, pull: bool, slot: Slot
) -> Seen:
    site, registry = session.site, session.cloud.registry
    with slot():
        image = asked or choose_image(session.cloud, site)
        azure = look_at_azure(session.cloud, site, image)
    if isinstance(image, Unread):
        raise ImageNameError(
            f"No image was named, and none could be chosen: {image.why} Name one after the site."
        )
    login = azure.registry.login_server if isinstance(azure, AzureSeen) else ""
    nodes = look_at_machines(session, login)
    login = login or find_login_server(session) or _usual(registry)
    cluster = look_at_cluster(session, image, login, azure)
    seen = Seen(
        site=site,
        registry=registry,
        fleet_file=fleet_file,
        image=image,
        login_server=login,
        azure=azure,
        cluster=cluster,
        answers=Unread(why="the cluster does not tell where it is"),
        nodes=nodes,
        ca=_ca(session),
    )
    if seen.endpoint is not None:
        user, password = _password(seen)
        answers = look_at_registry(session, seen.endpoint, image, user, password)
        seen = seen.model_copy(update={"answers": answers})
        seen = _with_password(seen, session, user, password, slot)
    return try_pulls(session, seen, pull=pull)


def _usual(registry: AcrRegistry) -> str:
    """Return a registry's name in DNS where Azure could not be asked for it."""
    ending = _AZURE_S_ENDING.get(registry.cloud.name or "public", "azurecr.io")
    return f"{registry.name.lower()}.{ending}" if registry.cloud.name != "custom" else ""


def _password(seen: Seen) -> tuple[str, SecretStr]:
    """Return the client token's login that some namespace of the site holds."""
    logins = seen.cluster.logins if isinstance(seen.cluster, ClusterSeen) else ()
    token = seen.site.names.client_token
    return next((secret_of(one) for one in logins if one.user == token), secret_of(None))


def _with_password(
    seen: Seen, session: SiteSession, user: str, password: SecretStr, slot: Slot
) -> Seen:
    """Ask Azure for its opinion of a password that the site refuses."""
    refused = isinstance(seen.answers, RegistrySeen) and seen.answers.let_in is False
    if not refused or not isinstance(seen.azure, AzureSeen) or not user:
        return seen
    with slot():
        lets_in = ask_password(session.cloud, user, password, seen.image.repository)
    azure = seen.azure.model_copy(update={"lets_in": lets_in})
    return seen.model_copy(update={"azure": azure})


def _ca(session: SiteSession) -> str | Unread | None:
    try:
        return look_at_ca(session)
    except FleetError as error:
        return Unread(why=str(error))
