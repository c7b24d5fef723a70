"""`acrfleet` with everything imported: a process that forks one run for each order.

Importing Prefect and the SDKs takes seconds of a core, too much for a test that starts and kills
dozens of runs. A run is a process of its own all the same: own memory, connections and end.
`tests.flows.processes` gives the orders over a socket on standard input; each brings a pipe for the
run's output and one on which its process id and then its exit code are told.
"""

import array
import gc
import importlib
import json
import os
import signal
import socket
import sys
import threading
from typing import Any

_BEFORE_ANY_IMPORT = {
    "PREFECT_CLIENT_MAX_RETRIES": "15",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
}

_MODULES = ("cli.live", "cli.main", "flows.onboard", "flows.rotate")


def _import_all() -> None:
    """Import what a run needs; nothing of it may start a thread, which a fork would lose."""
    for name, value in _BEFORE_ANY_IMPORT.items():
        os.environ.setdefault(name, value)
    for name in _MODULES:
        importlib.import_module(name)
    assert threading.active_count() == 1, threading.enumerate()
    gc.freeze()


def serve(orders: socket.socket) -> list[str]:
    """Fork a run for each order; returns its arguments, in the run, or exits with the test."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, ancillary, _, _ = orders.recvmsg(1 << 20, socket.CMSG_SPACE(8))
        if not message:
            sys.exit()
        pipes = array.array("i")
        pipes.frombytes(ancillary[0][2])
        if os.fork() == 0:
            _watch(orders, *pipes, order := json.loads(message))
            return list(order["arguments"])
        for pipe in pipes:
            os.close(pipe)


def _watch(orders: socket.socket, output: int, told: int, order: dict[str, Any]) -> None:
    """Return in the run itself; its parent tells how it ends and is gone with it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    orders.close()
    run = os.fork()
    if run:
        os.close(output)
        os.write(told, f"{run}\n".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(run, 0)[1])
        os.write(told, f"{code}\n".encode())
        os._exit(0)
    os.close(told)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, number)
    os.close(output)
    os.environ.clear()
    os.environ.update(order["environment"])


def main() -> None:
    """Import, wait for orders, and be `acrfleet` in each run."""
    _import_all()
    arguments = serve(socket.socket(fileno=0))
    import cli.main

    cli.main.main(arguments, prog_name="acrfleet")


if __name__ == "__main__":
    main()
