"""A stand-in for Azure Blob storage: as much of its REST API as prefect-azure uses for results.

Put Blob, Get Blob (with a range) and the error of a blob that is not there, as Microsoft documents
them; no check of signatures.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_KEY = "c3RhbmQtaW4="
_STAMP = "Tue, 24 Nov 2026 12:00:00 GMT"
_MISSING = (
    b'<?xml version="1.0" encoding="utf-8"?><Error><Code>BlobNotFound</Code>'
    b"<Message>The specified blob does not exist.</Message></Error>"
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    blobs: dict[str, bytes]
    is_down: threading.Event

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.is_down.is_set():
            self._answer(403, {"x-ms-error-code": "AuthorizationFailure"})
            return
        self.blobs[self._name] = content
        self._answer(201, {"ETag": '"1"', "Last-Modified": _STAMP})

    def do_GET(self) -> None:
        if self.is_down.is_set():
            self._answer(403, {"x-ms-error-code": "AuthorizationFailure"})
            return
        content = self.blobs.get(self._name)
        if content is None:
            headers = {"x-ms-error-code": "BlobNotFound", "Content-Type": "application/xml"}
            self._answer(404, headers, _MISSING)
            return
        headers = {
            "Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}",
            "Content-Type": "application/octet-stream",
            "ETag": '"1"',
            "Last-Modified": _STAMP,
            "x-ms-blob-type": "BlockBlob",
        }
        self._answer(206, headers, content)

    @property
    def _name(self) -> str:
        return self.path.partition("?")[0]

    def _answer(self, code: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class BlobService:
    """The running service: connection string, what it holds, a switch that makes it refuse."""

    def __init__(self, port: int, blobs: dict[str, bytes], is_down: threading.Event) -> None:
        self.blobs, self.is_down = blobs, is_down
        self.connection_string = (
            f"DefaultEndpointsProtocol=http;AccountName=account;AccountKey={_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{port}/account;"
        )


@contextmanager
def blob_service() -> Iterator[BlobService]:
    """Run the service until the block ends."""
    blobs: dict[str, bytes] = {}
    is_down = threading.Event()
    handler = type("Handler", (_Handler,), {"blobs": blobs, "is_down": is_down})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield BlobService(server.server_address[1], blobs, is_down)
        finally:
            server.shutdown()
            thread.join()
