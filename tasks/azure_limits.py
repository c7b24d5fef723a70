"""How many calls to Azure run at once for one registry: in this process, and in all of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.settings import PREFECT_API_URL

from fleet.sites import AcrRegistry
from tasks.prefect_slots import PrefectSlots

_guard = threading.Lock()
_pools: dict[tuple[str | None, str, int], PrefectSlots] = {}
_held = threading.local()


def limit_name(registry: AcrRegistry) -> str:
    """Return the name of a registry's limit, as it stands in the Prefect UI."""
    return f"acrfleet-azure-{registry.name.lower()}"


@contextmanager
def azure_slot(registry: AcrRegistry) -> Iterator[None]:
    """Hold one of the registry's slots; whoever holds one makes one call at a time.

    A thread that holds a slot already gets no second one. Never wait for a site while holding a
    slot. A slot held by a process that dies is free again after a minute.

    Raises:
        PrefectBusyError: Prefect gave no slot in time.
    """
    name = limit_name(registry)
    held: set[str] = _held.__dict__.setdefault("names", set())
    if name in held:
        yield
        return
    with _pool(name, registry.max_concurrent_calls).slot():
        held.add(name)
        try:
            yield
        finally:
            held.discard(name)


def _pool(name: str, slots: int) -> PrefectSlots:
    """Return the pool of this process for a limit of the Prefect server in use."""
    with _guard:
        return _pools.setdefault((PREFECT_API_URL.value(), name, slots), PrefectSlots(name, slots))
