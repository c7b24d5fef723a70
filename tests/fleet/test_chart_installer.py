from typing import Any

import pytest

from fleet.chart_installer import choose_installer
from fleet.cluster_errors import ClusterNotSuitableError
from fleet.sites import Chart

GOOD: dict[str, Any] = {"valuesSecrets": {}, "failurePolicy": {"enum": ["abort", "retry"]}}


def _chart(installer: str) -> Chart:
    return Chart.model_validate({"version": "0.4.0", "installer": installer})


def _definition(**fields: Any) -> dict[str, Any]:
    schema = {"properties": {"spec": {"properties": fields}}}
    version = {"name": "v1", "served": True, "schema": {"openAPIV3Schema": schema}}
    return {"spec": {"versions": [version]}}


def test_auto_takes_the_helm_controller_where_it_fits() -> None:
    choice = choose_installer(_chart("auto"), _definition(**GOOD))
    assert (choice.installer, choice.why) == ("helm-controller", "the cluster has one")
    assert choice.support is not None
    assert choice.support.failure_policy == "retry"


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        (None, "has no helm-controller"),
        (_definition(failurePolicy={}), "too old"),
        (_definition(valuesSecrets={}), "too old"),
    ],
)
def test_auto_takes_helm_elsewhere_and_says_why(
    definition: dict[str, Any] | None, why: str
) -> None:
    choice = choose_installer(_chart("auto"), definition)
    assert choice.is_helm
    assert why in choice.why
    assert choice.support is None


def test_helm_is_taken_on_request_even_where_there_is_a_helm_controller() -> None:
    choice = choose_installer(_chart("helm"), _definition(**GOOD))
    assert (choice.is_helm, choice.why) == (True, "the fleet file says so")


def test_a_helm_controller_on_request_must_fit() -> None:
    assert not choose_installer(_chart("helm-controller"), _definition(**GOOD)).is_helm
    with pytest.raises(ClusterNotSuitableError, match=r"Or set `chart\.installer: helm`"):
        choose_installer(_chart("helm-controller"), None)
