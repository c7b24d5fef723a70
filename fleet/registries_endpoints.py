"""registries.yaml as K3s and RKE2 understand it: from where a host's images are pulled.

Read from k3s pkg/agent/containerd/config.go (`getHostConfigs`, `normalizeEndpointAddress`). Only
what our own two names need is here: rewrites are refused for them by `fleet.registries_check`.
"""

from typing import cast
from urllib.parse import urlsplit, urlunsplit

from fleet.strict import Strict
from fleet.yaml_nodes import Plain, find, parse, plain

_DOCKER = {"docker.io": "registry-1.docker.io"}
_TRUE = ("true", "yes", "on", "y")
_LOCAL = ("localhost", "127.0.0.1", "::1")


class Tls(Strict):
    """The TLS settings of a registry; paths are the node's."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    skip_verify: bool = False


class Endpoint(Strict):
    """One place to pull from; `override_path`: the path replaces the registry API's `/v2`."""

    url: str
    override_path: bool = False
    tls: Tls | None = None


class Sources(Strict):
    """Where a host's images come from: endpoints in order, then the host itself, if at all."""

    endpoints: tuple[Endpoint, ...]
    default: Endpoint | None


def read_sources(text: str, name: str, *, no_default: bool = False) -> Sources | None:
    """Return a host's sources, or None where K3s would render no file for it.

    Args:
        text: A registries file that `fleet.registries_yaml.check` lets pass.
        name: The image host, with its port if it has one.
        no_default: Whether `disable-default-registry-endpoint` is set.
    """
    top = _maps(plain(parse(text.removeprefix("\ufeff"))))
    mirrors, configs = _maps(top.get("mirrors")), _maps(top.get("configs"))
    config = _maps(configs.get(name))
    listed = [
        str(one) for one in cast("list[Plain]", _maps(mirrors.get(name)).get("endpoint") or [])
    ]
    default: Endpoint | None = _endpoint(name, configs)
    if name in mirrors and name not in configs and no_default:
        default = None
    endpoints: dict[str, Endpoint] = {}
    for number, url in enumerate(listed, 1):
        endpoint = _endpoint(url, configs)
        if endpoint is None or endpoint.url in endpoints:
            continue
        if number == len(listed) and default and endpoint.url == default.url:
            default = endpoint
        else:
            endpoints[endpoint.url] = endpoint
    says_more = default and (default.override_path or default.tls or config.get("auth"))
    if not endpoints and not says_more:
        return None
    return Sources(endpoints=tuple(endpoints.values()), default=default)


def hosts_with_auth(text: str) -> frozenset[str]:
    """Return the hosts for which a registries file holds credentials."""
    configs = find(parse(text.removeprefix("\ufeff")), "configs")
    entries = _maps(plain(configs[1])) if configs else {}
    return frozenset(name for name, entry in entries.items() if _maps(entry).get("auth"))


def hosts_of(sources: Sources) -> frozenset[str]:
    """Return the hosts, with port, that the sources' URLs name."""
    every = [*sources.endpoints, *([sources.default] if sources.default else [])]
    return frozenset(urlsplit(one.url).netloc for one in every)


def _endpoint(text: str, configs: dict[str, Plain]) -> Endpoint | None:
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        port, name = parts.port, parts.netloc
    except ValueError:
        return None
    if not name:
        return None
    odd = parts.hostname in _LOCAL and port not in (None, 443)
    scheme = parts.scheme or ("http" if odd else "https")
    host = _DOCKER.get(name, name)
    override = parts.path not in ("", "/", "/v2")
    path = parts.path if override else "/v2"
    url = urlunsplit((scheme, host, path, parts.query, ""))
    config = configs.get(host, configs.get(name)) if host != name else configs.get(name)
    return Endpoint(url=url, override_path=override, tls=_tls(_maps(config).get("tls")))


def _tls(value: Plain) -> Tls | None:
    if not isinstance(value, dict):
        return None
    return Tls(
        ca_file=str(value.get("ca_file") or ""),
        cert_file=str(value.get("cert_file") or ""),
        key_file=str(value.get("key_file") or ""),
        skip_verify=str(value.get("insecure_skip_verify") or "").lower() in _TRUE,
    )


def _maps(value: Plain) -> dict[str, Plain]:
    return value if isinstance(value, dict) else {}
