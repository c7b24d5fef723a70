"""The config.toml that K3s and RKE2 render for their containerd.

Three forms, by age: mirrors inline (before 2024-01), certs.d with containerd 1.7 (version 2), and
certs.d with containerd 2 (version 3). Source: k3s pkg/agent/templates.
"""

import json
from typing import Any

from lab.hosts.distributions import Distribution
from lab.hosts.registries import RegistriesFile

_CRI = 'plugins."io.containerd.grpc.v1.cri"'
_IMAGES = "plugins.'io.containerd.cri.v1.images'"
_KEYS = {
    "username": "username",
    "password": "password",
    "auth": "auth",
    "identity_token": "identitytoken",
}


def render_config(registries: RegistriesFile, distribution: Distribution, data_folder: str) -> str:
    """Return the text, credentials included."""
    certs_folder = f"{data_folder}/agent/etc/containerd/certs.d"
    newer = distribution.containerd >= (2, 0, 0)
    table = f"{_IMAGES if newer else _CRI}.registry"
    lines = [
        distribution.header + f"version = {3 if newer else 2}",
        "",
        '[plugins."io.containerd.internal.v1.opt"]',
        f"  path = {_quoted(f'{data_folder}/agent/containerd')}",
    ]
    if not newer:
        lines.append(f'[{_CRI}]\n  stream_server_address = "127.0.0.1"')
        lines.append('  stream_server_port = "10010"')
    if distribution.has_certs_folder:
        lines += [f"[{table}]", f"  config_path = {_quoted(certs_folder)}"]
    else:
        lines += _inline_mirrors(registries)
    for host, config in sorted(registries.configs.items()):
        lines += _credentials(table, host, config)
    return "\n".join(lines) + "\n"


def _inline_mirrors(registries: RegistriesFile) -> list[str]:
    lines = [f"[{_CRI}.registry.mirrors]"] if registries.mirrors else []
    for host, mirror in sorted(registries.mirrors.items()):
        endpoints = ", ".join(_quoted(one) for one in mirror.get("endpoint") or [])
        lines += [f"[{_CRI}.registry.mirrors.{_quoted(host)}]", f"  endpoint = [{endpoints}]"]
    return lines


def _credentials(table: str, host: str, config: dict[str, Any]) -> list[str]:
    auth = {key: value for key, value in (config.get("auth") or {}).items() if value}
    if not auth:
        return []
    return [
        f"[{table}.configs.{_quoted(host)}.auth]",
        *(f"  {_KEYS[key]} = {_quoted(value)}" for key, value in auth.items() if key in _KEYS),
    ]


def _quoted(text: Any) -> str:
    return json.dumps(str(text))
