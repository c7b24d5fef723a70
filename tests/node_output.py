"""What `READ_FACTS` says of a node on which all is well, and the facts of it."""

import base64
from datetime import UTC, datetime

from fleet.distributions import DISTRIBUTIONS, Distribution
from fleet.node_facts import NodeFacts, parse_facts

NOW = datetime(2025, 11, 24, 10, tzinfo=UTC)
LOGIN_SERVER, ENDPOINT_HOST = "myacr.azurecr.io", "10.43.0.9:80"
_VERSIONS = {
    "k3s": "k3s version v1.31.4+k3s1 (a562d090)",
    "rke2": "rke2 version v1.31.4+rke2r1 (3f7f5e)",
    "containerd": "containerd github.com/containerd/containerd/v2 v2.1.5 fcd43222d6",
}


def some_output(
    text: str | None = "mirrors: {}\n",
    *,
    of: str = "k3s",
    role: str = "server",
    hosts: dict[str, str] | None = None,
    **changes: str,
) -> str:
    """Return the script's lines; `changes` are other values, `hosts` hosts.toml files by folder."""
    distribution = DISTRIBUTIONS[of]
    unit = distribution.unit_of(role)
    lines = {
        "user": "root",
        "now": str(int(NOW.timestamp())),
        "arch": "aarch64",
        "os": "Debian GNU/Linux 12 (bookworm)",
        f"version.{of}": _VERSIONS[of],
        "systemd": "/usr/bin/systemctl",
        "systemd_run": "/usr/bin/systemd-run",
        "crictl": "/usr/local/bin/crictl",
        f"{unit}.LoadState": "loaded",
        f"{unit}.ActiveState": "active",
        f"{unit}.SubState": "running",
        f"{unit}.UnitFileState": "enabled",
        f"{unit}.ActiveEnterTimestamp": "Mon 2025-11-24 09:00:00 UTC",
        "data_dir": distribution.data_dir,
        "free_kb": "8000000",
        "free_inodes": "800000",
        "file.path": distribution.registries or "",
        "file.kind": "absent",
        "file.backup": "",
        **_containerd_lines(distribution),
    }
    if text is not None and distribution.registries:
        lines |= file_lines("file", text, age=7200)
    for number, folder in enumerate((LOGIN_SERVER, ENDPOINT_HOST, "10.43.0.9_80_"), 1):
        lines |= {
            f"hosts.{number}.folder": folder,
            f"hosts.{number}.path": f"{lines['certs_d']}/{folder}/hosts.toml",
            f"hosts.{number}.kind": "absent",
        }
        if folder in (hosts or {}):
            lines |= file_lines(f"hosts.{number}", (hosts or {})[folder])
    return "".join(f"{key}={value}\n" for key, value in {**lines, **changes}.items())


def _containerd_lines(distribution: Distribution) -> dict[str, str]:
    certs_d = distribution.below(distribution.data_dir, distribution.certs_d)
    return {
        "config_path": certs_d,
        "certs_d": certs_d,
        "config_toml": distribution.below(distribution.data_dir, distribution.config_toml),
        "config_mtime": str(int(NOW.timestamp()) - 3600),
        "containerd": "containerd github.com/k3s-io/containerd v2.1.5-k3s1 fcd43222d6",
    }


def file_lines(prefix: str, text: str, *, age: int = 3600) -> dict[str, str]:
    """Return the lines of a file that was written `age` seconds before now."""
    return {
        f"{prefix}.kind": "file",
        f"{prefix}.text": base64.b64encode(text.encode()).decode(),
        f"{prefix}.mtime": str(int(NOW.timestamp()) - age),
    }


def some_facts(
    text: str | None = "mirrors: {}\n",
    *,
    of: str = "k3s",
    role: str = "server",
    hosts: dict[str, str] | None = None,
    **changes: str,
) -> NodeFacts:
    """Return the facts of `some_output`, read as those of the distribution `of`."""
    output = some_output(text, of=of, role=role, hosts=hosts, **changes)
    return parse_facts("oslo/oslo-1", output, DISTRIBUTIONS[of])
