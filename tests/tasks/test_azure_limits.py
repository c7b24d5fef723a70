"""The limits on calls to Azure, in one process and across processes."""

import threading
import time

import pytest
from prefect.client.orchestration import get_client

from tasks.azure_limits import azure_slot, limit_name
from tests.builders import a_registry

pytestmark = pytest.mark.flow


def read_limit(name: str) -> tuple[int, int]:
    with get_client(sync_client=True) as client:
        limit = client.read_global_concurrency_limit_by_name(name)
    return limit.limit, limit.active_slots


def test_the_limit_is_made_and_corrected_to_what_the_fleet_file_says(
    prefect_harness: None,
) -> None:
    registry = a_registry(name="acrlimits", max_concurrent_calls=2)
    with azure_slot(registry):
        assert read_limit("acrfleet-azure-acrlimits") == (2, 1)
    assert read_limit("acrfleet-azure-acrlimits") == (2, 0)
    with azure_slot(registry.model_copy(update={"max_concurrent_calls": 5})):
        assert read_limit("acrfleet-azure-acrlimits") == (5, 1)


def test_a_thread_that_holds_a_slot_does_not_wait_for_itself(prefect_harness: None) -> None:
    registry = a_registry(name="acrnested", max_concurrent_calls=1)
    with azure_slot(registry), azure_slot(registry):
        assert read_limit(limit_name(registry)) == (1, 1)
    assert read_limit(limit_name(registry)) == (1, 0)


def test_an_error_inside_gives_the_slot_back(prefect_harness: None) -> None:
    registry = a_registry(name="acrerror", max_concurrent_calls=1)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="inside"), azure_slot(registry):
            raise RuntimeError("inside")
    assert read_limit(limit_name(registry)) == (1, 0)


def test_no_more_threads_than_slots_are_inside_at_once(prefect_harness: None) -> None:
    registry = a_registry(name="acrcrowd", max_concurrent_calls=2)
    inside = 0
    most = 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with azure_slot(registry):
            with guard:
                inside += 1
                most = max(most, inside)
            time.sleep(0.1)
            with guard:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 2
