"""The contract that the lab's edge registry keeps, asked of a real one (distribution)."""

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.lab.registry_contract")

from tests.acceptance.distribution import Distribution  # noqa: E402 - after the line above
from tests.acceptance.machine import GATEWAY  # noqa: E402
from tests.acceptance.world import World  # noqa: E402
from tests.lab.registry_contract import (  # noqa: E402
    ContentContract,
    LoginContract,
    RegistryTarget,
)

_PORT = 5808
_ACTIONS = frozenset({"repositories/vessel/*/content/read", "repositories/vessel/*/metadata/read"})


def _log_in(user: str, password: str) -> frozenset[str] | None:
    return _ACTIONS if (user, password) == ("reader", "right") else None


@pytest.fixture(scope="module")
def registry(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryTarget]:
    folder = tmp_path_factory.mktemp("contract")
    (folder / "ca").mkdir()
    (folder / "ca/ca.crt").write_bytes(world.authority.pem)
    real = Distribution(folder / "registry", _log_in)
    world.loop.call(real.start, GATEWAY, _PORT)
    login = f"{world.azure.client_id}:{world.azure.client_secret}"
    try:
        for name in ("vessel/navigation:1.5.0", "office/payroll:3.3"):
            source = world.registry.login_server
            world.loop.call(real.copy_from, source, login, folder / "ca", name)
        url = f"http://{GATEWAY}:{_PORT}"
        yield RegistryTarget(url, "reader", "right", "vessel/navigation", "1.5.0", "office/payroll")
    finally:
        world.loop.call(real.stop)


class TestLogin(LoginContract): ...


class TestContent(ContentContract): ...
