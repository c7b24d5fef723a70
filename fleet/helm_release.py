"""A Helm release as Helm records it in the cluster, and what has to be done about it.

Each revision is a Secret of type `helm.sh/release.v1`: gzipped JSON, base64 twice (once Helm's,
once the Secret's). Its `config` holds the values that the user gave, the connection string among
them, so they are a `SecretStr` here and only their names are ever told.
"""

import binascii
import gzip
import hashlib
import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from fleet.cluster_errors import HelmRecordUnreadableError
from fleet.cluster_objects import Meta, SecretView
from fleet.errors import NotOursError
from fleet.helm_chart import chart_values, is_ours, our_labels
from fleet.outcomes import Action
from fleet.sites import Chart, Site, Strict

RELEASE_TYPE = "helm.sh/release.v1"
_REFERENCE = "acrfleet/chart-reference"
_LARGEST = 32 * 1024 * 1024
_UNFINISHED = ("pending-install", "pending-upgrade", "pending-rollback", "uninstalling")
_CONNECTION = "connectionString"
_FOUND_DEAD = "acrfleet found it unfinished; the helm that worked on it is gone"


class HelmRelease(Strict):
    """One revision of a release; `values` is the JSON object that the user gave."""

    meta: Meta
    name: str
    revision: int
    status: str
    chart_name: str
    chart_version: str
    values: SecretStr
    description: str = ""
    deployed: datetime | None = None

    @property
    def is_unfinished(self) -> bool:
        """Return whether a helm works on it, or was killed while it did; helm refuses both."""
        return self.status in _UNFINISHED


class ReleasePlan(Strict):
    """What to do about a release; `unfinished` is the record to close first."""

    action: Action
    detail: str = ""
    unfinished: bool = False


