"""Real helm programs against the lab's cluster and, where there is one, a real API server."""

import gzip
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from clients.cluster import Cluster, open_cluster
from clients.helm_cli import HelmCli
from fleet.cluster_errors import ClusterChangedError
from fleet.cluster_objects import SecretView
from fleet.helm_command import (
    check_helm_version,
    explain_failure,
    uninstall_arguments,
    upgrade_arguments,
)
from fleet.helm_release import (
    HelmRelease,
    ReleasePlan,
    close_unfinished,
    plan_release,
    read_release,
    wanted_values,
)
from fleet.outcomes import Action
from fleet.sites import Chart, Site
from lab.certificates import Authority
from tests.builders import a_site
from tests.chart_registry import chart_registry
from tests.helm_programs import HELM_3, HELM_4, helm_folder
from tests.lab.cluster_fixtures import running_cluster
from tests.lab.real_cluster import real_cluster, why_not

pytestmark = pytest.mark.lab
TEXT = SecretStr("connection-canary")
OK = (0, "")


@dataclass
class Bench:
    """A cluster and what acrfleet does with helm there."""

    cluster: Cluster
    site: Site

    def change(self, **changes: Any) -> None:
        chart = self.site.chart.model_copy(update=changes)
        self.site = self.site.model_copy(update={"chart": chart})

    @property
    def secret(self) -> SecretView:
        chart = self.site.chart
        found = self.cluster.find_newest_release(chart.namespace, chart.release)
        assert found is not None
        return found

    @property
    def release(self) -> HelmRelease:
        return read_release(self.secret)

    def plan(self) -> ReleasePlan:
        return plan_release(self.site, wanted_values(self.site.chart, TEXT), self.release)

    def upgrade(self) -> tuple[int, str]:
        """Return 0 and nothing, or helm's status and its words."""
        helm = HelmCli()
        version = check_helm_version(helm.read_version())

        def arguments(kubeconfig: str, values: str) -> list[str]:
            return upgrade_arguments(self.site, version, kubeconfig=kubeconfig, values=values)

        values = wanted_values(self.site.chart, TEXT)
        status, words = helm.upgrade(arguments, self.cluster.kubeconfig(), values)
        return (status, words) if status else OK


@pytest.fixture(scope="module")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("lab-helm")
    with running_cluster(folder, helm_controller=None) as running:
        yield running.kubeconfig


@pytest.fixture(scope="module")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with real_cluster(tmp_path_factory.mktemp("real-helm")) as kubeconfig:
        yield kubeconfig


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    authority = Authority(tmp_path_factory.mktemp("charts"))
    context = authority.server_context(["127.0.0.1"])
    with chart_registry(context, ("0.4.0", "0.5.0")) as reference:
        yield reference, authority.ca_file


@pytest.fixture(params=["lab_server", pytest.param("real_server", marks=pytest.mark.slow)])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    kubeconfig: Path = request.getfixturevalue(request.param)
    with open_cluster(kubeconfig.read_text()) as cluster:
        yield cluster


@pytest.fixture(params=[HELM_3, HELM_4])
def bench(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    charts: tuple[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    monkeypatch.setenv("PATH", f"{helm_folder(request.param)}:{os.environ['PATH']}")
    monkeypatch.setenv("SSL_CERT_FILE", str(charts[1]))
    number = len(cluster.list_namespaces({"kind": "helm-test"}))
    namespace = f"helm-{number}"
    cluster.create_namespace(namespace, {"kind": "helm-test"})
    chart = Chart(version="0.4.0", reference=charts[0], namespace=namespace)
    return Bench(cluster, a_site(chart=chart))


@pytest.mark.slow
def test_what_helm_installed_is_recognized_until_something_changes(bench: Bench) -> None:
    assert bench.upgrade() == OK
    assert bench.plan().action is Action.UNCHANGED
    assert bench.release.description == "Install complete"
    bench.change(chunk_size_mb=8)
    assert bench.plan() == ReleasePlan(action=Action.CHANGED, detail="sync")
    assert bench.upgrade() == OK
    bench.change(version="0.5.0", extra_values={"pvc": {"note": None}, "tls": {"depth": 1.0}})
    assert bench.plan().detail == "version, tls"
    assert bench.upgrade() == OK
    assert bench.plan().action is Action.UNCHANGED
    assert (bench.release.revision, bench.release.chart_version) == (3, "0.5.0")


@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade", "uninstalling"])
def test_an_unfinished_release_is_closed_and_helm_goes_on(bench: Bench, status: str) -> None:
    assert bench.upgrade() == OK
    _leave_unfinished(bench, status)
    plan = bench.plan()
    assert plan == ReleasePlan(
        action=Action.CHANGED, detail=f"again after {status}", unfinished=True
    )
    code, words = bench.upgrade()
    assert code == 1
    if status.startswith("pending"):
        assert isinstance(explain_failure(bench.site, code, words), ClusterChangedError)

    secret = bench.secret
    bench.cluster.patch_secret(secret.meta.namespace, secret.meta.name, close_unfinished(secret))
    assert bench.release.status == "failed"
    assert bench.upgrade() == OK
    assert (bench.release.revision, bench.release.status) == (2, "deployed")
    assert bench.plan().action is Action.UNCHANGED


def test_a_record_that_changed_since_it_was_read_is_not_closed(bench: Bench) -> None:
    assert bench.upgrade() == OK
    _leave_unfinished(bench, "pending-upgrade")
    secret = bench.secret
    _leave_unfinished(bench, "pending-rollback")
    with pytest.raises(ClusterChangedError):
        bench.cluster.patch_secret(
            secret.meta.namespace, secret.meta.name, close_unfinished(secret)
        )


def test_what_helm_uninstalled_is_gone_and_uninstalling_twice_is_fine(bench: Bench) -> None:
    assert bench.upgrade() == OK
    chart = bench.site.chart
    for _ in range(2):
        status, words = HelmCli().uninstall(
            lambda path: uninstall_arguments(chart.namespace, chart.release, kubeconfig=path),
            bench.cluster.kubeconfig(),
        )
        assert status == 0, words
        assert bench.cluster.find_newest_release(chart.namespace, chart.release) is None
        assert bench.cluster.list_deployments(chart.namespace) == ()


def _leave_unfinished(bench: Bench, status: str) -> None:
    """Write what a helm that is killed now would leave."""
    secret = bench.secret
    packed = b64decode(secret.data["release"].get_secret_value())
    body = json.loads(gzip.decompress(packed))
    body["info"]["status"] = status
    inner = b64encode(gzip.compress(json.dumps(body).encode()))
    change = {
        "metadata": {"labels": {"status": status}},
        "data": {"release": b64encode(inner).decode()},
    }
    bench.cluster.patch_secret(secret.meta.namespace, secret.meta.name, change)
