"""The limits on calls to Azure, in one process and across processes."""

import threading
import time

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

from fleet.errors import PrefectBusyError
from tasks.azure_limits import azure_slot, limit_name
from tasks.prefect_slots import PrefectSlots
from tests.builders import a_registry

pytestmark = pytest.mark.flow


def read_limit(name: str) -> tuple[int, int]:
    with get_client(sync_client=True) as client:
        limit = client.read_global_concurrency_limit_by_name(name)
    return limit.limit, limit.active_slots


def is_free_again(name: str) -> bool:
    """Tell whether all slots come back to the server, which takes a moment."""
    deadline = time.monotonic() + 10
    while read_limit(name)[1] and time.monotonic() < deadline:
        time.sleep(0.1)
    return read_limit(name)[1] == 0


def test_the_limit_is_made_and_corrected_to_what_the_fleet_file_says(
    prefect_harness: None,
) -> None:
    registry = a_registry(name="acrlimits", max_concurrent_calls=2)
    with azure_slot(registry):
        assert read_limit("acrfleet-azure-acrlimits") == (2, 1)
    assert is_free_again("acrfleet-azure-acrlimits")
    with azure_slot(registry.model_copy(update={"max_concurrent_calls": 5})):
        assert read_limit("acrfleet-azure-acrlimits") == (5, 1)


def test_a_thread_that_holds_a_slot_does_not_wait_for_itself(prefect_harness: None) -> None:
    registry = a_registry(name="acrnested", max_concurrent_calls=1)
    with azure_slot(registry), azure_slot(registry):
        assert read_limit(limit_name(registry)) == (1, 1)
    assert is_free_again(limit_name(registry))


def test_an_error_inside_gives_the_slot_back(prefect_harness: None) -> None:
    registry = a_registry(name="acrerror", max_concurrent_calls=1)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="inside"), azure_slot(registry):
            raise RuntimeError("inside")
    assert is_free_again(limit_name(registry))


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


def test_a_slot_goes_from_thread_to_thread_without_asking_the_server(
    prefect_harness: None,
) -> None:
    slots = PrefectSlots("acrfleet-test-handover", 1)
    with slots.slot():
        first = slots._leases[0].id
    with slots.slot():
        assert [lease.id for lease in slots._leases] == [first]


def test_two_processes_share_the_slots_of_one_limit(prefect_harness: None) -> None:
    name = "acrfleet-test-shared"
    one, other = PrefectSlots(name, 1), PrefectSlots(name, 1)
    order: list[str] = []

    def wait_for_the_other() -> None:
        with other.slot():
            order.append("other")

    with one.slot():
        thread = threading.Thread(target=wait_for_the_other)
        thread.start()
        time.sleep(0.5)
        order.append("one")
    thread.join(30)
    assert order == ["one", "other"]
    assert is_free_again(name)


def test_slots_that_a_dead_run_left_behind_do_not_block_for_ever(
    prefect_harness: None, caplog: pytest.LogCaptureFixture
) -> None:
    name = "acrfleet-test-stuck"
    with PrefectSlots(name, 2).slot(), get_client(sync_client=True) as client:
        everything = GlobalConcurrencyLimitUpdate(active_slots=2)
        client.update_global_concurrency_limit(name, everything)
    with caplog.at_level("WARNING", logger="acrfleet"):
        patient = PrefectSlots(name, 2, stuck_after=0.5)
        with patient.slot():
            assert read_limit(name)[0] == 2
    assert "had no free slot" in caplog.text


def test_a_limit_that_somebody_deleted_is_made_again(prefect_harness: None) -> None:
    name = "acrfleet-test-deleted"
    slots = PrefectSlots(name, 2)
    with slots.slot():
        pass
    assert is_free_again(name)
    with get_client(sync_client=True) as client:
        client.delete_global_concurrency_limit_by_name(name)
    with pytest.raises(PrefectBusyError, match="somebody deleted the limit"), slots.slot():
        pass
    with slots.slot():
        assert read_limit(name) == (2, 1)
