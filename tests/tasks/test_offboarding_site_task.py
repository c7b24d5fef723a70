"""Taking a site's chart, Secrets and files away, against lab sites and a real helm."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import ChartLeftoversError, RemovalNotApprovedError
from fleet.outcomes import Action, Outcome, SiteEndpoint
from fleet.removals import due
from fleet.sites import Patience
from tasks.offboarding_site import plan_at_site, remove_from_site
from tasks.pull_secrets import deliver_pull_secrets
from tests.chart_registry import chart_registry
from tests.flows.lab_runs import host_file
from tests.helm_programs import HELM_3, HELM_4, helm_folder
from tests.tasks.site_bench import REPOSITORIES, LabSites, SiteBench, lab_sites

pytestmark = [
    pytest.mark.lab,
    pytest.mark.flow,
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_harness"),
]
NAMESPACE = "connected-registry"
CERTS = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d"
ALL = frozenset({"*"})


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabSites]:
    with lab_sites(tmp_path_factory.mktemp("offboarding"), sites=6) as sites:
        yield sites


@pytest.fixture
def bench(sites: LabSites) -> Iterator[SiteBench]:
    with sites.next_site() as bench:
        yield bench


def onboard(bench: SiteBench) -> SiteEndpoint:
    endpoint = bench.bring_online()
    bench.configure(endpoint)
    deliver_pull_secrets.fn(bench.session, endpoint, bench.login_server, REPOSITORIES)
    bench.writes()
    return endpoint


def remove(bench: SiteBench, approved: frozenset[str] = ALL) -> list[Outcome]:
    done: list[Outcome] = []
    remove_from_site.fn(bench.session, bench.login_server, None, approved, done.extend)
    return done


def registries(bench: SiteBench) -> Path:
    return host_file(bench.lab, bench.site.nodes[0].name, "/etc/rancher/k3s/registries.yaml")


def test_a_site_loses_all_that_onboarding_gave_it_and_nothing_else(bench: SiteBench) -> None:
    cluster, name = bench.session.cluster, bench.site.pull_secrets.name
    cluster.create_secret("default", _opaque("theirs"))
    onboard(bench)
    account = cluster.find_service_account("default", "default")
    assert account is not None
    assert name in account.pull_secrets
    body: dict[str, Any] = {"imagePullSecrets": [{"name": "theirs"}, {"name": name}]}
    cluster.patch_service_account("default", "default", body)
    bench.writes()
    plan = plan_at_site.fn(bench.session, bench.login_server, None)
    assert bench.writes() == []
    done = remove(bench)
    assert [f"{one.kind} {one.name}" for one in done] == [one.key for one in due(plan)]
    assert {one.action for one in done} == {Action.CHANGED, Action.DELETED}
    left = cluster.find_service_account("default", "default")
    assert left is not None
    assert left.pull_secrets == ("theirs",)
    assert cluster.find_secret("default", name) is None
    assert cluster.find_secret("default", "theirs") is not None
    assert cluster.find_chart(NAMESPACE, NAMESPACE) is None
    assert not registries(bench).exists()
    certs = host_file(bench.lab, bench.site.nodes[0].name, CERTS)
    assert list(certs.iterdir()) == [], "a folder without a file would hide `_default`"
    bench.writes()
    again = remove(bench)
    assert all(one.action is Action.UNCHANGED for one in again)
    assert [one.kind for one in again] == ["files on nodes of"]
    assert "neither the cluster nor the site's record tells" in again[0].detail
    assert bench.writes() == []


def test_a_namespace_in_which_others_run_something_stays(bench: SiteBench) -> None:
    onboard(bench)
    bench.session.cluster._api.create(
        f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", _deployment("theirs")
    )
    last = remove(bench)[-1]
    assert (last.kind, last.action) == ("Namespace", Action.UNCHANGED)
    assert "others have something in it" in last.detail
    assert "theirs" in last.detail
    assert bench.session.cluster.find_namespace(NAMESPACE) is not None


def test_a_namespace_in_which_others_keep_a_volume_stays(bench: SiteBench) -> None:
    onboard(bench)
    bench.session.cluster._api.create(
        f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims", _claim("their-data")
    )
    last = remove(bench)[-1]
    assert (last.kind, last.action) == ("Namespace", Action.UNCHANGED)
    assert last.detail == "others have something in it: volume claim their-data"
    assert [one.meta.name for one in bench.session.cluster.list_claims(NAMESPACE)] == ["their-data"]


def test_a_namespace_in_which_others_keep_a_secret_stays(bench: SiteBench) -> None:
    onboard(bench)
    bench.session.cluster.create_secret(NAMESPACE, _opaque("their-certificate"))
    last = remove(bench)[-1]
    assert last.detail == "others have something in it: Secret their-certificate"
    assert bench.session.cluster.find_secret(NAMESPACE, "their-certificate") is not None


def test_nothing_goes_where_one_thing_was_not_approved(bench: SiteBench) -> None:
    onboard(bench)
    plan = due(plan_at_site.fn(bench.session, bench.login_server, None))
    approved = frozenset(one.key for one in plan[:-1])
    with pytest.raises(RemovalNotApprovedError, match=plan[-1].key):
        remove(bench, approved)
    assert bench.writes() == []


def test_a_service_that_outlives_its_chart_is_named(bench: SiteBench) -> None:
    onboard(bench)
    service = next(
        one for one in bench.session.cluster.list_services(NAMESPACE) if one.meta.name == NAMESPACE
    )
    path = f"/api/v1/namespaces/{NAMESPACE}/services/{service.meta.name}"
    bench.session.cluster._api.patch(path, {"metadata": {"finalizers": ["example.com/keep"]}})
    bench.with_site(patience=Patience(online=timedelta(seconds=3)))
    for _ in range(2):  # the second run finds no chart any more
        with pytest.raises(ChartLeftoversError, match=f"Service {NAMESPACE}"):
            remove(bench)
    bench.session.cluster._api.patch(path, {"metadata": {"finalizers": []}})
    bench.with_site()
    assert remove(bench)[-1].kind == "Namespace"


@pytest.mark.parametrize("version", [HELM_3, HELM_4])
def test_a_release_that_helm_installed_is_uninstalled_by_helm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    lab = lab_sites(tmp_path, sites=1)
    with lab as sites:
        authority = sites.lab.world.authority
        monkeypatch.setenv("PATH", f"{helm_folder(version)}:{os.environ['PATH']}")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
        context = authority.server_context(["127.0.0.1"])
        with chart_registry(context, ("0.4.0",)) as reference, sites.next_site() as bench:
            changes = {"reference": reference, "installer": "helm"}
            chart = bench.site.chart.model_copy(update=changes)
            bench.site = bench.site.model_copy(update={"chart": chart})
            bench.with_site()
            onboard(bench)
            kinds = [one.kind for one in remove(bench)]
            assert "Helm release" in kinds
            assert bench.session.cluster.find_newest_release(NAMESPACE, NAMESPACE) is None
            assert bench.session.cluster.list_deployments(NAMESPACE) == ()


def _opaque(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque"}


def _deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    pod = {"containers": [{"name": name, "image": "example.com/theirs:1"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _claim(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
