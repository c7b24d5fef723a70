"""Taking over the registry's Helm release: who keeps it, and what an upgrade would change.

A release goes on: nothing here uninstalls, because that deletes the volume with the images.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from fleet.adoption import Fate, Finding, Place
from fleet.adoption_sources import Installation
from fleet.chart_installer import InstallerChoice
from fleet.cluster_objects import ChartView
from fleet.helm_chart import chart_body, chart_differences, chart_values, is_ours, our_labels
from fleet.helm_release import release_differences, release_labels, wanted_values
from fleet.sites import Chart, Site

_FIXED = {
    "pvc.storageClassName": "chart.storage.class_name",
    "pvc.storageRequest": "chart.storage.size",
    "service.clusterIP": "chart.service.cluster_ip",
}
"""Values that Kubernetes does not let an upgrade change, and where the fleet file has them."""
_FIELDS = {
    **_FIXED,
    "service.type": "chart.service.type",
    "httpEnabled": "chart.http_enabled",
    "sync.chunkSizeInMb": "chart.chunk_size_mb",
}
_SHOWN = {*_FIELDS, "image", "trustDistribution.enabled"}
_OVERRIDING = ("set", "values", "repo")
"""Fields of a foreign HelmChart that would win over ours, or hold the connection string openly."""
_MARKS = ("labels", "reference")
_FROM_FILE = "objectset.rio.cattle.io/hash"
_Missing = object()


@dataclass
class ChartPlan:
    """What becomes of the release; the patches are made before the installer looks at it."""

    findings: list[Finding] = field(default_factory=list)
    chart_patch: dict[str, Any] | None = None
    release_labels: dict[str, str] | None = None


def plan_chart(
    site: Site, installation: Installation, choice: InstallerChoice, text: SecretStr
) -> ChartPlan:
    """Return how the release comes under the installer that the fleet file asks for.

    `text` is the connection string that the installer is going to use.
    """
    plan = ChartPlan()
    if installation.keeper == "arc":
        plan.findings.append(_release(site, Fate.OBSTACLE, _ARC))
        return plan
    foreign = [chart for chart in installation.charts if not _is_in_place(site, chart)]
    for chart in foreign:
        name = f"{chart.meta.namespace}/{chart.meta.name}"
        plan.findings.append(_chart(name, Fate.OBSTACLE, _ELSEWHERE.format(chart=name)))
    if not foreign and choice.is_helm:
        _by_helm(site, installation, text, plan)
    elif not foreign:
        _by_controller(site, installation, choice, plan)
    return plan


def place_lines(site: Site, installation: Installation) -> tuple[str, ...]:
    """Return the `chart:` lines that make the fleet file mean this release as it is.

    Values that have no field of their own are left out: they may be secret.
    """
    chart, found = site.chart, installation.open_values()
    lines = []
    for name, wanted, is_so in (
        ("namespace", chart.namespace, installation.namespace),
        ("release", chart.release, installation.release.name),
        ("version", chart.version, installation.release.chart_version),
    ):
        if wanted.removeprefix("v") != is_so.removeprefix("v"):
            lines.append(f'  {name}: "{is_so}"' if name == "version" else f"  {name}: {is_so}")
    flat, wanted_flat = _flat(found), _flat(chart_values(chart))
    for value, path in _FIELDS.items():
        is_so = flat.get(value, _Missing)
        if is_so is not _Missing and is_so != wanted_flat.get(value, _Missing):
            lines += _nested(path.split(".")[1:], is_so)
    return ("chart:", *_joined(lines)) if lines else ()


def _by_helm(site: Site, installation: Installation, text: SecretStr, plan: ChartPlan) -> None:
    release = installation.release
    if installation.charts:
        name = f"{site.chart.namespace}/{site.chart.release}"
        plan.findings.append(_chart(name, Fate.OBSTACLE, _TWO_INSTALLERS))
        return
    obstacles, changes = _value_differences(site.chart, installation)
    plan.findings += [_release(site, Fate.OBSTACLE, text) for text in obstacles]
    theirs = release_differences(site, wanted_values(site.chart, text), release)
    changes = changes or [f"{name} differs" for name in theirs if name not in _MARKS]
    labels = release_labels(site)
    if labels.items() <= release.meta.labels.items():
        fate = Fate.CHANGED if changes else Fate.KEPT
    else:
        plan.release_labels = labels
        fate = Fate.CHANGED if changes else Fate.ADOPTED
    detail = f"{release.chart_name} {release.chart_version}, revision {release.revision}"
    plan.findings.append(_release(site, fate, _listed(detail, changes)))


def _by_controller(
    site: Site, installation: Installation, choice: InstallerChoice, plan: ChartPlan
) -> None:
    assert choice.support is not None  # noqa: S101 - the helm-controller installs
    obstacles, changes = _value_differences(site.chart, installation)
    plan.findings += [_release(site, Fate.OBSTACLE, text) for text in obstacles]
    body = chart_body(site, choice.support)
    name = f"{site.chart.namespace}/{site.chart.release}"
    if not installation.charts:
        detail = (
            "upgrades the release that helm installed, in place; from then on the cluster's"
            " helm-controller keeps it, not helm"
        )
        plan.findings.append(_chart(name, Fate.CREATED, _listed(detail, changes)))
        return
    found = installation.charts[0]
    plan.findings.append(_taken_over(site, found, body, changes, plan))


def _taken_over(
    site: Site,
    found: ChartView,
    body: dict[str, Any],
    changes: Sequence[str],
    plan: ChartPlan,
) -> Finding:
    name = f"{found.meta.namespace}/{found.meta.name}"
    if _FROM_FILE in found.meta.labels:
        return _chart(name, Fate.OBSTACLE, _WRITTEN_BACK)
    differing = chart_differences(body, found)
    overriding = [key for key in _OVERRIDING if key in found.spec]
    if not differing and not overriding:
        if our_labels(site).items() <= found.meta.labels.items():
            return _chart(name, Fate.KEPT, "")
        plan.chart_patch = {"metadata": {"labels": our_labels(site)}}
        return _chart(name, Fate.ADOPTED, "its settings match, the owner is noted")
    if not is_ours(found.meta.labels) or overriding:
        spec = {**body["spec"], **dict.fromkeys(overriding)}
        plan.chart_patch = {"metadata": {"labels": our_labels(site)}, "spec": spec}
    told = [f"spec.{key} differs" for key in differing]
    told += [f"spec.{key} is removed, because it would win" for key in overriding]
    return _chart(name, Fate.CHANGED, "; ".join([*told, *changes]))


def _value_differences(chart: Chart, installation: Installation) -> tuple[list[str], list[str]]:
    """Return what an upgrade cannot change and what it would change, for people."""
    obstacles, changes = [], []
    version = installation.release.chart_version
    if version.removeprefix("v") != chart.version.removeprefix("v"):
        changes.append(f"chart {version} -> {chart.version}, the registry restarts")
    wanted, found = _flat(chart_values(chart)), _flat(installation.open_values())
    for name in sorted(wanted.keys() | found.keys()):
        is_so, shall = found.get(name, _Missing), wanted.get(name, _Missing)
        if is_so == shall:
            continue
        text = _difference(name, is_so, shall)
        if name in _FIXED and _Missing not in (is_so, shall):
            obstacles.append(f"{text}; Kubernetes cannot change that, set {_FIXED[name]} to it")
        else:
            changes.append(text)
    return obstacles, changes


def _difference(name: str, is_so: object, shall: object) -> str:
    if name not in _SHOWN:
        verb = "is added" if is_so is _Missing else "is dropped" if shall is _Missing else "changes"
        return f"value {name} {verb}"
    words = ["the chart's default" if one is _Missing else str(one) for one in (is_so, shall)]
    return f"value {name}: {words[0]} -> {words[1]}"


def _is_in_place(site: Site, chart: ChartView) -> bool:
    place = (chart.meta.namespace, chart.meta.name)
    return place == (site.chart.namespace, site.chart.release)


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested values under dotted names; null means the chart's default."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            found |= _flat(value, f"{name}.")
        elif value is not None:
            found[name] = value
    return found


def _nested(path: Sequence[str], value: object) -> list[str]:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    *above, last = path
    return [*(f"  {part}:" for part in above), f"{'    ' if above else '  '}{last}: {text}"]


def _joined(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines, each section's heading once."""
    seen: set[str] = set()
    for line in lines:
        if line.endswith(":") and line in seen:
            continue
        seen.add(line)
        yield line


