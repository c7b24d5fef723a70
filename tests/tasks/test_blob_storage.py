"""Records and shards' reports in Azure Blob storage, by prefect-azure over the wire."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from time import time
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from azure.core.credentials import AccessToken
from prefect import flow
from prefect.settings import PREFECT_DEFAULT_RESULT_STORAGE_BLOCK, temporary_settings

from fleet.dispatch_errors import ResultStorageError
from fleet.results import SiteResult, Status
from fleet.shard_report import ShardReport, report_key
from tasks.records import keep_record, latest_record, read_record
from tasks.result_storage import keep_login
from tasks.shared_documents import SharedDocuments
from tests.builders import a_record, a_site
from tests.tasks.blob_service import BlobService, blob_service

pytestmark = [
    pytest.mark.flow,
    pytest.mark.usefixtures("prefect_harness"),
    pytest.mark.filterwarnings("ignore:download_to_stream is deprecated:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def blobs(prefect_harness: None) -> Iterator[BlobService]:
    from prefect_azure import AzureBlobStorageContainer, AzureBlobStorageCredentials

    with blob_service() as service:
        login = AzureBlobStorageCredentials(connection_string=service.connection_string)
        name = f"results-{uuid4().hex[:6]}"
        AzureBlobStorageContainer(container_name="acrfleet", credentials=login).save(name)
        block = f"azure-blob-storage-container/{name}"
        with temporary_settings({PREFECT_DEFAULT_RESULT_STORAGE_BLOCK: block}):
            yield service


def test_a_site_without_a_record_has_a_blank_one_and_a_kept_one_is_read_back(
    blobs: BlobService,
) -> None:
    """prefect-azure says RuntimeError for a blob that is not there."""
    now = datetime.now(UTC)
    assert read_record("northsea", "hammerfest") is None
    assert latest_record(a_site("hammerfest"), now).onboarded_at is None

    @flow(persist_result=False)
    def keeping() -> None:
        keep_record("northsea", "hammerfest", a_record("hammerfest", chart_version="0.4.0"))

    keeping()
    assert "/account/acrfleet/sites/northsea/hammerfest.json" in blobs.blobs
    found = read_record("northsea", "hammerfest")
    assert found is not None
    assert found.chart_version == "0.4.0"


def test_a_report_is_read_back_and_one_that_is_not_there_is_none(
    blobs: BlobService, caplog: pytest.LogCaptureFixture
) -> None:
    key = report_key(str(uuid4()))
    result = SiteResult(site="oslo", verb="onboard", status=Status.DONE)

    @flow(persist_result=False)
    def reporting() -> None:
        documents = SharedDocuments()
        assert documents.read(key, ShardReport) is None
        for beat in (1, 2):
            documents.write(key, ShardReport(beat=beat, results=(result,)))
        assert documents.read(key, ShardReport) == ShardReport(beat=2, results=(result,))
        assert str(documents) == "AzureBlobStorageContainer acrfleet"

    with caplog.at_level("INFO"):
        reporting()
    # A shard reports every few seconds for hours: not a line of it belongs into the run's log.
    assert [
        one for one in caplog.records if "object" in one.message and "flow_run" in one.name
    ] == []


def test_half_a_report_is_none_and_a_storage_that_refuses_is_no_silence(
    blobs: BlobService,
) -> None:
    documents, key = SharedDocuments(), report_key("half")
    documents.write(key, ShardReport(beat=1))
    blobs.blobs[f"/account/acrfleet/{key}"] = b'{"beat": 1, "resu'
    assert documents.read(key, ShardReport) is None
    blobs.is_down.set()
    try:
        with pytest.raises(ResultStorageError, match="did not give"):
            documents.read(key, ShardReport)
        with pytest.raises(ResultStorageError, match="did not take"):
            documents.write(key, ShardReport(beat=2))
    finally:
        blobs.is_down.clear()


class Hasty(NamedTuple):
    """A credential whose tokens end at once; `given` has all of them."""

    given: list[AccessToken]
    seconds: float = 1.0

    def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        self.given.append(AccessToken(f"{scopes[0]} {len(self.given)}", int(time() + self.seconds)))
        return self.given[-1]


def test_a_login_without_a_password_goes_on_after_prefect_azure_has_closed_it() -> None:
    """As it does after each use; azure-core refuses its own logins then."""
    from prefect_azure import AzureBlobStorageCredentials

    login = AzureBlobStorageCredentials(account_url="https://account.blob.core.windows.net")
    keep_login(login)
    kept = login._create_credential()
    keep_login(login)
    assert login._create_credential() is kept

    async def use() -> AccessToken:
        async with login as open_login:
            return await open_login._create_credential().get_token("storage")

    kept._credential = hasty = Hasty([])
    assert [asyncio.run(use()).token for _ in range(2)] == ["storage 0", "storage 1"]
    kept._credential = lasting = hasty._replace(seconds=3600.0)
    assert {asyncio.run(use()).token for _ in range(3)} == {"storage 2"}
    assert len(lasting.given) == 3
