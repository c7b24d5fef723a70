"""Look at what a lab's Azure holds for a site: connected registry and scope maps."""

from datetime import UTC, datetime
from typing import Any

from lab.azure.rendering import connected_registry_json
from lab.azure.state import Registry
from lab.thread import LabThread
from tests.waiting import wait_until


def cloud_registry(lab: LabThread) -> Registry:
    """Return the first registry of the lab's Azure, to look at and to tamper with."""
    return next(iter(lab.world.azure.cloud.registries.values()))


def connected_registry(lab: LabThread, site: str) -> dict[str, Any]:
    """Return the properties of a site's connected registry, as Resource Manager shows them."""

    def render() -> dict[str, Any]:
        registry, now = cloud_registry(lab), datetime.now(UTC)
        item = next(one for one in registry.connected.values() if one.name.startswith(site))
        shown = connected_registry_json(lab.world.azure.cloud, registry, item, now, "2025-11-01")
        return {**shown["properties"], "name": item.name}

    found: dict[str, Any] = lab.call(render)
    return found


def last_sync(lab: LabThread, site: str) -> datetime:
    """Return when a site has synchronised last, by Azure."""
    parent = connected_registry(lab, site)["parent"]
    return datetime.fromisoformat(parent["syncProperties"]["lastSyncTime"])


def actions_of(lab: LabThread, site: str, role: str = "sync") -> set[str]:
    """Return the actions of one of a site's scope maps."""
    maps = cloud_registry(lab).scope_maps.values()
    return next(
        set(one.actions)
        for one in maps
        if one.name.startswith(site) and one.name.endswith(f"-{role}-map")
    )


def gateways_of(lab: LabThread, site: str) -> set[str]:
    """Return the sites whose messages a site's sync token passes."""
    names = {one.split("/")[1] for one in actions_of(lab, site) if one.startswith("gateway/")}
    sites = [entry["name"] for entry in lab.info["sites"]]
    return {next(site for site in sites if name.startswith(site)) for name in names}


def set_link(lab: LabThread, site: str, *, up: bool) -> None:
    """Cut or mend a site's link, and wait until Azure has noticed."""
    lab.call(lab.world.set_offline, site, not up)
    wanted = "Online" if up else "Offline"
    wait_until(lambda: connected_registry(lab, site)["connectionState"] == wanted)
