from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from fleet.cluster_errors import ClusterNotSuitableError
from fleet.cluster_objects import ChartView, Meta, SecretView
from fleet.errors import NotOursError
from fleet.helm_chart import (
    ChartSupport,
    chart_body,
    chart_spec,
    chart_values,
    compare_chart,
    connection_secret_body,
    our_labels,
    read_chart_support,
    read_connection_string,
)
from fleet.outcomes import Action
from fleet.passwords import PasswordMark
from fleet.sites import Chart, Service, Storage, Tls
from tests.builders import a_site

SUPPORT = ChartSupport(failure_policies=("abort", "reinstall", "retry"), has_back_off_limit=True)
SITE = a_site()
BODY = chart_body(SITE, SUPPORT)


def _definition(**fields: Any) -> dict[str, Any]:
    schema = {"properties": {"spec": {"properties": fields}}}
    version = {"name": "v1", "served": True, "schema": {"openAPIV3Schema": schema}}
    return {"spec": {"versions": [version]}}


def _there(labels: dict[str, str] | None = None, **changes: Any) -> ChartView:
    return ChartView(
        meta=Meta(name="connected-registry", labels=our_labels(SITE) if labels is None else labels),
        spec={**BODY["spec"], **changes},
    )


def test_retry_is_chosen_where_the_cluster_knows_it() -> None:
    known = {"type": "string", "enum": ["abort", "reinstall", "retry"]}
    support = read_chart_support(
        _definition(valuesSecrets={}, failurePolicy=known, backOffLimit={"type": "integer"})
    )
    assert support.failure_policy == "retry"
    assert chart_spec(SITE.chart, support)["backOffLimit"] == 5


def test_abort_is_chosen_otherwise_because_reinstall_may_delete_the_volume() -> None:
    support = read_chart_support(_definition(valuesSecrets={}, failurePolicy={"type": "string"}))
    assert support.failure_policy == "abort"
    assert "backOffLimit" not in chart_spec(SITE.chart, support)


def test_a_cluster_without_helm_controller_is_refused() -> None:
    with pytest.raises(ClusterNotSuitableError, match="disable: helm-controller"):
        read_chart_support(None)


@pytest.mark.parametrize("missing", ["valuesSecrets", "failurePolicy"])
def test_a_helm_controller_that_is_too_old_is_refused_by_name(missing: str) -> None:
    fields = {"valuesSecrets": {}, "failurePolicy": {}, "backOffLimit": {}}
    del fields[missing]
    with pytest.raises(ClusterNotSuitableError, match=f"no `{missing}`.*Upgrade K3s"):
        read_chart_support(_definition(**fields))


def test_http_turns_off_what_only_https_needs() -> None:
    chart = Chart(
        version="0.4.0",
        chunk_size_mb=8,
        storage=Storage(class_name="fast", size="5Gi"),
        service=Service(cluster_ip="10.43.7.7"),
    )
    assert chart_values(chart) == {
        "httpEnabled": True,
        "cert-manager": {"enabled": False, "install": False},
        "trustDistribution": {"enabled": False},
        "pvc": {"storageClassName": "fast", "storageRequest": "5Gi"},
        "service": {"type": "ClusterIP", "clusterIP": "10.43.7.7"},
        "sync": {"chunkSizeInMb": 8},
    }


def test_https_leaves_the_certificates_to_the_chart() -> None:
    values = chart_values(Chart(version="0.4.0", http_enabled=False))
    assert "cert-manager" not in values
    assert values["trustDistribution"] == {"enabled": False}


def test_the_fleet_files_own_values_are_merged_over_ours() -> None:
    extra = {"pvc": {"annotations": {"a": "b"}}, "image": "mirror/registry:1"}
    values = chart_values(Chart(version="0.4.0", extra_values=extra))
    assert values["pvc"] == {
        "storageClassName": "local-path",
        "storageRequest": "20Gi",
        "annotations": {"a": "b"},
    }
    assert values["image"] == "mirror/registry:1"


def test_the_connection_string_is_in_the_secret_and_nowhere_else() -> None:
    mark = PasswordMark(token="t", slot="password1")
    secret = connection_secret_body(SITE, SecretStr("canary-string"), mark)
    view = SecretView.from_json({**secret, "metadata": secret["metadata"]})
    found = read_connection_string(view)
    assert found is not None
    assert found.get_secret_value() == "canary-string"
    assert "canary-string" not in repr(BODY)
    assert BODY["spec"]["valuesSecrets"] == [
        {"name": secret["metadata"]["name"], "keys": list(secret["data"])}
    ]


def test_a_secret_without_values_holds_no_connection_string() -> None:
    meta = Meta(name="x")
    for content in ({}, {"values.yaml": ": ["}, {"values.yaml": "a: 1"}, {"values.yaml": "just"}):
        data = {key: SecretStr(value) for key, value in content.items()}
        assert read_connection_string(SecretView(meta=meta, type="Opaque", data=data)) is None


def test_the_same_chart_is_unchanged_however_its_values_are_written() -> None:
    values = yaml.safe_load(BODY["spec"]["valuesContent"])
    rewritten = "# by hand\n" + yaml.safe_dump(values, default_flow_style=True)
    found = _there(valuesContent=rewritten, bootstrap=False)
    assert compare_chart(SITE, BODY, found) is Action.UNCHANGED


def test_another_version_is_a_change() -> None:
    assert compare_chart(SITE, BODY, _there(version="0.3.0")) is Action.CHANGED
    assert compare_chart(SITE, BODY, None) is Action.CREATED


def test_a_chart_made_by_hand_is_taken_over_only_when_it_is_the_same() -> None:
    assert compare_chart(SITE, BODY, _there(labels={})) is Action.ADOPTED
    with pytest.raises(NotOursError, match="differs in version, failurePolicy"):
        compare_chart(SITE, BODY, _there(labels={}, version="9", failurePolicy="reinstall"))


@pytest.mark.parametrize(
    ("tls", "values"),
    [
        (Tls(secret="registry-tls"), {"enabled": False, "install": False}),
        (Tls(cert_manager="existing"), {"enabled": True, "install": False}),
        (Tls(cert_manager="install", ca_file="ca.pem"), {"enabled": True, "install": True}),
    ],
)
def test_an_https_registry_gets_its_certificate_from_one_place(
    tls: Tls, values: dict[str, bool]
) -> None:
    found = chart_values(Chart(version="0.4.0", http_enabled=False, tls=tls))
    assert found["cert-manager"] == values
    assert found.get("tls") == ({"secret": tls.secret} if tls.secret else None)
    assert found["httpEnabled"] is False
