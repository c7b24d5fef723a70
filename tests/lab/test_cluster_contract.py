"""One contract, two servers: the lab's and, where KUBEBUILDER_ASSETS is set, a real one."""

from collections.abc import Iterator

import pytest

from lab.cluster.helm.definitions import chart_definition, config_definition

pytest.register_assert_rewrite(
    "tests.lab.cluster_contract",
    "tests.lab.cluster_contract_edges",
    "tests.lab.cluster_contract_lists",
    "tests.lab.cluster_contract_patches",
    "tests.lab.cluster_contract_rules",
)

from tests.lab.cluster_contract import ObjectContract  # noqa: E402 - after the line above
from tests.lab.cluster_contract_edges import EdgeContract  # noqa: E402
from tests.lab.cluster_contract_lists import ListContract  # noqa: E402
from tests.lab.cluster_contract_patches import PatchContract  # noqa: E402
from tests.lab.cluster_contract_rules import RulesContract  # noqa: E402
from tests.lab.cluster_fixtures import running_cluster  # noqa: E402
from tests.lab.cluster_target import CHARTS, Target, eventually  # noqa: E402
from tests.lab.real_cluster import has_controllers, real_cluster, why_not  # noqa: E402


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        target = Target(running.kubeconfig, real=False)
        yield target
        target.close()


@pytest.fixture(scope="module")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with real_cluster(tmp_path_factory.mktemp("real")) as kubeconfig:
        target = Target(kubeconfig, real=True, controllers=has_controllers())
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        for definition in (chart_definition(), config_definition()):
            assert target.create(path, definition).code == 201
        eventually(lambda: target.ask("GET", f"{CHARTS}/helmcharts").code == 200)
        yield target
        target.close()


@pytest.fixture
def ns(target: Target) -> str:
    return target.new_namespace()


@pytest.fixture
def controllers(target: Target) -> None:
    if not target.controllers:
        pytest.skip("KUBEBUILDER_ASSETS holds no kube-controller-manager")


@pytest.mark.lab
class TestEmulator(ObjectContract, PatchContract, ListContract, RulesContract, EdgeContract):
    @pytest.fixture
    def target(self, emulator: Target) -> Target:
        return emulator


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
class TestRealServer(ObjectContract, PatchContract, ListContract, RulesContract, EdgeContract):
    @pytest.fixture
    def target(self, real_server: Target) -> Target:
        return real_server
