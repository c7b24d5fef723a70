"""Tell Prefect how a site's run ended, so that automations can act on it.

A thread of Prefect's sends the events and sends what is left when the process ends; a server that
is away costs a site neither time nor its result.
"""

from collections.abc import Mapping
from typing import Any

from prefect.events import emit_event
from prefect.exceptions import EventTooLarge

from fleet.results import SiteResult
from fleet.site_events import SiteEvent, events_of, related_resources, result_payload, site_resource
from fleet.sites import Site
from tasks.run_log import warn


def emit_result(site: Site, result: SiteResult) -> None:
    """Emit the events that a site's result amounts to, if it amounts to any."""
    for kind in events_of(result):
        emit_site_event(kind, site, result_payload(result))


def emit_site_event(kind: SiteEvent, site: Site, payload: Mapping[str, Any]) -> None:
    """Emit one event about a site; never raises, never waits.

    Args:
        kind: What is said of the site.
        site: The site; its labels and what it is related to go along.
        payload: More for people and automations, without secrets.
    """
    try:
        emit_event(
            kind.full_name,
            resource=site_resource(site),
            related=related_resources(site),
            payload=dict(payload),
        )
    except EventTooLarge:
        warn(f"the event {kind.full_name} of {site.name} is too large for Prefect; it is not sent")
