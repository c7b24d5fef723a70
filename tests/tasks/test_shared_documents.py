"""What shards leave in the storage does not pile up."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from fleet.shard_report import FOLDER, ShardReport, order_key, report_key
from tasks.shared_documents import SharedDocuments

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]
DAY = 24 * 3600.0


def test_documents_that_are_old_go_and_everything_else_stays(tmp_path: Path) -> None:
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path}):
        documents = SharedDocuments()
        for key in (report_key("old"), report_key("new"), order_key("new"), "records/oslo"):
            documents.write(key, ShardReport(beat=1))
        for path in (report_key("old"), "records/oslo", f"{FOLDER}/old"):
            os.utime(tmp_path / path, (time.time() - 31 * DAY,) * 2)
        documents.forget_old(FOLDER, timedelta(days=30))
        assert documents.read(report_key("old"), ShardReport) is None
        assert documents.read(report_key("new"), ShardReport) == ShardReport(beat=1)
        assert documents.read("records/oslo", ShardReport) is not None
    assert sorted(path.name for path in (tmp_path / FOLDER).rglob("*")) == [
        "new",
        "old",
        "order.json",
        "report.json",
    ]


def test_a_folder_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path}):
        SharedDocuments().forget_old(FOLDER, timedelta(days=30))
