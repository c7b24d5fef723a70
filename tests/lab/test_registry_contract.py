"""The contract of a site's registry, kept by the lab's; tests/acceptance asks a real one."""

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.lab.registry_contract")

from tests.lab.edge_bench import a_bench  # noqa: E402 - after the line above
from tests.lab.registry_contract import (  # noqa: E402
    ContentContract,
    LoginContract,
    RegistryTarget,
)

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryTarget]:
    with a_bench(tmp_path_factory.mktemp("registry")) as bench:
        bench.start()
        bench.wait_synced()
        url = f"http://127.0.0.1:{bench.edge.port}"
        yield RegistryTarget(url, "oslo-client", "first", "vessel/nav", "1.0", "vessel/crew")


class TestLogin(LoginContract): ...


class TestContent(ContentContract): ...
