"""A small OCI registry on loopback: it serves the tests' connected-registry chart."""

import hashlib
import io
import json
import socket
import ssl
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

SOURCE = Path(__file__).parent / "cases/helm_chart"
NAME = "acr/connected-registry/chart"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.cncf.helm.config.v1+json"
_TLS_HANDSHAKE = b"\x16"
_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


def chart_archive(version: str) -> bytes:
    """Return the chart as `helm package` would make it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for path in sorted(SOURCE.rglob("*.*")):
            data = path.read_bytes()
            if path.name == "Chart.yaml":
                data = yaml.safe_dump({**yaml.safe_load(data), "version": version}).encode()
            entry = tarfile.TarInfo(f"connected-registry/{path.relative_to(SOURCE)}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


class _Server(ThreadingHTTPServer):
    """Speaks http and https on one port: on loopback, Helm 3 wants the one and Helm 4 the other."""

    def __init__(self, context: ssl.SSLContext, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        if request.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
            with self._context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        else:
            super().finish_request(request, client_address)


@contextmanager
def chart_registry(context: ssl.SSLContext, versions: Sequence[str]) -> Iterator[str]:
    """Serve the chart in some versions; yields its reference."""
    server = _Server(context, _handler(*_content(versions)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"oci://127.0.0.1:{server.server_address[1]}/{NAME}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(blobs: dict[str, bytes], tags: dict[str, str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = self._find()
            content = found or b""
            self.send_response(404 if found is None else 200)
            blob = "/blobs/" in self.path
            self.send_header("Content-Type", "application/octet-stream" if blob else _MANIFEST)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Docker-Content-Digest", _digest(content))
            self.end_headers()
            self.wfile.write(content if self.command == "GET" else b"")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _find(self) -> bytes | None:
            if self.path == "/v2/":
                return b""
            last = self.path.rpartition("/")[2]
            known = self.path.startswith(f"/v2/{NAME}/")
            return blobs.get(tags.get(last, last)) if known else None

    return Handler


def _content(versions: Sequence[str]) -> tuple[dict[str, bytes], dict[str, str]]:
    blobs: dict[str, bytes] = {}
    tags: dict[str, str] = {}
    for version in versions:
        archive = chart_archive(version)
        config = json.dumps({"name": "connected-registry", "version": version}).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _describe(_CONFIG, config),
            "layers": [_describe(_LAYER, archive)],
        }
        tagged = json.dumps(manifest).encode()
        blobs |= {_digest(content): content for content in (archive, config, tagged)}
        tags[version] = _digest(tagged)
    return blobs, tags


def _describe(kind: str, content: bytes) -> dict[str, str | int]:
    return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
