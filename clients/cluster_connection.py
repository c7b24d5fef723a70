"""One connection to one site's Kubernetes API, as plain JSON requests.

The official client loads the kubeconfig, authenticates and speaks TLS. Answers are read as JSON:
its models refuse unknown fields, so a newer cluster would stop a run.
"""

import json
from collections.abc import Mapping
from typing import Any, Self

import urllib3
import yaml
from kubernetes.client.exceptions import ApiException
from pydantic import SecretStr

from clients.cluster_tls import open_api_client
from fleet.cluster_errors import (
    ClusterChangedError,
    ClusterRefusedError,
    ClusterUnreachableError,
    ClusterUntrustedError,
)
from fleet.errors import FleetError
from fleet.kubeconfig import parse_kubeconfig, server_of, through_port

_CONNECT_SECONDS, _READ_SECONDS = 10.0, 30.0
_BUSY = (429, 500, 502, 503, 504)


class ClusterConnection:
    """HTTP to one API server. Use it from one thread at a time and close it.

    Args:
        kubeconfig: Its text; only its current context is used.
        local_port: Port on 127.0.0.1 that leads to the server; the server's certificate is still
            verified for the host that the kubeconfig names.

    Raises:
        KubeconfigError: The kubeconfig cannot be used.
    """

    def __init__(self, kubeconfig: str, *, local_port: int | None = None) -> None:
        config = parse_kubeconfig(kubeconfig)
        self.server = str(server_of(config))
        reached = config if local_port is None else through_port(config, local_port)
        self._kubeconfig = SecretStr(yaml.safe_dump(reached))
        self._api = open_api_client(config, local_port)

    def __enter__(self) -> Self:
        """Return the connection itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Drop the connections."""
        self._api.rest_client.close()
        self._api.close()  # type: ignore[no-untyped-call]  # untyped in the client

    def kubeconfig(self) -> SecretStr:
        """Return a kubeconfig, with its keys, that leads to the server as this connection does."""
        return self._kubeconfig

    def read(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the JSON object at a path.

        Raises:
            ClusterUnreachableError: No answer, or one that says to try later.
            ClusterUntrustedError: The server is not the one that the kubeconfig describes.
            ClusterRefusedError: Any other refusal.
        """
        return _object(self._request("GET", path, query=query))

    def read_text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Return the text at a path, for logs and health checks."""
        return self._request("GET", path, query=query).decode(errors="replace")

    def find(self, path: str) -> dict[str, Any] | None:
        """Return the object at a path, or None when there is none."""
        try:
            return self.read(path)
        except ClusterRefusedError as error:
            if error.status == 404:
                return None
            raise

    def list(self, path: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Return all items of a list; the API pages it."""
        items: list[dict[str, Any]] = []
        page: dict[str, str] = {"limit": "500"}
        while True:
            answer = self.read(path, {**(query or {}), **page})
            items += answer.get("items") or []
            more = (answer.get("metadata") or {}).get("continue")
            if not more:
                return items
            page["continue"] = more

    def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object in the collection at a path."""
        return _object(self._request("POST", path, body=body, content="application/json"))

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Merge-patch the object at a path; a resourceVersion in it guards against others' writes.

        Merge patch, because custom resources have no strategic merge and `imagePullSecrets` has no
        merge key: a list is always written whole (facts/lab-cluster.md §7).
        """
        kind = "application/merge-patch+json"
        return _object(self._request("PATCH", path, body=body, content=kind))

    def delete(self, path: str) -> None:
        """Delete the object at a path; one that is gone already is fine."""
        try:
            self._request("DELETE", path)
        except ClusterRefusedError as error:
            if error.status != 404:
                raise

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str | None = None,
    ) -> bytes:
        headers = {"Accept": "application/json", "User-Agent": "acrfleet"}
        if content:
            headers["Content-Type"] = content
        serialized = self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        what = f"{method} {path}"
        try:
            answer = self._api.call_api(
                *serialized, _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS)
            )
            data: bytes = answer.read()  # type: ignore[no-untyped-call]  # untyped in the client
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _silence(self.server, what, _words(error)) from None
        if not 200 <= answer.status <= 299:
            raise _refusal(self.server, what, answer.status, data)
        return data


def _silence(server: str, what: str, words: str) -> FleetError:
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return ClusterUntrustedError(
            f"Whoever answers as the Kubernetes API at {server} is not believed: {words}"
        )
    return ClusterUnreachableError(f"The Kubernetes API at {server} did not answer {what}: {words}")


def _refusal(server: str, what: str, status: int, data: bytes) -> FleetError:
    try:
        answer = _object(data)
    except ClusterUnreachableError:
        answer = {}
    reason = str(answer.get("reason") or "Unknown")
    message = str(answer.get("message") or data[:200].decode(errors="replace"))
    if status == 400 and "/secrets" in what and not what.startswith("GET"):
        message = "(not shown: such a message may quote the Secret)"
    if status in _BUSY:
        return ClusterUnreachableError(
            f"The Kubernetes API at {server} cannot do {what} now: {status} {reason}: {message}"
        )
    if status == 409 and reason == "Conflict":
        return ClusterChangedError(f"{what}: {message}")
    return ClusterRefusedError(what, status, reason, message)


def _object(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        raise ClusterUnreachableError(
            f"The Kubernetes API sent something that is not JSON: {data[:80]!r}"
        ) from None
    if not isinstance(answer, dict):
        raise ClusterUnreachableError("The Kubernetes API sent JSON that is not an object")
    return answer


def _words(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return " ".join(str(reason or str(error) or type(error).__name__).split())[:300]
