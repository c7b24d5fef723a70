"""A front of the Prefect server that answers 503 a few times, as a busy server does."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Front(socketserver.ThreadingTCPServer):
    """Passes everything on but the first `times` requests to `path`."""

    daemon_threads = True

    def __init__(self, server: str, path: str, times: int) -> None:
        """Take the URL of the server's API, a path below it, and how often to refuse that."""
        url = urlsplit(server)
        assert url.hostname is not None
        assert url.port is not None
        super().__init__(("127.0.0.1", 0), _Connection)
        self.behind = (url.hostname, url.port)
        self.url = f"http://127.0.0.1:{self.server_address[1]}{url.path}"
        self.refused = 0
        self._start, self._times = f"POST {url.path}{path} ".encode(), times

    def refuses(self, sent: bytes) -> bool:
        """Return whether what a client has sent is a request to be refused, and count it."""
        if self.refused == self._times or not sent.startswith(self._start):
            return False
        self.refused += 1
        return True


class _Connection(socketserver.BaseRequestHandler):
    server: Front
    request: socket.socket

    def handle(self) -> None:
        with suppress(OSError), socket.create_connection(self.server.behind) as behind:
            threading.Thread(target=self._answer, args=(behind,), daemon=True).start()
            while sent := self.request.recv(65536):
                if self.server.refuses(sent):
                    self.request.sendall(_REFUSED)
                    return
                behind.sendall(sent)

    def _answer(self, behind: socket.socket) -> None:
        with suppress(OSError):
            while answer := behind.recv(65536):
                self.request.sendall(answer)


@contextmanager
def refusing(server: str, path: str, times: int) -> Iterator[Front]:
    """Run a front of a server for as long as the block runs."""
    with Front(server, path, times) as front:
        thread = threading.Thread(target=front.serve_forever, daemon=True)
        thread.start()
        yield front
        front.shutdown()
        thread.join()
