"""How many calls to Azure run at once for one registry: in this process, and in all of them.

In this process a semaphore bounds them; across processes a Prefect global concurrency limit does.
Prefect ignores a limit that does not exist, without a word, so the limit is made here. The
semaphore comes first, so that threads of one process do not poll Prefect for slots.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.settings import PREFECT_API_URL

from fleet.sites import AcrRegistry

_LEASE_SECONDS = 60
_guard = threading.Lock()
_semaphores: dict[tuple[str, int], threading.BoundedSemaphore] = {}
_made: set[tuple[str | None, str, int]] = set()
_held = threading.local()


def limit_name(registry: AcrRegistry) -> str:
    """Return the name of a registry's limit, as it stands in the Prefect UI."""
    return f"acrfleet-azure-{registry.name.lower()}"


@contextmanager
def azure_slot(registry: AcrRegistry) -> Iterator[None]:
    """Hold one of the registry's slots; whoever holds one makes one call at a time.

    A thread that holds a slot already gets no second one. Never wait for a site while holding a
    slot. The lease ends by itself a minute after a process died.
    """
    name = limit_name(registry)
    held: set[str] = _held.__dict__.setdefault("names", set())
    if name in held:
        yield
        return
    with _semaphore(name, registry.max_concurrent_calls):
        _make_limit(name, registry.max_concurrent_calls)
        with concurrency(name, occupy=1, lease_duration=_LEASE_SECONDS, strict=True):
            held.add(name)
            try:
                yield
            finally:
                held.discard(name)


def _semaphore(name: str, slots: int) -> threading.BoundedSemaphore:
    with _guard:
        return _semaphores.setdefault((name, slots), threading.BoundedSemaphore(slots))


def _make_limit(name: str, slots: int) -> None:
    """Create or correct the limit, once per process and Prefect server."""
    key = (PREFECT_API_URL.value(), name, slots)
    with _guard:
        if key in _made:
            return
        with get_client(sync_client=True) as client:
            client.upsert_global_concurrency_limit_by_name(name, slots)
        _made.add(key)
