"""The record of a site: what exists there, since when, and what proved it. It holds no secret.

Records are kept by Prefect's result storage, one JSON document per site, under `record_key`.
"""

import hashlib
from datetime import datetime

from pydantic import Field

from fleet.outcomes import SiteEndpoint
from fleet.passwords import PasswordMark, PasswordsInUse
from fleet.results import SiteResult, Status
from fleet.sites import Site, Strict
from fleet.verification import Evidence


class DoneMark(Strict):
    """When a verb was last done at a site, and what the fleet file said then: `site_digest`."""

    at: datetime
    digest: str


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
    sync_password: PasswordMark | None = None
    further_passwords: dict[str, PasswordMark] = Field(default_factory=dict)
    evidence: Evidence | None = None
    onboarded_at: datetime | None = None
    last_verb: str
    last_run_at: datetime
    last_status: Status
    last_message: str = ""
    last_changes: int = 0
    done: dict[str, DoneMark] = Field(default_factory=dict)

    def after(self, result: SiteResult, now: datetime, digest: str) -> "SiteRecord":
        """Return this record with the result of a run noted in it.

        Args:
            result: How the run ended.
            now: When it began.
            digest: `site_digest` of the site.
        """
        done = self.done
        if result.status is Status.DONE:
            done = {**done, result.verb: DoneMark(at=now, digest=digest)}
        return self.model_copy(
            update={
                "last_verb": result.verb,
                "last_run_at": now,
                "last_status": result.status,
                "last_message": result.message,
                "last_changes": result.changes,
                "done": done,
            }
        )


def proven_record(
    record: SiteRecord,
    site: Site,
    evidence: Evidence,
    passwords: PasswordsInUse,
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
            "password": passwords.client,
            "sync_password": passwords.sync,
            "further_passwords": dict(passwords.further),
            "evidence": evidence,
            "onboarded_at": record.onboarded_at or evidence.time,
        }
    )


def with_client_password(record: SiteRecord, view: Site, mark: PasswordMark) -> SiteRecord:
    """Return a record that knows the password of a client token, the one through which `view` is.

    Args:
        record: The site's record.
        view: One of `clients_of` the site.
        mark: The password in use.
    """
    if view.seen_through is None:
        return record.model_copy(update={"password": mark})
    further = {**record.further_passwords, view.names.client_token: mark}
    return record.model_copy(update={"further_passwords": further})


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


def site_digest(site: Site, how: str = "") -> str:
    """Return a digest of what the fleet file says of a site, but for when it may be disturbed.

    Args:
        site: The site.
        how: What else makes a run's work its own: a plan, an order to roll whatever the age.
    """
    told = site.model_dump_json(exclude={"maintenance"}) + how
    return hashlib.sha256(told.encode()).hexdigest()


def record_key(fleet: str, site: str) -> str:
    """Return the storage key of a site's record."""
    return f"sites/{fleet}/{site}.json"
