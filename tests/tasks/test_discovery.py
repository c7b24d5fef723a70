"""Preflight and discovery, against the lab's Azure; and as Prefect tasks, in the harness."""

from collections.abc import Iterator

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from fleet.azure_errors import NoProbeImageError, RegistryNotReadyError
from fleet.azure_objects import RegistryFacts
from fleet.outcomes import Action, Outcome
from fleet.repositories import select_repositories
from fleet.verification import ProbeImage
from tasks.access import create_client_token, create_connected_registry
from tasks.azure_limits import limit_name
from tasks.discovery import (
    check_registry,
    choose_probe_image,
    list_repositories,
    look_at_registry,
    prepare_registry,
    read_probe_image,
)
from tasks.sessions import RegistrySession
from tests.azure_lab_fixture import AzureThread, azure_thread
from tests.builders import a_site

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureThread]:
    with azure_thread(tmp_path_factory.mktemp("azure")) as azure:
        yield azure


@pytest.fixture
def azure(cloud: AzureThread) -> Iterator[AzureThread]:
    yield cloud
    cloud.forget()


def test_a_registry_that_is_fit_is_only_read(azure: AzureThread) -> None:
    facts = prepare_registry(azure.session(azure.add_registry()))
    assert facts.sku == "Premium"
    assert facts.login_server.startswith("127.0.0.1:")
    assert facts.abac is False
    assert azure.writes() == []


def test_a_registry_that_is_not_premium_is_refused_with_the_command(azure: AzureThread) -> None:
    registry = azure.add_registry(sku="Standard", data_endpoint=False)
    allowed = registry.model_copy(update={"enable_data_endpoint": True})
    with pytest.raises(RegistryNotReadyError) as caught:
        prepare_registry(azure.session(allowed))
    assert "is Standard" in str(caught.value)
    assert "az acr update --name acrnorthsea --sku Premium" in str(caught.value)
    assert azure.writes() == []


def test_a_missing_data_endpoint_is_refused_with_the_command(azure: AzureThread) -> None:
    session = azure.session(azure.add_registry(data_endpoint=False))
    with pytest.raises(RegistryNotReadyError) as caught:
        prepare_registry(session)
    text = str(caught.value)
    assert "az acr update --name acrnorthsea --data-endpoint-enabled true" in text
    assert "`enable_data_endpoint: true`" in text
    assert azure.writes() == []


def test_a_missing_data_endpoint_is_turned_on_where_the_file_allows_it_and_only_once(
    azure: AzureThread,
) -> None:
    registry = azure.add_registry(data_endpoint=False)
    session = azure.session(registry.model_copy(update={"enable_data_endpoint": True}))
    assert prepare_registry(session).data_endpoint
    assert prepare_registry(session).data_endpoint
    assert len(azure.writes()) == 1


def test_a_look_at_a_registry_leaves_off_what_a_run_would_turn_on(azure: AzureThread) -> None:
    registry = azure.add_registry(data_endpoint=False)
    session = azure.session(registry.model_copy(update={"enable_data_endpoint": True}))
    assert not look_at_registry.fn(session).data_endpoint
    assert not session.access.read_registry().data_endpoint


def test_a_registry_with_roles_per_repository_is_noticed_and_explained(
    azure: AzureThread, caplog: pytest.LogCaptureFixture
) -> None:
    registry = azure.add_registry()
    azure.state().role_assignment_mode = "AbacRepositoryPermissions"
    with caplog.at_level("INFO", logger="acrfleet"):
        facts = prepare_registry(azure.session(registry))
    assert facts.abac
    assert "Container Registry Repository Catalog Lister" in caplog.text


def test_the_probe_image_is_the_newest_tag_of_the_first_repository_that_has_one(
    azure: AzureThread,
) -> None:
    session = azure.session(azure.add_registry())
    azure.state().content.repositories["vessel/engine"].tags.clear()
    probe = choose_probe_image(session, a_site(), ("vessel/engine", "vessel/web"))
    served = azure.state().content.repositories["vessel/web"].find("1.1")
    assert served is not None
    assert probe == ProbeImage(repository="vessel/web", tag="1.1", digest=served.digest)


def test_the_site_may_name_its_probe_image(azure: AzureThread) -> None:
    session = azure.session(azure.add_registry())
    site = a_site(probe_image="vessel/web:1.0")
    assert choose_probe_image(session, site, ("vessel/engine", "vessel/web")).tag == "1.0"


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("shore/portal:3", "does not mirror repository shore/portal"),
        ("vessel/web:9.9", "has no tag 9.9 in vessel/web"),
    ],
)
def test_a_probe_image_that_cannot_prove_anything_is_refused(
    azure: AzureThread, image: str, reason: str
) -> None:
    session = azure.session(azure.add_registry())
    with pytest.raises(NoProbeImageError, match=reason):
        choose_probe_image(session, a_site(probe_image=image), ("vessel/web",))


def test_a_site_without_any_tag_has_nothing_to_be_proven_with(azure: AzureThread) -> None:
    session = azure.session(azure.add_registry())
    azure.state().content.repositories["vessel/web"].tags.clear()
    with pytest.raises(NoProbeImageError, match="none of the 1 selected repositories has a tag"):
        choose_probe_image(session, a_site(), ("vessel/web",))


@flow(name="azure steps of a test", flow_run_name="azure steps", persist_result=False)
def azure_steps(session: RegistrySession) -> tuple[RegistryFacts, ProbeImage, tuple[Outcome, ...]]:
    site = a_site()
    facts = check_registry(session)
    repositories = select_repositories(site.repositories, list_repositories(session))
    probe = read_probe_image(session, site, repositories)
    outcomes = create_connected_registry(session, site, repositories)
    outcomes += create_client_token(session, site, repositories)
    return facts, probe, outcomes


@pytest.mark.flow
def test_the_steps_run_as_tasks_with_names_in_the_operators_words(
    azure: AzureThread, prefect_harness: None
) -> None:
    session = azure.session(azure.add_registry())
    azure.faults.add(part="azure", kind="drop", match="PATCH *", times=1)
    state = azure_steps(session, return_state=True)
    facts, probe, outcomes = state.result()
    assert facts.name == "acrnorthsea"
    assert probe.repository == "vessel/engine"
    assert len(outcomes) == 6
    assert all(outcome.action is not Action.UNCHANGED for outcome in outcomes[:3])
    with get_client(sync_client=True) as client:
        limit = client.read_global_concurrency_limit_by_name(limit_name(session.registry))
        runs = client.read_task_runs(
            flow_run_filter=FlowRunFilter(
                id=FlowRunFilterId(any_=[state.state_details.flow_run_id])
            )
        )
    assert limit.limit == session.registry.max_concurrent_calls
    assert {
        "check registry acrnorthsea",
        "list repositories of acrnorthsea",
        "choose image for oslo",
        "create connected registry for oslo",
        "create client token for oslo",
    } == {run.name for run in runs}
