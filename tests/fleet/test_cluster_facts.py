from typing import Any

import pytest

from fleet.chart_installer import InstallerChoice
from fleet.cluster_errors import ClusterNotSuitableError
from fleet.cluster_facts import ClusterFacts, judge_cluster
from fleet.cluster_objects import Meta, NodeState, ServiceView
from fleet.sites import Chart, Node, Service, Site
from tests.builders import NOW, a_site

HELM = InstallerChoice(installer="helm", why="the cluster has no helm-controller")
NODE = NodeState(name="oslo-1", ready=True, addresses=("192.0.2.1",))


def _judge(site: Site | None = None, **changes: Any) -> ClusterFacts:
    seen: dict[str, Any] = {"storage_classes": ("local-path",), "nodes": (NODE,), "services": ()}
    seen |= {"certificate": None, "now": NOW, **changes}
    return judge_cluster(site or a_site(), installer=HELM, **seen)


def _service(name: str, **labels: str) -> ServiceView:
    meta = Meta(name=name, namespace="connected-registry", labels=labels)
    return ServiceView(meta=meta, type="ClusterIP", cluster_ip="10.43.7.7", ports=())


def test_a_suitable_cluster_has_no_warnings() -> None:
    facts = _judge()
    assert facts.warnings == ()


def test_all_problems_are_told_at_once() -> None:
    chart = Chart(version="0.4.0", service=Service(cluster_ip="10.43.7.7"))
    site = a_site(chart=chart, nodes=(Node(name="bergen-9", address="192.0.2.9"),))
    with pytest.raises(ClusterNotSuitableError) as raised:
        _judge(site, storage_classes=("fast",), services=(_service("web"),))
    assert "'local-path'; the cluster has fast" in str(raised.value)
    assert "10.43.7.7 belongs to the Service connected-registry/web" in str(raised.value)
    assert "bergen-9 of the fleet file is not in the cluster, which has oslo-1" in str(raised.value)


def test_the_registrys_own_service_may_hold_the_address() -> None:
    chart = Chart(version="0.4.0", service=Service(cluster_ip="10.43.7.7"))
    own = _service("x", **{"app.kubernetes.io/instance": "connected-registry"})
    assert _judge(a_site(chart=chart), services=(own,)).warnings == ()


def test_a_node_without_a_name_of_its_own_is_known_by_its_address() -> None:
    site = a_site(nodes=(Node(name="192.0.2.1", address="192.0.2.1"),))
    assert _judge(site).warnings == ()


def test_a_node_that_nobody_configures_is_a_warning() -> None:
    nodes = (NODE, NodeState(name="oslo-2", ready=False))
    unknown, not_ready = _judge(nodes=nodes).warnings
    assert "oslo-2 of oslo is not in the fleet file: pods on it cannot pull" in unknown
    assert not_ready == "The node oslo-2 of oslo is not Ready"
