"""Servers that hang, drip, or fall silent: what bad networks and broken hosts look like."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def serving(behave: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Accept on a loopback port; each connection is handled by `behave` until the test ends."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            behave(connection, over)

    def accept() -> None:
        with suppress(OSError):
            while not over.is_set():
                thread = threading.Thread(target=serve, args=(listener.accept()[0],))
                threads.append(thread)
                thread.start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in [accepting, *threads]:
            thread.join(5)


def silent(connection: socket.socket, over: threading.Event) -> None:
    over.wait()


def dripping(connection: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.05):
        connection.sendall(b"one more line before the banner\r\n")


def banner_only(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
    over.wait()


def closing(connection: socket.socket, over: threading.Event) -> None:
    return


class Link:
    """A TCP proxy that can turn into a black hole: connected, but nothing arrives any more."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.dark = threading.Event()

    @contextmanager
    def open(self) -> Iterator[int]:
        with serving(self._pass_on) as port:
            yield port

    def _pass_on(self, near: socket.socket, over: threading.Event) -> None:
        with socket.create_connection(("127.0.0.1", self.target)) as far:
            ends = (near, far)
            threads = [
                threading.Thread(target=self._pump, args=(source, sink, over))
                for source, sink in (ends, ends[::-1])
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _pump(self, source: socket.socket, sink: socket.socket, over: threading.Event) -> None:
        source.settimeout(0.05)
        with suppress(OSError):
            while not over.is_set():
                try:
                    data = source.recv(65536)
                except TimeoutError:
                    continue
                if not data:
                    break
                if not self.dark.is_set():
                    sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
