"""Keep and read how fresh the images at the sites are, beside the sites' records."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.artifacts import create_table_artifact
from pydantic import ValidationError

from fleet.errors import FleetError
from fleet.freshness import SiteImages, images_key
from fleet.freshness_groups import image_rows, images_headline
from fleet.pages import artifact_key
from fleet.sites import Fleet, Site
from tasks.best_effort import best_effort
from tasks.documents import read_documents
from tasks.run_log import warn


def keep_images(images: SiteImages) -> None:
    """Write a site's images, in place of those before."""
    _images_task(images.fleet, images.site, images.model_dump(mode="json"))


@task(
    name="keep images",
    task_run_name="keep images of {site}",
    persist_result=True,
    result_serializer="json",
    result_storage_key=images_key("{parameters[fleet]}", "{parameters[site]}"),
    refresh_cache=True,
    cache_result_in_memory=False,
)
def _images_task(fleet: str, site: str, images: dict[str, Any]) -> dict[str, Any]:
    return images


def read_images(fleet: str, sites: Iterable[str]) -> dict[str, SiteImages | None]:
    """Return the images of many sites by name; None where none were ever compared."""
    keys = {site: images_key(fleet, site) for site in sites}
    texts = read_documents(keys.values())
    return {site: _parse(key, texts.get(key)) for site, key in keys.items()}


def note_no_contact(site: Site, error: FleetError) -> None:
    """Leave a site's last known figures as they are, with a note why there are no newer ones."""
    known = read_images(site.fleet, [site.name])[site.name]
    blank = SiteImages(fleet=site.fleet, site=site.name)
    first_line = str(error).splitlines()[0]
    keep_images((known or blank).without_contact(datetime.now(UTC), first_line))


def publish_images(fleet: Fleet) -> None:
    """Put the table of all sites' images where the UI shows it, under the key `images-<fleet>`."""
    now, names = datetime.now(UTC), [site.name for site in fleet.sites]
    found = read_images(fleet.name, names)
    rows = image_rows(
        [found[name] or SiteImages(fleet=fleet.name, site=name) for name in names], now
    )
    with best_effort("the table of images"):
        create_table_artifact(
            key=artifact_key("images", fleet.name),
            table=rows,
            description=images_headline([one for one in found.values() if one], len(names)),
        )


def _parse(key: str, text: str | None) -> SiteImages | None:
    if text is None:
        return None
    try:
        return SiteImages.model_validate_json(text)
    except ValidationError:
        warn(f"{key} has a form this version does not know; the next check writes it anew")
        return None
