"""The pages and tables that people look at: Markdown and rows, made from records and results."""

import re

from fleet.records import SiteRecord
from fleet.results import FleetReport, SiteResult


def artifact_key(*parts: str) -> str:
    """Return a key that Prefect accepts for an artifact: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def site_page(record: SiteRecord, result: SiteResult) -> str:
    """Return a site's page: how it stands, what the last run did, and what proves it."""
    lines = [
        f"# {record.site}: {result.verb} {result.status}",
        "",
        result.message,
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {_cell(value)} |" for name, value in site_facts(record).items()),
        "",
        f"## What the last run did ({result.changes} changes, {result.seconds:.0f} s)",
        "",
        *([f"- {outcome}" for outcome in result.outcomes] or ["- nothing was written"]),
    ]
    if record.evidence is not None:
        lines += ["", "## What proves that images pull", "", *_evidence(record)]
    return "\n".join(lines) + "\n"


def site_facts(record: SiteRecord) -> dict[str, str]:
    """Return what is known about a site, by name, for a page or a table."""
    password = record.password
    facts = {
        "fleet": record.fleet,
        "connected registry": record.connected_registry,
        "address at the site": record.endpoint.host if record.endpoint else "",
        "repositories": ", ".join(record.repositories),
        "chart": record.chart_version or "",
        "nodes": ", ".join(f"{name} {version}" for name, version in record.node_versions.items()),
        "password": f"{password.token}, {password.slot}" if password else "",
        "password made": f"{password.created:%Y-%m-%d}" if password and password.created else "",
        "password expires": f"{password.expires:%Y-%m-%d}"
        if password and password.expires
        else ("never" if password else ""),
        "onboarded": f"{record.onboarded_at:%Y-%m-%d %H:%M} UTC" if record.onboarded_at else "",
        "last verified": f"{record.evidence.time:%Y-%m-%d %H:%M} UTC" if record.evidence else "",
    }
    return {name: value for name, value in facts.items() if value}


def fleet_rows(report: FleetReport) -> list[dict[str, str | int]]:
    """Return one row per site, what needs a person first."""
    return [
        {
            "site": result.site,
            "status": result.status.value,
            "changes": result.changes,
            "seconds": round(result.seconds),
            "message": result.message,
        }
        for result in report.results
    ]


def _evidence(record: SiteRecord) -> list[str]:
    evidence = record.evidence
    if evidence is None:
        return []
    image = evidence.image
    head = f"`{image.repository}:{image.tag}` is `{image.digest}` here and in the cloud."
    rungs = [f"- {rung}" for rung in evidence.rungs]
    return [head, "", *rungs]


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")
