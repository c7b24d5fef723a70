from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.chart_progress import Broken, Online, Pending, Snapshot, is_registry_pod, judge
from fleet.cluster_objects import (
    ChartView,
    ClaimView,
    DeploymentView,
    EventView,
    JobView,
    Meta,
    PodView,
    ServicePort,
    ServiceView,
)
from fleet.pull_errors import SiteCertificateError
from fleet.sites import Chart, Tls
from tests.builders import a_site

FILE = yaml.safe_load((Path(__file__).parent.parent / "cases/chart_progress.yaml").read_text())
HTTPS_PORT = ServicePort(name="https", port=443)
VIEWS = {"chart": ChartView, "job": JobView, "release": Meta}
LISTS = {
    "deployments": DeploymentView,
    "services": ServiceView,
    "pods": PodView,
    "claims": ClaimView,
    "warnings": EventView,
}


def _snapshot(changes: dict[str, Any]) -> Snapshot:
    parts: dict[str, Any] = {**FILE["healthy"], **changes}
    for key, view in VIEWS.items():
        parts[key] = view.from_json(parts[key]) if parts.get(key) else None
    for key, view in LISTS.items():
        parts[key] = tuple(view.from_json(item) for item in parts.get(key, ()))
    return Snapshot(**parts)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in FILE["cases"]])
def test_the_first_rung_that_does_not_hold_is_named(case: dict[str, Any]) -> None:
    then, verdict = case["then"], judge(a_site(), _snapshot(case.get("with", {})))
    if isinstance(verdict, Online):
        assert {"online": verdict.endpoint.url} == then
    elif isinstance(verdict, Pending):
        assert then["waiting"] in verdict.phase
    else:
        assert type(verdict.error).__name__ == then["error"]
        assert then["says"] in str(verdict.error)
        assert "oslo" in str(verdict.error)


def test_what_may_heal_by_itself_gets_time_and_what_cannot_does_not() -> None:
    by_name = {case["name"]: case.get("with", {}) for case in FILE["cases"]}
    site = a_site()
    slow = judge(site, _snapshot(by_name["the image cannot be pulled"]))
    final = judge(site, _snapshot(by_name["the job gave up"]))
    assert isinstance(slow, Broken)
    assert isinstance(final, Broken)
    assert final.grace < timedelta(seconds=30) < slow.grace


def test_the_pods_of_the_helm_job_are_not_the_registrys() -> None:
    labels = {"app.kubernetes.io/instance": "connected-registry"}
    chart = Chart(version="0.4.0")
    pod = PodView.from_json({"metadata": {"name": "a", "labels": labels}})
    job = {**labels, "helmcharts.helm.cattle.io/chart": "connected-registry"}
    assert is_registry_pod(chart, pod)
    assert not is_registry_pod(chart, PodView.from_json({"metadata": {"name": "b", "labels": job}}))


def test_a_certificate_that_cert_manager_may_still_mend_gets_time_and_ones_own_does_not() -> None:
    error = SiteCertificateError("the certificate lacks 10.43.7.7")
    seen = _snapshot({"answers": False}).model_copy(update={"refusal": error})
    graces = []
    for tls in (Tls(cert_manager="existing"), Tls(secret="registry-tls")):
        chart = Chart(version="0.4.0", http_enabled=False, tls=tls)
        services = tuple(s.model_copy(update={"ports": (HTTPS_PORT,)}) for s in seen.services)
        verdict = judge(a_site(chart=chart), seen.model_copy(update={"services": services}))
        assert isinstance(verdict, Broken)
        assert verdict.error is error
        assert verdict.phase == "a certificate at https://10.43.7.7:443 that nodes accept"
        graces.append(verdict.grace)
    assert graces[0] > timedelta(minutes=1) > graces[1]
