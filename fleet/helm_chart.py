"""The HelmChart that installs a site's registry, and the Secret that carries its secret value.

Both live in the chart's own namespace: K3s' controller watches all namespaces, and looks for the
Secrets that `valuesSecrets` names beside the HelmChart. The connection string is in that Secret
only, never in the spec (facts/edge-hosts.md §2).
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import SecretStr

from fleet.cluster_errors import ClusterNotSuitableError
from fleet.cluster_objects import ChartView, SecretView
from fleet.errors import NotOursError
from fleet.outcomes import Action
from fleet.passwords import PasswordMark, mark_annotations
from fleet.sites import Chart, Site, Strict, Tls

MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = "acrfleet"
VALUES_KEY = "values.yaml"
_BACK_OFF_LIMIT = 5
_SECRET_VALUE = "connectionString"  # noqa: S105 - the name of a chart value


class ChartSupport(Strict):
    """What the cluster's HelmChart kind can do."""

    failure_policies: tuple[str, ...]
    has_back_off_limit: bool

    @property
    def failure_policy(self) -> str:
        """Return the policy that never uninstalls: the default one may delete the volume."""
        return "retry" if "retry" in self.failure_policies else "abort"


def read_chart_support(definition: Mapping[str, Any] | None) -> ChartSupport:
    """Return what a HelmChart definition offers.

    Raises:
        ClusterNotSuitableError: No helm-controller, or one that lacks a field we cannot do without.
    """
    if definition is None:
        raise ClusterNotSuitableError(
            "The cluster has no helm-controller: helmcharts.helm.cattle.io is not defined. Remove "
            "`disable: helm-controller` from /etc/rancher/k3s/config.yaml and restart K3s."
        )
    fields = _spec_fields(definition)
    for field, since in (("valuesSecrets", "v0.16.7, March 2025"), ("failurePolicy", "v0.11")):
        if field not in fields:
            raise ClusterNotSuitableError(
                f"The cluster's HelmChart kind has no `{field}` (helm-controller {since}). "
                "Upgrade K3s: without it the connection string could be read by everybody, or a "
                "failed upgrade could uninstall the registry with its volume."
            )
    return ChartSupport(
        failure_policies=tuple(fields["failurePolicy"].get("enum") or ()),
        has_back_off_limit="backOffLimit" in fields,
    )


def connection_secret_name(chart: Chart) -> str:
    """Return the name of the Secret with the connection string."""
    return f"{chart.release}-connection"


def our_labels(site: Site) -> dict[str, str]:
    """Return the labels that mark an object as this program's."""
    return {MANAGED_BY: OURS, "acrfleet/fleet": site.fleet, "acrfleet/site": site.name}


def is_ours(labels: Mapping[str, str]) -> bool:
    """Return whether this program made an object."""
    return labels.get(MANAGED_BY) == OURS


def chart_values(chart: Chart) -> dict[str, Any]:
    """Return the chart's values; HTTP turns off what only HTTPS needs.

    Trust distribution edits containerd's files, which K3s owns, so it is always off.
    The fleet file's own values go on top; it may hold nothing that is set here.
    """
    service: dict[str, Any] = {"type": chart.service.type}
    if chart.service.cluster_ip:
        service["clusterIP"] = str(chart.service.cluster_ip)
    storage = {"storageClassName": chart.storage.class_name, "storageRequest": chart.storage.size}
    values: dict[str, Any] = {
        "httpEnabled": chart.http_enabled,
        "service": service,
        "pvc": storage,
        "trustDistribution": {"enabled": False},
    }
    if chart.chunk_size_mb is not None:
        values["sync"] = {"chunkSizeInMb": chart.chunk_size_mb}
    return _merge(values | _certificate_values(chart), chart.extra_values)


def _certificate_values(chart: Chart) -> dict[str, Any]:
    """Return the values about TLS (facts/connected-registry.md §5.2; the chart's default is both).

    A certificate of the operator's own and http need no cert-manager.
    """
    tls = chart.tls or Tls()
    off = {"cert-manager": {"enabled": False, "install": False}}
    if chart.http_enabled:
        return off
    if tls.secret:
        return {**off, "tls": {"secret": tls.secret}}
    if tls.cert_manager:
        return {"cert-manager": {"enabled": True, "install": tls.cert_manager == "install"}}
    return {}


