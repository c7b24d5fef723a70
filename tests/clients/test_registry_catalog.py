"""`RegistryCatalog` over the wire, against the lab's data plane."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.azure_errors import AccessDeniedError, AzureBusyError, LoginFailedError
from fleet.freshness import CloudTags
from tests.azure_lab_fixture import AzureThread, azure_thread

pytestmark = pytest.mark.lab


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[AzureThread]:
    with azure_thread(tmp_path) as azure:
        yield azure


def test_all_repositories_are_listed_across_pages(azure: AzureThread) -> None:
    names = {f"vessel/part{number:04}": ["1"] for number in range(1203)}
    session = azure.session(azure.add_registry(repositories=names))
    assert session.catalog.list_repositories() == tuple(sorted(names))


def test_an_empty_registry_has_no_repositories(azure: AzureThread) -> None:
    session = azure.session(azure.add_registry(repositories={}))
    assert session.catalog.list_repositories() == ()


def test_the_newest_tag_and_its_digest_are_what_the_registry_serves(azure: AzureThread) -> None:
    session = azure.session(azure.add_registry())
    assert session.catalog.find_newest_tag("vessel/web") == "1.1"
    served = azure.state().content.repositories["vessel/web"].find("1.1")
    assert served is not None
    assert session.catalog.find_digest("vessel/web", "1.1") == served.digest


def test_tags_are_listed_newest_first_with_digest_and_time(azure: AzureThread) -> None:
    session = azure.session(azure.add_registry())
    content = azure.state().content.repositories["vessel/web"]
    listed = session.catalog.list_newest_tags("vessel/web")
    assert listed.complete
    assert {tag.tag: tag.digest for tag in listed.tags} == content.tags
    times = [tag.updated for tag in listed.tags]
    assert times == sorted(times, reverse=True)
    made = {tag: content.manifests[digest].created for tag, digest in content.tags.items()}
    assert all(abs(tag.updated - made[tag.tag]).total_seconds() < 1 for tag in listed.tags)


def test_of_very_many_tags_the_newest_are_listed_and_it_is_told_that_there_are_more(
    azure: AzureThread,
) -> None:
    tags = [f"1.{number}" for number in range(1203)]
    session = azure.session(azure.add_registry(repositories={"vessel/web": tags}))
    listed = session.catalog.list_newest_tags("vessel/web")
    assert len(listed.tags) == 1000
    assert not listed.complete


def test_what_is_not_there_is_none(azure: AzureThread) -> None:
    session = azure.session(azure.add_registry())
    assert session.catalog.find_newest_tag("vessel/nothing") is None
    assert session.catalog.list_newest_tags("vessel/nothing") == CloudTags()
    assert session.catalog.find_digest("vessel/web", "9.9") is None
    assert session.catalog.find_digest("vessel/nothing", "1") is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_forbidden_catalog_names_the_roles_of_both_modes(azure: AzureThread, status: int) -> None:
    session = azure.session(azure.add_registry())
    azure.faults.add(part="azure", kind="status", match="GET /acr/v1/_catalog", status=status)
    with pytest.raises(AccessDeniedError) as caught:
        session.catalog.list_repositories()
    text = str(caught.value)
    assert "`AcrPull`" in text
    assert "`Container Registry Repository Catalog Lister`" in text
    assert "registry acrnorthsea" in text
    assert "The request failed, as ordered." in text


def test_a_catalog_that_does_not_know_the_login_is_not_taken_for_a_missing_role(
    azure: AzureThread,
) -> None:
    login = azure.login(client_secret="canary-not-the-secret")
    session = azure.session(azure.add_registry(), login=login)
    session.catalog._find_login_server = lambda: azure.state().login_server
    with pytest.raises(LoginFailedError, match="AADSTS7000215"):
        session.catalog.list_repositories()


def test_throttling_in_the_middle_of_the_pages_is_waited_out(azure: AzureThread) -> None:
    names = {f"vessel/part{number:04}": ["1"] for number in range(1203)}
    session = azure.session(azure.add_registry(repositories=names))
    azure.faults.add(part="azure", kind="status", match="*/_catalog", status=429, times=2)
    assert len(session.catalog.list_repositories()) == 1203


def test_a_data_plane_that_stays_away_is_a_temporary_error(azure: AzureThread) -> None:
    session = azure.session(azure.add_registry())
    azure.faults.add(part="azure", kind="drop", match="*/_catalog")
    with pytest.raises(AzureBusyError):
        session.catalog.list_repositories()


def test_a_registry_that_nobody_asked_for_longer_than_a_login_lasts_is_asked_again(
    azure: AzureThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library goes on with a refresh token that is about to end, and with an ended one."""
    monkeypatch.setattr("lab.azure.registry_login._REFRESH_LIFE", 2)
    monkeypatch.setattr("clients.registry_catalog._FRESH", 1.0)
    session = azure.session(azure.add_registry())
    before = session.catalog.list_repositories()
    time.sleep(3)
    assert session.catalog.list_repositories() == before
