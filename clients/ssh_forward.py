"""A local port that leads to an address as a host reaches it (`direct-tcpip`)."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import paramiko

from fleet.errors import FleetError

_IDLE_SECONDS = 900.0


class Forward:
    """Listens on 127.0.0.1 at `port` and passes each connection on through SSH.

    `error` holds why the last connection could not be passed on: whoever connected saw only a
    closed connection.
    """

    def __init__(self, open_tcp: Callable[[], paramiko.Channel]) -> None:
        """Open the first connection at once, so that a refusal is an error here and now."""
        self.error: FleetError | None = None
        self._open_tcp = open_tcp
        self._first: paramiko.Channel | None = open_tcp()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._wake, self._woken = socket.socketpair()
        self._open: set[socket.socket | paramiko.Channel] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def __enter__(self) -> Self:
        """Use it in a `with`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Stop listening, close every connection, wait for the threads."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            still_open, threads = list(self._open), list(self._threads)
        self._wake.send(b"x")
        for end in still_open:
            _close(end)
        for thread in threads:
            thread.join(5.0)
        if self._first is not None:
            _close(self._first)
        for own in (self._listener, self._wake, self._woken):
            own.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        with self._lock:
            self._threads = [old for old in self._threads if old.is_alive()]
            self._threads.append(thread)
            # Started under the lock: an unstarted thread would be dropped as dead or joined.
            thread.start()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._listener, selectors.EVENT_READ)
            ready.register(self._woken, selectors.EVENT_READ)
            while not self._closed:
                if any(key.fileobj is self._woken for key, _ in ready.select()):
                    return
                with contextlib.suppress(OSError):
                    self._start(self._serve, self._listener.accept()[0])

    def _serve(self, local: socket.socket) -> None:
        try:
            channel = self._take()
        except FleetError as error:
            self.error = error
            local.close()
            return
        with self._lock:
            if not self._closed:
                self._open |= {local, channel}
        local.settimeout(_IDLE_SECONDS)
        channel.settimeout(_IDLE_SECONDS)
        if not self._closed:
            back = threading.Thread(target=_pump, args=(channel, local), daemon=True)
            back.start()
            _pump(local, channel)
            back.join()
        with self._lock:
            self._open -= {local, channel}
        _close(local)
        _close(channel)

    def _take(self) -> paramiko.Channel:
        with self._lock:
            first, self._first = self._first, None
        if first is not None:
            if not first.closed and not first.eof_received:
                return first
            first.close()
        return self._open_tcp()


def _pump(
    source: "socket.socket | paramiko.Channel", sink: "socket.socket | paramiko.Channel"
) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except (OSError, EOFError, paramiko.SSHException):
        # A broken side ends both directions: the other end must see it and not wait.
        _close(source)
        _close(sink)


def _close(end: "socket.socket | paramiko.Channel") -> None:
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        end.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        end.close()