def _listed(detail: str, changes: Sequence[str]) -> str:
    return "; ".join([detail, *changes])


def _release(site: Site, fate: Fate, detail: str) -> Finding:
    name = f"{site.chart.namespace}/{site.chart.release}"
    return Finding(place=Place.CLUSTER, kind="Helm release", name=name, fate=fate, detail=detail)


def _chart(name: str, fate: Fate, detail: str) -> Finding:
    return Finding(place=Place.CLUSTER, kind="HelmChart", name=name, fate=fate, detail=detail)


_ARC = (
    "Azure Arc's extension manager keeps this release and would undo what anybody else changes. To"
    " bring it under acrfleet: `az k8s-extension delete` (it uninstalls; the images are fetched"
    " again), `az acr connected-registry deactivate`, then `acrfleet onboard`. To leave it to Arc,"
    " take the site out of the fleet file"
)
_ELSEWHERE = (
    "installs the release from another namespace, and two HelmCharts would undo each other's work."
    " Take it away without uninstalling: `kubectl annotate` it with"
    " `helmcharts.helm.cattle.io/unmanaged=true`, remove its finalizers, delete {chart} and its"
    " file in server/manifests, if it has one; the release stays, and adopt takes that over"
)
_TWO_INSTALLERS = (
    "the helm-controller keeps this release, and the fleet file wants helm; set `chart.installer:"
    " helm-controller`, or leave it at auto"
)
_WRITTEN_BACK = (
    "it comes from a file in K3s' server/manifests folder, and K3s would write that back over every"
    " change. Create an empty NAME.yaml.skip beside NAME.yaml on the servers and remove the label"
    f" {_FROM_FILE} from the HelmChart, then adopt"
)
