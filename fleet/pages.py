"""The pages and tables that people look at: Markdown and rows, made from records and results."""

import re
from collections.abc import Mapping
from datetime import datetime

from fleet.adoption import summary
from fleet.failures import group_failures
from fleet.passwords import PasswordMark
from fleet.records import SiteRecord
from fleet.results import FleetReport, SiteResult

_FEW = 10
_WORST_FIRST = ("failed", "stopped", "not started", "waiting", "never run", "done", "skipped")
_RANKS = {status: rank for rank, status in enumerate(_WORST_FIRST)}


def artifact_key(*parts: str) -> str:
    """Return a key that Prefect accepts for an artifact: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def site_page(record: SiteRecord, result: SiteResult) -> str:
    """Return a site's page: how it stands, what the last run did, and what proves it."""
    lines = [
        f"# {record.site}: {result.verb} {result.status}",
        "",
        *_told(result),
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {_cell(value)} |" for name, value in site_facts(record).items()),
        "",
        f"## What the last run did ({result.changes} changes, {result.seconds:.0f} s)",
        "",
        *([f"- {outcome}" for outcome in result.outcomes] or ["- nothing was written"]),
    ]
    lines += _adoption(result)
    if record.evidence is not None:
        lines += ["", "## What proves that images pull", "", *_evidence(record)]
    table = f"[All sites of {record.fleet}]({_link('fleet', record.fleet)})"
    lines += ["", f"{table}, and on the right the run that wrote this."]
    return "\n".join(lines) + "\n"


def _told(result: SiteResult) -> list[str]:
    """Return what the run says, and what to do about it when it came to nothing."""
    lines = [_plain(result.message), ""] if result.message else []
    if result.error:
        todo = f" {_plain(result.todo)}" if result.todo else ""
        lines += [f"**{result.error}**:{todo} (docs/reference/errors.md)", ""]
    return lines


def site_facts(record: SiteRecord) -> dict[str, str]:
    """Return what is known about a site, by name, for a page or a table."""
    facts = {
        "fleet": record.fleet,
        "last run": _last_run(record),
        "connected registry": record.connected_registry,
        "address at the site": record.endpoint.host if record.endpoint else "",
        "repositories": ", ".join(record.repositories),
        "chart": record.chart_version or "",
        "nodes": ", ".join(f"{name} {version}" for name, version in record.node_versions.items()),
        **_password_facts("password", record.password),
        **_password_facts("sync password", record.sync_password),
        "onboarded": _time(record.onboarded_at),
        "last verified": _time(record.evidence.time if record.evidence else None),
    }
    return {name: value for name, value in facts.items() if value}


def _password_facts(name: str, mark: PasswordMark | None) -> dict[str, str]:
    if mark is None:
        return {}
    return {
        name: f"{mark.token}, {mark.slot}",
        f"{name} made": _time(mark.created),
        f"{name} expires": _time(mark.expires) or "never",
    }


def _last_run(record: SiteRecord) -> str:
    return f"{record.last_verb}, {_time(record.last_run_at)}" if record.last_verb else ""


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else ""


def _link(*parts: str) -> str:
    """Return where the UI shows an artifact, from the place where it shows another one."""
    return f"../key/{artifact_key(*parts)}"


def fleet_summary(report: FleetReport) -> str:
    """Return what stands above the table: the run's counts, and what failed by its cause."""
    lines = [report.headline]
    for group in group_failures(report.results):
        lines += ["", f"**{_plain(group.headline)}**", "", *map(_quoted, group.cause.splitlines())]
        lines += ["", f"What to do: {_plain(group.todo)}"] if group.todo else []
        pages = [f"[{site}]({_link('site', report.fleet, site)})" for site in group.sites[:_FEW]]
        lines += ["", f"Pages: {', '.join(pages)}{' …' if len(group.sites) > _FEW else ''}"]
    return "\n".join(lines)


def fleet_rows(
    report: FleetReport, others: Mapping[str, SiteRecord | None], now: datetime
) -> list[dict[str, str | int]]:
    """Return one row per site of the fleet, what needs a person first.

    Args:
        report: The run that has just ended; its sites come first within each status.
        others: The records of the fleet's other sites by name; None: no run has recorded it.
        now: When the run ended, UTC.
    """
    rows = [
        _row(one.site, one.status.value, f"{one.verb}, {_time(now)}", one.message, one.changes)
        for one in report.results
        if one.site not in others
    ]
    rows += [_old_row(name, record) for name, record in others.items()]
    return sorted(rows, key=lambda row: _RANKS.get(str(row["status"]), len(_RANKS)))


def _old_row(name: str, record: SiteRecord | None) -> dict[str, str | int]:
    if record is None:
        return _row(name, "never run", "", "", 0)
    status, message = record.last_status.value, record.last_message
    return _row(name, status, _last_run(record), message, record.last_changes)


def _row(site: str, status: str, run: str, message: str, changes: int) -> dict[str, str | int]:
    return {
        "site": site,
        "status": status,
        "last run": run,
        "changes": changes,
        "message": message,
    }


def _adoption(result: SiteResult) -> list[str]:
    """Return the table of an adoption, and what the fleet file should say."""
    lines = []
    if result.findings:
        lines = ["", f"## What becomes of each object: {summary(result.findings)}", ""]
        lines += ["| where | object | what happens | |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {one.place} | {one.kind} {_cell(one.name)} | {one.fate} | {_cell(one.detail)} |"
            for one in result.findings
        ]
    if result.advice:
        lines += ["", f"Put this into the fleet file, at {result.site}:", ""]
        lines += ["```yaml", *result.advice, "```"]
    return lines


def _evidence(record: SiteRecord) -> list[str]:
    evidence = record.evidence
    if evidence is None:
        return []
    image = evidence.image
    head = f"`{image.repository}:{image.tag}` is `{image.digest}` here and in the cloud."
    rungs = [f"- {rung}" for rung in evidence.rungs]
    return [head, "", *rungs]


def _quoted(line: str) -> str:
    return f"> {_plain(line)}  "


def _plain(text: str) -> str:
    """Return text as Markdown that shows it, with `<node>` as no tag."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")
