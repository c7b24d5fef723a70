"""Taking over a release: one case per line of tests/cases/adoption_charts.yaml."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from fleet.adoption import Fate, in_the_way
from fleet.adoption_chart import ChartPlan, place_lines, plan_chart
from fleet.adoption_sources import Installation, find_installations
from fleet.chart_installer import InstallerChoice
from fleet.cluster_objects import ChartView, Meta, SecretView
from fleet.helm_chart import ChartSupport, chart_spec, chart_values, our_labels
from fleet.helm_release import release_labels
from fleet.sites import Chart, Site
from tests.builders import a_site

CASES = yaml.safe_load((Path(__file__).parent.parent / "cases/adoption_charts.yaml").read_text())
SUPPORT = ChartSupport(failure_policies=("abort", "retry"), has_back_off_limit=True)
TEXT = SecretStr(
    "ConnectedRegistryName=oslo1;SyncTokenName=oslo1;SyncTokenPassword=canary-sync;"
    "ParentGatewayEndpoint=acr.data.azurecr.io;ParentEndpointProtocol=https"
)


def a_release(
    site: Site, values: dict[str, Any], version: str = "0.4.0", revision: int = 1, **changes: Any
) -> SecretView:
    """Return one of Helm's Secrets, as Helm writes it."""
    body = {
        "name": site.chart.release,
        "namespace": site.chart.namespace,
        "version": revision,
        "info": {"status": "deployed", "last_deployed": "2026-11-20T10:00:00.123456789+02:00"},
        "chart": {"metadata": {"name": "connected-registry", "version": version}},
        "config": {**values, "connectionString": TEXT.get_secret_value()},
        **changes,
    }
    packed = base64.b64encode(gzip.compress(json.dumps(body).encode())).decode()
    return SecretView(
        meta=Meta(
            name=f"sh.helm.release.v1.{site.chart.release}.v{revision}",
            namespace=site.chart.namespace,
            labels={"owner": "helm", "name": site.chart.release, "status": "deployed"},
        ),
        type="helm.sh/release.v1",
        data={"release": SecretStr(packed)},
    )


def the_installation(case: dict[str, Any], site: Site) -> Installation:
    values = chart_values(site.chart)
    for key, value in case.get("found", {}).items():
        values[key.removeprefix("+")] = value
    secret = a_release(site, values, case.get("version", site.chart.version))
    if case.get("marked"):
        labels = {**secret.meta.labels, **release_labels(site)}
        secret = secret.model_copy(
            update={"meta": secret.meta.model_copy(update={"labels": labels})}
        )
    charts = [a_chart(site, one) for one in case.get("charts", [])]
    (found,) = find_installations([secret], charts)
    assert found.keeper == case.get("keeper", "helm-controller")
    return found


def a_chart(site: Site, case: dict[str, Any]) -> ChartView:
    labels = our_labels(site) if case.get("marked") else case.get("labels", {})
    meta = Meta(
        name=site.chart.release,
        namespace=case.get("namespace", site.chart.namespace),
        labels=labels,
    )
    return ChartView(meta=meta, spec={**chart_spec(site.chart, SUPPORT), **case.get("spec", {})})


def the_plan(case: dict[str, Any]) -> ChartPlan:
    site = a_site(chart=Chart(**{"version": "0.4.0", **case["chart"]}))
    helm = site.chart.installer == "helm"
    choice = InstallerChoice(
        installer="helm" if helm else "helm-controller",
        why="the fleet file says so",
        support=None if helm else SUPPORT,
    )
    return plan_chart(site, the_installation(case, site), choice, TEXT)


@pytest.mark.parametrize("case", [pytest.param(one, id=one["name"]) for one in CASES])
def test_a_release_is_taken_over_as_it_is_or_what_is_in_the_way_is_told(
    case: dict[str, Any],
) -> None:
    plan = the_plan(case)
    told = "\n".join(map(str, plan.findings))
    assert len(in_the_way(plan.findings)) == case.get("obstacles", 0), told
    for kind, fate in case.get("then", {}).items():
        assert {one.fate for one in plan.findings if one.kind == kind} == {Fate(fate)}, told
    for words in case.get("says", []):
        assert words in told
    for words in [*case.get("hides", []), "canary-sync"]:
        assert words not in told


def test_what_would_win_over_our_values_is_removed_with_the_owners_mark() -> None:
    case = next(one for one in CASES if one["name"].startswith("what would win"))
    patch = the_plan(case).chart_patch
    assert patch is not None
    assert patch["spec"]["set"] is None
    assert patch["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "acrfleet"


def test_the_fleet_file_is_told_the_release_as_it_is() -> None:
    site = a_site(chart=Chart(version="0.6.0"))
    other = a_site(chart=Chart(version="0.4.0", namespace="acr", release="cr"))
    values = {
        **chart_values(other.chart),
        "pvc": {"storageClassName": "fast", "storageRequest": "1Ti"},
        "sync": {"chunkSizeInMb": 10},
        "tls": {"key": "canary-key"},
    }
    (found,) = find_installations([a_release(other, values)], [])
    lines = "\n".join(place_lines(site, found))
    assert yaml.safe_load(lines) == {
        "chart": {
            "namespace": "acr",
            "release": "cr",
            "version": "0.4.0",
            "storage": {"class_name": "fast", "size": "1Ti"},
            "chunk_size_mb": 10,
        }
    }
    assert place_lines(other, found) != ()
    assert "canary" not in lines


def test_what_is_not_a_release_of_a_connected_registry_is_skipped() -> None:
    site = a_site()
    broken = a_release(site, {}).model_copy(update={"data": {"release": SecretStr("x")}})
    other = a_release(site, {}, config={"replicas": 3})
    assert find_installations([broken, other], []) == ()


def test_the_oldest_revision_with_the_connection_string_dates_its_password() -> None:
    site = a_site()
    old = {"info": {"status": "superseded", "last_deployed": "2026-01-02T03:04:05Z"}}
    first = a_release(site, {}, revision=1, **old)
    second = a_release(site, {"httpEnabled": True}, revision=2)
    (found,) = find_installations([second, first], [])
    assert found.release.revision == 2
    assert found.written is not None
    assert found.written.isoformat() == "2026-01-02T03:04:05+00:00"
