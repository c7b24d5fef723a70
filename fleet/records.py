"""The record of a site: what exists there, since when, and what proved it. It holds no secret.

Records are kept by Prefect's result storage, one JSON document per site, under `record_key`.
"""

from datetime import datetime

from pydantic import Field

from fleet.outcomes import SiteEndpoint
from fleet.passwords import PasswordMark
from fleet.results import SiteResult, Status
from fleet.sites import Site, Strict
from fleet.verification import Evidence


class SiteRecord(Strict):
    """Everything known about one site after its last run."""

    fleet: str
    site: str
    registry: str
    connected_registry: str
    repositories: tuple[str, ...] = ()
    endpoint: SiteEndpoint | None = None
    chart_version: str | None = None
    node_versions: dict[str, str] = Field(default_factory=dict)
    password: PasswordMark | None = None
    evidence: Evidence | None = None
    onboarded_at: datetime | None = None
    last_verb: str
    last_run_at: datetime
    last_status: Status
    last_message: str = ""
    last_changes: int = 0

    def after(self, result: SiteResult, now: datetime) -> "SiteRecord":
        """Return this record with the result of a run noted in it."""
        return self.model_copy(
            update={
                "last_verb": result.verb,
                "last_run_at": now,
                "last_status": result.status,
                "last_message": result.message,
                "last_changes": result.changes,
            }
        )


def proven_record(
    record: SiteRecord,
    site: Site,
    evidence: Evidence,
    password: PasswordMark | None,
    repositories: tuple[str, ...],
) -> SiteRecord:
    """Return the record of a site whose pulls were proven."""
    return record.model_copy(
        update={
            "connected_registry": site.names.connected_registry,
            "registry": site.registry,
            "repositories": repositories,
            "endpoint": evidence.endpoint,
            "chart_version": site.chart.version,
            "node_versions": {node.name: node.version for node in evidence.nodes},
            "password": password,
            "evidence": evidence,
            "onboarded_at": record.onboarded_at or evidence.time,
        }
    )


def blank_record(site: Site, now: datetime) -> SiteRecord:
    """Return the record of a site about which nothing is known yet."""
    return SiteRecord(
        fleet=site.fleet,
        site=site.name,
        registry=site.registry,
        connected_registry=site.names.connected_registry,
        last_verb="",
        last_run_at=now,
        last_status=Status.WAITING,
    )


def record_key(fleet: str, site: str) -> str:
    """Return the storage key of a site's record."""
    return f"sites/{fleet}/{site}.json"
