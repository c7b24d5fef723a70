"""Name and tag the current flow run once its sites are known: that is how people find it."""

from collections.abc import Sequence
from typing import Any

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from fleet.run_names import run_name, run_tags
from fleet.sites import Fleet, Site
from tasks.best_effort import best_effort


def name_run(verb: str, fleet: Fleet, sites: Sequence[Site]) -> None:
    """Name the current flow run by verb and sites, and tag it."""
    _change(sites, {f"verb:{verb}"}, name=run_name(verb, fleet, sites))


def tag_run(sites: Sequence[Site]) -> None:
    """Tag the current flow run with its fleet, its registries and, while they are few, its sites.

    For runs whose name says already what they do.
    """
    _change(sites, set())


def _change(sites: Sequence[Site], tags: set[str], **more: Any) -> None:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    wanted = sorted({*context.flow_run.tags, *run_tags(sites), *tags})
    with best_effort("the name and tags of the run"), get_client(sync_client=True) as client:
        client.update_flow_run(context.flow_run.id, tags=wanted, **more)
