"""What a kubeconfig says about its server, and the copy of it that goes through a forwarded port.

K3s writes `server: https://127.0.0.1:6443` into /etc/rancher/k3s/k3s.yaml, or another host when
`bind-address` is set, so host and port are always taken from the file (facts/edge-hosts.md §4).
"""

import copy
from typing import Any
from urllib.parse import urlsplit

import yaml

from fleet.cluster_errors import KubeconfigError
from fleet.sites import Strict

_HTTPS_PORT = 443


class ApiServer(Strict):
    """Where a kubeconfig says that the Kubernetes API is."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return `host:port`, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_kubeconfig(text: str) -> dict[str, Any]:
    """Return a kubeconfig with only its current context in it.

    Raises:
        KubeconfigError: The text is no kubeconfig, or it switches verification off.
    """
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise KubeconfigError(f"it is not YAML{where}") from None
    if not isinstance(config, dict):
        raise KubeconfigError("it is empty or not a mapping")
    context = _named(config, "contexts", config.get("current-context"))["context"]
    cluster = _named(config, "clusters", context.get("cluster"))
    user = _named(config, "users", context.get("user"))
    if cluster["cluster"].get("insecure-skip-tls-verify"):
        raise KubeconfigError("insecure-skip-tls-verify is on; the server must be verified")
    server = str(cluster["cluster"].get("server", ""))
    if not server.startswith("https://"):
        raise KubeconfigError(f"the server is {server!r}, expected an https:// address")
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "site",
        "contexts": [{"name": "site", "context": {"cluster": "site", "user": "site"}}],
        "clusters": [{"name": "site", "cluster": cluster["cluster"]}],
        "users": [{"name": "site", "user": user["user"] or {}}],
    }


def read_server(text: str) -> ApiServer:
    """Return the API server that a kubeconfig names."""
    return server_of(parse_kubeconfig(text))


def server_of(config: dict[str, Any]) -> ApiServer:
    """Return the API server of a parsed kubeconfig."""
    url = urlsplit(config["clusters"][0]["cluster"]["server"])
    if not url.hostname:
        raise KubeconfigError(f"the server {url.geturl()!r} has no host")
    return ApiServer(host=url.hostname, port=url.port or _HTTPS_PORT)


def through_port(config: dict[str, Any], local_port: int) -> dict[str, Any]:
    """Return a copy that dials `127.0.0.1:local_port` and still verifies the server it names."""
    changed = copy.deepcopy(config)
    cluster = changed["clusters"][0]["cluster"]
    cluster.setdefault("tls-server-name", server_of(config).host)
    cluster["server"] = f"https://127.0.0.1:{local_port}{urlsplit(cluster['server']).path}"
    cluster.pop("proxy-url", None)
    return changed


def _named(config: dict[str, Any], section: str, name: str | None) -> dict[str, Any]:
    for entry in config.get(section) or []:
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry
    raise KubeconfigError(f"{section} has no entry named {name!r}")