def read_release(secret: SecretView) -> HelmRelease:
    """Return the revision that a Secret holds.

    Raises:
        HelmRecordUnreadableError: It is not what Helm 3 or 4 writes.
    """
    body = _unpack(secret)
    try:
        metadata = body["chart"]["metadata"]
        info = body["info"]
        return HelmRelease(
            meta=secret.meta,
            name=body["name"],
            revision=body["version"],
            status=info["status"],
            description=info.get("description") or "",
            chart_name=metadata["name"],
            chart_version=metadata["version"],
            values=SecretStr(json.dumps(body.get("config") or {}, sort_keys=True)),
            deployed=_time(info.get("last_deployed")),
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise _unreadable(secret) from None


def release_connection_string(release: HelmRelease) -> SecretStr | None:
    """Return the connection string that a release was installed with, whoever did it."""
    found = _parse(release.values).get(_CONNECTION)
    return SecretStr(found) if isinstance(found, str) and found else None


def wanted_values(chart: Chart, connection_string: SecretStr) -> SecretStr:
    """Return the values file for helm: what the HelmChart would carry, and the secret value."""
    values = {**chart_values(chart), _CONNECTION: connection_string.get_secret_value()}
    return SecretStr(json.dumps(values, sort_keys=True, default=str))


def release_labels(site: Site) -> dict[str, str]:
    """Return the labels for Helm's records: who made them and, hashed, where the chart was from.

    Helm records a chart's name and version, but not where it was pulled from.
    """
    digest = hashlib.sha256(site.chart.reference.encode()).hexdigest()
    return {**our_labels(site), _REFERENCE: digest[:16]}


def plan_release(site: Site, wanted: SecretStr, newest: HelmRelease | None) -> ReleasePlan:
    """Return what to do about the newest revision of a site's release.

    A release is never uninstalled, not even a broken one: its volume may hold gigabytes. helm
    upgrades a failed release in place, and an unfinished one after it was closed as failed.

    Raises:
        NotOursError: Somebody else made the release.
    """
    detail = f"chart {site.chart.version}"
    if newest is None or newest.status == "uninstalled":
        return ReleasePlan(action=Action.CREATED, detail=detail)
    if not is_ours(newest.meta.labels):
        raise _not_ours(site, wanted, newest)
    if newest.is_unfinished:
        detail = f"again after {newest.status}"
        return ReleasePlan(action=Action.CHANGED, detail=detail, unfinished=True)
    differing = release_differences(site, wanted, newest)
    if newest.status == "failed":
        return ReleasePlan(action=Action.CHANGED, detail="again after a failure")
    if differing:
        return ReleasePlan(action=Action.CHANGED, detail=", ".join(differing))
    return ReleasePlan(action=Action.UNCHANGED, detail=detail)


def release_differences(site: Site, wanted: SecretStr, found: HelmRelease) -> tuple[str, ...]:
    """Return what differs: `version`, `reference`, names of values, `labels`; never a value."""
    names = []
    if found.chart_version.removeprefix("v") != site.chart.version.removeprefix("v"):
        names.append("version")
    labels, marks = release_labels(site), found.meta.labels
    if marks.get(_REFERENCE) != labels[_REFERENCE]:
        names.append("reference")
    names += _differing_values(_parse(wanted), _parse(found.values))
    if any(marks.get(key) != labels[key] for key in our_labels(site)):
        names.append("labels")
    return tuple(names)


def close_unfinished(secret: SecretView) -> dict[str, Any]:
    """Return the change that records an unfinished revision as failed.

    It is what an interrupted helm writes itself. The manifest stays in the record, so that the next
    upgrade knows which objects are the release's. Guarded by the resourceVersion that was read.

    Raises:
        HelmRecordUnreadableError: It is not what Helm writes.
    """
    body = _unpack(secret)
    body["info"] = {**body["info"], "status": "failed", "description": _FOUND_DEAD}
    packed = b64encode(gzip.compress(json.dumps(body).encode()))
    return {
        "metadata": {"resourceVersion": secret.meta.version, "labels": {"status": "failed"}},
        "data": {"release": b64encode(packed).decode()},
    }


def _time(text: Any) -> datetime | None:
    """Return a time as Helm writes it, with nanoseconds and its machine's offset."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _unpack(secret: SecretView) -> dict[str, Any]:
    content = secret.data.get("release")
    try:
        packed = b64decode(content.get_secret_value() if content else "", validate=True)
        body = json.loads(zlib.decompressobj(wbits=31).decompress(packed, _LARGEST))
    except (binascii.Error, zlib.error, ValueError):
        raise _unreadable(secret) from None
    if not isinstance(body, dict) or not isinstance(body.get("info"), dict):
        raise _unreadable(secret)
    return body


def _unreadable(secret: SecretView) -> HelmRecordUnreadableError:
    return HelmRecordUnreadableError(
        f"The Secret {secret.meta.namespace}/{secret.meta.name} should hold a Helm release, "
        "gzipped JSON as Helm 3 and 4 write it, and does not. Look at it with `helm history`, and "
        "delete that one Secret if it is broken; never uninstall the release."
    )


def _not_ours(site: Site, wanted: SecretStr, found: HelmRelease) -> NotOursError:
    differing = [name for name in release_differences(site, wanted, found) if name != "labels"]
    return NotOursError(
        f"The Helm release {site.chart.namespace}/{site.chart.release} at {site.name} was not made "
        f"by acrfleet's helm: {found.chart_name} {found.chart_version}, revision {found.revision}, "
        f"{found.status}; it differs in {', '.join(differing) or 'nothing'}. Adopt the site, or "
        "choose another `chart.release`. Do not uninstall it: that deletes its volume."
    )


def _differing_values(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Sequence[str]:
    return sorted(
        key
        for key in wanted.keys() | found.keys()
        if _without_nulls(wanted.get(key)) != _without_nulls(found.get(key))
    )


def _without_nulls(value: Any) -> Any:
    """Return a value without what is null: helm drops it, since null removes a default."""
    if isinstance(value, dict):
        cleaned = {key: _without_nulls(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item is not None}
    return value


def _parse(values: SecretStr) -> dict[str, Any]:
    found = json.loads(values.get_secret_value())
    return found if isinstance(found, dict) else {}
