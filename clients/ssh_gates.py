"""A few logins to one SSH server at a time, however many sites are behind it.

From ten unfinished logins on, sshd drops new ones at random (sshd_config(5), MaxStartups
10:30:100), and a jump host sees those of all its sites at once. Other programs log in there too, so
some room is left for them; who is turned away all the same tries again (`clients.ssh_connection`).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from fleet.host_errors import SiteUnreachableError

LOGINS_AT_ONCE = 6
_PATIENCE_SECONDS = 180.0

_gates: "WeakValueDictionary[tuple[str, int], threading.Semaphore]" = WeakValueDictionary()
_lock = threading.Lock()


@contextmanager
def one_of_few_logins(address: str, port: int) -> Iterator[None]:
    """Wait until fewer than `LOGINS_AT_ONCE` logins to this server are under way, then be one.

    The count is this process's own.

    Raises:
        SiteUnreachableError: The logins before this one did not end in time.
    """
    with _lock:
        gate = _gates.setdefault((address, port), threading.Semaphore(LOGINS_AT_ONCE))
    if not gate.acquire(timeout=_PATIENCE_SECONDS):
        raise SiteUnreachableError(
            f"{address}:{port}: {LOGINS_AT_ONCE} logins at a time are under way, and for "
            f"{_PATIENCE_SECONDS:g} s it was never this one's turn: the server is too slow."
        )
    try:
        yield
    finally:
        gate.release()
