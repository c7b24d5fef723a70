"""Two runs never write to one site at once."""

import threading

import pytest

from tasks.site_locks import SiteBusyError, site_to_itself
from tests.builders import a_site

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]


def test_a_second_run_of_the_same_site_is_told_to_wait() -> None:
    with (
        site_to_itself(a_site("bodo")),
        pytest.raises(SiteBusyError, match="another run"),
        site_to_itself(a_site("bodo"), patience=1.0),
    ):
        pytest.fail("two runs were let in")


def test_another_site_is_free_and_a_finished_run_leaves_the_site_free() -> None:
    with site_to_itself(a_site("alta"), patience=10), site_to_itself(a_site("vardo"), patience=10):
        pass
    with site_to_itself(a_site("alta"), patience=10):
        pass


def test_a_run_that_fails_leaves_the_site_free() -> None:
    with pytest.raises(ValueError, match="broken"), site_to_itself(a_site("narvik"), patience=10):
        raise ValueError("broken")
    with site_to_itself(a_site("narvik"), patience=10):
        pass


def test_a_run_that_waits_goes_on_when_the_other_one_ends() -> None:
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with site_to_itself(a_site("kirkenes"), patience=10):
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(30)
    threading.Timer(1.0, leave.set).start()
    with site_to_itself(a_site("kirkenes"), patience=30):
        pass
    thread.join(30)
