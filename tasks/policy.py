"""How often and how patiently steps are retried: set here, once, for every task.

Only a `TemporaryError` is retried (see `fleet.errors`); the delays double and carry jitter, so that
a fleet does not come back all at once. Nothing is cached or persisted unless a step asks for it:
inputs hold connections and results must not hold secrets.

Sites run in threads, where Prefect can end a task that ran out of time only between two blocking
calls, and says so in a warning at the start of every such task. Every socket of ours has a time
limit of its own, so that is enough, and the warning is dropped.
"""

import logging
from typing import Any, TypedDict

from prefect.cache_policies import NO_CACHE, CachePolicy

from fleet.errors import is_worth_retrying


class Policy(TypedDict):
    """The keyword arguments that a policy gives to `@task`."""

    retries: int
    retry_delay_seconds: list[float]
    retry_jitter_factor: float
    retry_condition_fn: Any
    timeout_seconds: float
    cache_policy: CachePolicy
    persist_result: bool


def _is_news(record: logging.LogRecord) -> bool:
    return "task is running in a worker thread" not in str(record.msg)


logging.getLogger("prefect.task_runs").addFilter(_is_news)


def _worth_retrying(_task: object, _run: object, state: Any) -> bool:
    try:
        state.result()
    except BaseException as error:  # noqa: BLE001 - the error is looked at, not swallowed
        return is_worth_retrying(error)
    return False


def _policy(retries: int, first_delay: float, timeout: float) -> Policy:
    return {
        "retries": retries,
        "retry_delay_seconds": [first_delay * 2**n for n in range(retries)] or [0.0],
        "retry_jitter_factor": 0.3,
        "retry_condition_fn": _worth_retrying,
        "timeout_seconds": timeout,
        "cache_policy": NO_CACHE,
        "persist_result": False,
    }


ONCE = _policy(retries=0, first_delay=0.0, timeout=300)
READ = _policy(retries=4, first_delay=1.0, timeout=300)
WRITE = _policy(retries=4, first_delay=2.0, timeout=900)
WAIT = _policy(retries=2, first_delay=5.0, timeout=6 * 3600)
