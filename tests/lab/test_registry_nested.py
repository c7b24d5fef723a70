"""A nested registry of the lab: fed by its parent's site, let through by every sync token above."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from fleet.connected_registries import wanted_settings
from fleet.sites import Mode
from lab.azure.registry_lab import RegistryLab
from lab.registry.cloud_parent import CloudParent
from lab.registry.connection_string import ConnectionString
from lab.registry.edge_parent import EdgeParent
from lab.registry.parent import GoneError
from lab.registry.volume import Manifest, Pushed, Repository
from tests.azure_lab_fixture import AzureThread, azure_thread
from tests.builders import a_site

pytestmark = pytest.mark.lab

GATEWAY = ("config/read", "config/write", "message/read", "message/write")
SCOPES = "UNAUTHORIZED: Insufficient scopes to perform the operation"


@dataclass
class Neighbour:
    """The parent's edge registry, as the test wants it."""

    scheme: str = "http"
    passes_messages: bool = True
    repositories: Mapping[str, Repository] = field(default_factory=dict)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureThread]:
    with azure_thread(tmp_path_factory.mktemp("azure"), minute=0.3) as azure:
        yield azure


@pytest.fixture
def azure(cloud: AzureThread) -> Iterator[AzureThread]:
    cloud.add_registry()
    access = cloud.session(cloud.address()).access
    for name, parent in (("harbour", None), ("ferry", "harbour"), ("boats", "ferry")):
        access.create_scope_map(f"{name}-map", frozenset(_actions(name)), "")
        access.create_token(f"{name}-sync", f"{name}-map")
        access.create_connected_registry(
            name,
            mode=Mode.READ_WRITE,
            sync_token=f"{name}-sync",
            settings=wanted_settings(a_site()),
            parent=parent,
        )
    yield cloud
    cloud.forget()


@pytest.fixture
def password(azure: AzureThread) -> str:
    made = azure.session(azure.address()).access.renew_password("boats-sync", "password1")
    return made.value.get_secret_value()


def _actions(name: str) -> list[str]:
    below = {"harbour": ("harbour", "ferry", "boats"), "ferry": ("ferry", "boats")}
    gateways = [f"gateway/{one}/{verb}" for one in below.get(name, (name,)) for verb in GATEWAY]
    return [*gateways, *(f"repositories/*/content/{verb}" for verb in ("read", "write"))]


def parent_of(azure: AzureThread, name: str, neighbour: Neighbour | None) -> EdgeParent:
    identity = ConnectionString(name, f"{name}-sync", "x", "10.43.0.9", "http")
    return EdgeParent(registry(azure), identity, lambda: neighbour)


def registry(azure: AzureThread) -> RegistryLab:
    return azure.lab.registry("acrnorthsea")


def test_a_nested_registry_is_let_in_through_its_parent(azure: AzureThread, password: str) -> None:
    parent = parent_of(azure, "boats", Neighbour())
    assert parent.check_sync_token("boats", "boats-sync", password) is None
    assert parent.passes_messages


def test_the_cloud_itself_does_not_feed_a_nested_registry(
    azure: AzureThread, password: str
) -> None:
    refusal = CloudParent(registry(azure)).check_sync_token("boats", "boats-sync", password)
    assert refusal == "UNAUTHORIZED: boats is below ferry, not below the cloud"


@pytest.mark.parametrize("holder", ["boats", "ferry", "harbour"])
@pytest.mark.parametrize("verb", GATEWAY)
def test_every_sync_token_on_the_way_has_to_pass_its_messages(
    azure: AzureThread, password: str, holder: str, verb: str
) -> None:
    azure.state().scope_maps[f"{holder}-map"].actions.remove(f"gateway/boats/{verb}")
    parent = parent_of(azure, "boats", Neighbour())
    assert parent.check_sync_token("boats", "boats-sync", password) == SCOPES


@pytest.mark.parametrize(
    ("neighbour", "says"),
    [
        (None, "connection refused: 10.43.0.9"),
        (Neighbour(scheme="https"), "10.43.0.9 speaks https, not http"),
        (Neighbour(passes_messages=False), "503 10.43.0.9 is not in touch with its own parent"),
    ],
)
def test_a_parent_that_cannot_be_spoken_to_lets_nobody_in(
    azure: AzureThread, password: str, neighbour: Neighbour | None, says: str
) -> None:
    parent = parent_of(azure, "boats", neighbour)
    assert parent.check_sync_token("boats", "boats-sync", password) == says
    assert parent.passes_messages is (neighbour is not None and neighbour.passes_messages)


def test_what_the_parent_does_not_have_its_children_do_not_get(azure: AzureThread) -> None:
    web = Repository({"1.0": "sha256:1"}, {}, {})
    neighbour = Neighbour(repositories={"vessel/web": web, "not/allowed": web})
    parent = parent_of(azure, "boats", neighbour)
    azure.state().scope_maps["boats-map"].actions = ["repositories/vessel/*/content/read"]
    assert parent.sync_view("boats").repositories == ("vessel/web",)
    assert parent.content("vessel/web") is web
    with pytest.raises(GoneError, match="vessel/engine"):
        parent.content("vessel/engine")
    with pytest.raises(GoneError, match=r"10\.43\.0\.9"):
        parent_of(azure, "boats", None).sync_view("boats")


@pytest.mark.parametrize("closed", [None, "boats", "ferry", "harbour"])
def test_a_push_passes_only_where_every_sync_token_may_write(
    azure: AzureThread, closed: str | None
) -> None:
    if closed:
        azure.state().scope_maps[f"{closed}-map"].actions = ["repositories/*/content/read"]
    pushed = Pushed("crew/new", "1", "sha256:2", Manifest("application/json", b"{}"), {})
    refusal = parent_of(azure, "boats", Neighbour()).put_image("boats", pushed)
    assert ("crew/new" in registry(azure).repositories) is (closed is None)
    assert (refusal is None) is (closed is None)


def test_a_parent_goes_after_its_children_only(azure: AzureThread) -> None:
    access = azure.session(azure.address()).access
    with pytest.raises(Exception, match="EmulatedConnectedRegistryHasChildren"):
        access.delete_connected_registry("ferry")
    for name in ("boats", "ferry", "harbour"):
        access.delete_connected_registry(name)
    assert access.list_connected_registries() == ()
