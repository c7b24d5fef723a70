"""Concurrency limits of Prefect: made in code, because a missing one is ignored in silence."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectAlreadyExists


def make_limit(client: SyncPrefectClient, name: str, slots: int) -> None:
    """Create a limit, or correct its size.

    Prefect's client looks first and then creates, and it sends a request again whose answer was
    lost: in both cases the limit may exist by then, which is what was wanted.
    """
    try:
        client.upsert_global_concurrency_limit_by_name(name, slots)
    except ObjectAlreadyExists:
        client.upsert_global_concurrency_limit_by_name(name, slots)