def chart_spec(chart: Chart, support: ChartSupport) -> dict[str, Any]:
    """Return the HelmChart's spec; it holds no secret."""
    spec: dict[str, Any] = {
        "chart": chart.reference,
        "version": chart.version,
        "targetNamespace": chart.namespace,
        "valuesContent": yaml.safe_dump(chart_values(chart), sort_keys=True),
        "valuesSecrets": [{"name": connection_secret_name(chart), "keys": [VALUES_KEY]}],
        "failurePolicy": support.failure_policy,
    }
    if support.has_back_off_limit:
        spec["backOffLimit"] = _BACK_OFF_LIMIT
    return spec


def chart_body(site: Site, support: ChartSupport) -> dict[str, Any]:
    """Return the HelmChart; the controller names the release after it."""
    return {
        "apiVersion": "helm.cattle.io/v1",
        "kind": "HelmChart",
        "metadata": {"name": site.chart.release, "labels": our_labels(site)},
        "spec": chart_spec(site.chart, support),
    }


def compare_chart(site: Site, wanted: Mapping[str, Any], found: ChartView | None) -> Action:
    """Return what to do with the HelmChart that is there.

    Raises:
        NotOursError: Somebody else made it, with other settings.
    """
    if found is None:
        return Action.CREATED
    differing = _differing(wanted["spec"], found.spec)
    if not is_ours(found.meta.labels):
        if differing:
            raise NotOursError(
                f"HelmChart {site.chart.namespace}/{site.chart.release} at {site.name} was not "
                f"made by acrfleet and differs in {', '.join(differing)}. Delete it, give it the "
                "same settings, or choose another `chart.release`."
            )
        return Action.ADOPTED
    labels = {key: found.meta.labels.get(key) for key in our_labels(site)}
    return Action.CHANGED if differing or labels != our_labels(site) else Action.UNCHANGED


def chart_differences(wanted: Mapping[str, Any], found: ChartView) -> tuple[str, ...]:
    """Return the names of the spec's fields that differ, for people."""
    return _differing(wanted["spec"], found.spec)


def changed_settings(wanted: Mapping[str, Any], found: ChartView) -> tuple[str, ...]:
    """Return the names of what differs and makes the controller act, values by their own names."""
    names = set(chart_differences(wanted, found))
    if "valuesContent" in names:
        names.remove("valuesContent")
        new, old = (_values_in(spec) for spec in (wanted["spec"], found.spec))
        names |= {key for key in new.keys() | old.keys() if new.get(key) != old.get(key)}
    return tuple(sorted(names))


def _values_in(spec: Mapping[str, Any]) -> dict[str, Any]:
    try:
        values = yaml.safe_load(spec.get("valuesContent") or "")
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def connection_secret_body(
    site: Site, connection_string: SecretStr, mark: PasswordMark
) -> dict[str, Any]:
    """Return the Secret that carries the connection string as a values file."""
    values = json.dumps({_SECRET_VALUE: connection_string.get_secret_value()})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": connection_secret_name(site.chart),
            "labels": our_labels(site),
            "annotations": mark_annotations(mark),
        },
        "type": "Opaque",
        "data": {VALUES_KEY: b64encode(values.encode()).decode()},
    }


def read_connection_string(secret: SecretView) -> SecretStr | None:
    """Return the connection string in a Secret, or None when it holds none."""
    content = secret.data.get(VALUES_KEY)
    try:
        values = yaml.safe_load(content.get_secret_value()) if content else None
    except yaml.YAMLError:
        return None
    found = values.get(_SECRET_VALUE) if isinstance(values, dict) else None
    return SecretStr(found) if isinstance(found, str) else None


def _spec_fields(definition: Mapping[str, Any]) -> dict[str, Any]:
    for version in (definition.get("spec") or {}).get("versions") or []:
        if version.get("name") == "v1" and version.get("served", True):
            schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
            spec = (schema.get("properties") or {}).get("spec") or {}
            return dict(spec.get("properties") or {})
    return {}


def _differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(key for key, value in wanted.items() if not _same(key, value, found.get(key)))


def _same(key: str, wanted: Any, found: Any) -> bool:
    if key != "valuesContent":
        return bool(wanted == found)
    try:
        return bool(yaml.safe_load(wanted) == yaml.safe_load(found or ""))
    except yaml.YAMLError:
        return False


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged
