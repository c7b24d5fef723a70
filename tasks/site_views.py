"""Read what is known of many sites, for those who look at the fleet; nothing outside is asked."""

from collections.abc import Sequence

from fleet.site_views import SiteView
from fleet.sites import Site
from tasks.records import read_records
from tasks.site_images import read_images


def read_views(fleet: str, sites: Sequence[Site]) -> list[SiteView]:
    """Return the sites in their order, each with its record and its images."""
    names = [site.name for site in sites]
    records = read_records(fleet, names)
    images = read_images(fleet, names)
    return [SiteView(name, records[name], images[name]) for name in names]
