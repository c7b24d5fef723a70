"""The steps that put the chart on a cluster, against the lab."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.cluster_errors import (
    ChartFailedError,
    ClusterNotSuitableError,
    SiteAlreadyActivatedError,
    SyncPasswordRefusedError,
)
from fleet.errors import NotOursError, WaitingForSiteError
from fleet.maintenance import Maintenance
from fleet.outcomes import Action, Outcome
from fleet.sites import Service, Storage
from tasks.charts import (
    check_cluster,
    deliver_connection_string,
    install_chart,
    wait_until_online,
)
from tests.tasks.site_bench import LabSites, SiteBench, lab_sites

pytestmark = [pytest.mark.lab, pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]
NAMESPACE, SECRET = "connected-registry", "connected-registry-connection"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabSites]:
    with lab_sites(tmp_path_factory.mktemp("charts"), sites=14) as sites:
        yield sites


@pytest.fixture
def bench(sites: LabSites) -> Iterator[SiteBench]:
    with sites.next_site() as bench:
        yield bench


def _actions(outcomes: tuple[Outcome, ...]) -> list[Action]:
    return [outcome.action for outcome in outcomes]


def _generations(writes: list[str]) -> int:
    return sum("generateCredentials" in line for line in writes)


def test_a_site_comes_online_and_a_second_run_writes_nothing(bench: SiteBench) -> None:
    facts = check_cluster.fn(bench.session)
    assert facts.warnings == ()
    assert bench.writes() == []
    first = deliver_connection_string.fn(bench.session) + install_chart.fn(bench.session)
    assert _actions(first) == [Action.CREATED] * 3
    endpoint = wait_until_online.fn(bench.session)
    assert endpoint.port == 80
    assert endpoint.scheme == "http"
    state = bench.cloud.access.read_connected_registry(bench.site.names.connected_registry)
    assert state is not None
    assert state.is_active
    assert _generations(bench.writes()) == 1

    second = deliver_connection_string.fn(bench.session) + install_chart.fn(bench.session)
    assert _actions(second) == [Action.UNCHANGED] * 3
    assert wait_until_online.fn(bench.session) == endpoint
    assert bench.writes() == []


def test_the_connection_string_is_in_the_secret_only(bench: SiteBench) -> None:
    bench.bring_online()
    cluster = bench.session.cluster
    secret = cluster.find_secret(NAMESPACE, SECRET)
    assert secret is not None
    values = yaml.safe_load(secret.data["values.yaml"].get_secret_value())
    password = values["connectionString"].split("SyncTokenPassword=")[1].split(";")[0]
    chart = cluster.find_chart(NAMESPACE, "connected-registry")
    assert chart is not None
    assert password not in repr(chart)
    job = cluster.find_job(NAMESPACE, str(chart.job_name))
    assert job is not None
    assert job.complete


def test_after_a_crash_before_the_secret_the_same_slot_is_generated_again(
    bench: SiteBench,
) -> None:
    token = bench.site.names.sync_token
    bench.cloud.access.renew_password(token, "password1", None)
    deliver_connection_string.fn(bench.session)
    state = bench.cloud.access.read_token(token)
    assert state is not None
    assert set(state.slots) == {"password1"}


def test_a_secret_deleted_before_the_site_was_ever_active_is_made_again(bench: SiteBench) -> None:
    deliver_connection_string.fn(bench.session)
    bench.session.cluster.delete_secret(NAMESPACE, SECRET)
    namespace, secret = deliver_connection_string.fn(bench.session)
    assert namespace.action is Action.UNCHANGED
    assert secret.action is Action.CREATED


def test_a_site_that_is_active_elsewhere_explains_deactivate_and_renews_nothing(
    bench: SiteBench,
) -> None:
    bench.bring_online()
    bench.session.cluster.delete_secret(NAMESPACE, SECRET)
    bench.writes()
    with pytest.raises(SiteAlreadyActivatedError, match="az acr connected-registry deactivate"):
        deliver_connection_string.fn(bench.session)
    assert bench.writes() == []


@pytest.mark.slow
def test_a_pod_that_finds_another_installation_active_is_quoted(bench: SiteBench) -> None:
    deliver_connection_string.fn(bench.session)
    name = bench.site.names.connected_registry
    registry = bench.lab.world.azure.registry(bench.cloud.registry.name)
    bench.lab.call(registry.activate, name, "another-installation")
    install_chart.fn(bench.session)
    with pytest.raises(SiteAlreadyActivatedError, match=f"--name {name}.*") as raised:
        wait_until_online.fn(bench.session)
    assert f"its pod at {bench.site.name} logs ALREADY_ACTIVATED" in str(raised.value)


@pytest.mark.slow
def test_a_sync_password_that_the_parent_refuses_is_named_when_patience_ends(
    bench: SiteBench,
) -> None:
    deliver_connection_string.fn(bench.session)
    bench.cloud.access.renew_password(bench.site.names.sync_token, "password1", None)
    patience = bench.site.patience.model_copy(update={"online": timedelta(seconds=5)})
    session = bench.with_site(patience=patience)
    install_chart.fn(session)
    with pytest.raises(SyncPasswordRefusedError, match="Incorrect Password"):
        wait_until_online.fn(session)


def test_a_sync_password_renewed_by_somebody_is_replaced_in_the_other_slot(
    bench: SiteBench,
) -> None:
    bench.bring_online()
    token = bench.site.names.sync_token
    bench.cloud.access.renew_password(token, "password1", None)
    _, secret = deliver_connection_string.fn(bench.session)
    assert (secret.action, secret.detail) == (Action.CHANGED, "password2")


def test_another_connection_string_waits_for_the_window_because_it_restarts_the_registry(
    bench: SiteBench,
) -> None:
    bench.bring_online()
    cluster, text = bench.session.cluster, _string(bench)
    turned = ";".join(reversed(text.split(";")))
    body = {"stringData": {"values.yaml": yaml.safe_dump({"connectionString": turned})}}
    cluster.patch_secret(NAMESPACE, SECRET, body)
    opens = datetime.now(UTC) + timedelta(hours=6)
    window = Maintenance(cron=f"0 {opens.hour} * * *", length=timedelta(hours=1))
    session = bench.with_site(maintenance=window)
    bench.writes()
    _, held = deliver_connection_string.fn(session)
    assert held.action is Action.UNCHANGED
    assert "another connection string" in str(session.held["connection string"])
    assert (_string(bench), bench.writes()) == (turned, [])
    session = bench.with_site(maintenance=None)
    _, secret = deliver_connection_string.fn(session)
    assert (secret.action, _string(bench), session.held) == (Action.CHANGED, text, {})


def _string(bench: SiteBench) -> str:
    secret = bench.session.cluster.find_secret(NAMESPACE, SECRET)
    assert secret is not None
    values = yaml.safe_load(secret.data["values.yaml"].get_secret_value())
    return str(values["connectionString"])


def test_a_secret_made_by_hand_is_left_alone(bench: SiteBench) -> None:
    cluster = bench.session.cluster
    cluster.create_namespace(NAMESPACE, {})
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}}
    cluster.create_secret(NAMESPACE, body)
    bench.writes()
    with pytest.raises(NotOursError, match=SECRET):
        deliver_connection_string.fn(bench.session)
    assert bench.writes() == []


def test_a_changed_setting_changes_the_chart_and_nothing_else(bench: SiteBench) -> None:
    endpoint = bench.bring_online()
    bench.writes()
    chart = bench.site.chart.model_copy(update={"chunk_size_mb": 8})
    session = bench.with_site(chart=chart)
    (outcome,) = install_chart.fn(session)
    assert (outcome.action, outcome.detail) == (Action.CHANGED, "valuesContent")
    assert [line for line in bench.writes() if line.startswith("azure")] == []
    assert wait_until_online.fn(session) == endpoint


def test_a_cluster_that_cannot_take_the_chart_is_refused_before_any_write(
    bench: SiteBench,
) -> None:
    chart = bench.site.chart.model_copy(
        update={
            "storage": Storage(class_name="fast-ssd"),
            "service": Service(cluster_ip="10.43.0.1"),
        }
    )
    with pytest.raises(ClusterNotSuitableError) as raised:
        check_cluster.fn(bench.with_site(chart=chart))
    assert "'fast-ssd'; the cluster has local-path" in str(raised.value)
    assert "10.43.0.1 belongs to the Service default/kubernetes" in str(raised.value)
    assert bench.writes() == []


@pytest.mark.slow
def test_a_chart_that_does_not_exist_is_told_in_the_jobs_own_words(tmp_path: Path) -> None:
    with lab_sites(tmp_path, sites=1, minute=1.5) as sites, sites.next_site() as bench:
        reference = "oci://mcr.microsoft.com/acr/nothing"
        chart = bench.site.chart.model_copy(update={"reference": reference})
        session = bench.with_site(chart=chart)
        deliver_connection_string.fn(session)
        install_chart.fn(session)
        with pytest.raises(ChartFailedError, match="gave up") as raised:
            wait_until_online.fn(session)
        assert "acr/nothing" in str(raised.value)


def test_a_site_that_needs_more_time_is_waiting_and_not_broken(bench: SiteBench) -> None:
    patience = bench.site.patience.model_copy(update={"online": timedelta(seconds=0.1)})
    session = bench.with_site(patience=patience)
    deliver_connection_string.fn(session)
    install_chart.fn(session)
    with pytest.raises(WaitingForSiteError, match=r"still waiting for .*Nothing failed"):
        wait_until_online.fn(session)
