"""Small makers of domain objects, so that a test names only what it is about."""

from datetime import UTC, datetime
from typing import Any

from fleet.names import derive_names
from fleet.records import SiteRecord, blank_record
from fleet.results import SiteResult, Status
from fleet.sites import AcrRegistry, Chart, Node, Repositories, Site

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_registry(**changes: Any) -> AcrRegistry:
    return AcrRegistry(
        **{
            "key": "northsea",
            "subscription_id": "00000000-0000-0000-0000-000000000001",
            "resource_group": "rg-fleet",
            "name": "acrnorthsea",
            **changes,
        }
    )


def a_site(name: str = "oslo", **changes: Any) -> Site:
    return Site(
        **{
            "name": name,
            "fleet": "northsea",
            "registry": "northsea",
            "repositories": Repositories(include=("vessel/*",)),
            "chart": Chart(version="0.4.0"),
            "nodes": (Node(name=f"{name}-1", address="192.0.2.1"),),
            "names": derive_names("northsea", name),
            **changes,
        }
    )


def a_result(site: str = "oslo", status: Status = Status.DONE, **changes: Any) -> SiteResult:
    return SiteResult(**{"site": site, "verb": "onboard", "status": status, **changes})


def a_record(site: str = "oslo", **changes: Any) -> SiteRecord:
    return blank_record(a_site(site), NOW).model_copy(update=changes)
