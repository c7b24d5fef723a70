"""Where containerd looks for an image's host: certs.d and its hosts.toml files, read on each pull.

Sources: containerd docs/hosts.md and core/remotes/docker/config/hosts.go.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.hosts.folder import resolve
from lab.hosts.image_names import PullError, Source

_KNOWS_DIAL_TIMEOUT = (2, 1, 0)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Reader:
    """Reads files for containerd in this version on the host whose `/` is `root`; logs by `log`."""

    root: Path
    containerd: tuple[int, int, int] = (2, 1, 0)
    log: Callable[[str], None] = lambda _: None


def sources(
    certs_folder: Path, host: str, reader: Reader, *, falls_back: bool = True
) -> list[Source]:
    """Return where to pull a host's images from, in containerd's order.

    Args:
        certs_folder: containerd's certs.d.
        host: The image's host and port.
        reader: Reads certificates that a file names.
        falls_back: Whether the host itself comes last where its file names no server.

    Raises:
        PullError: A certificate that the host's hosts.toml names cannot be read.
    """
    own = "registry-1.docker.io" if host == "docker.io" else host
    default = Source(f"https://{own}/v2", is_default=True)
    folder = host_folder(certs_folder, host)
    if folder is None:
        return [default]
    path = folder / "hosts.toml"
    text = path.read_text() if path.is_file() else ""
    return _read(text, default if falls_back else None, folder, reader)


def host_folder(certs_folder: Path, host: str) -> Path | None:
    """Return the folder of a host's files: `host_port_`, `host:port`, `_default`, or None."""
    names = ([host.replace(":", "_") + "_"] if ":" in host else []) + [host, "_default"]
    folders = [certs_folder / name for name in names]
    return next((folder for folder in folders if folder.is_dir()), None)


def _read(text: str, default: Source | None, folder: Path, reader: Reader) -> list[Source]:
    """Read a hosts.toml; one that is no TOML is logged and counts as empty."""
    try:
        content: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reader.log(f'level=error msg="failed to decode hosts.toml" error="toml: {error}"')
        content = {}
    found = [
        _source(url, entry, folder, reader)
        for url, entry in content.get("host", {}).items()
        if isinstance(entry, dict) and _serves_pulls(entry)
    ]
    if "server" not in content:
        return [*found, default] if default else found
    server = _source(content["server"], content, folder, reader, is_default=True)
    return [*found, server] if _serves_pulls(content) else found


def _serves_pulls(entry: dict[str, Any]) -> bool:
    capabilities = entry.get("capabilities")
    return not capabilities or {"pull", "resolve"} <= set(capabilities)


def _source(
    url: str, entry: dict[str, Any], folder: Path, reader: Reader, *, is_default: bool = False
) -> Source:
    base = _with_api(url, entry)
    parts = urlsplit(base)
    has_tls = any(key in entry for key in ("ca", "client", "skip_verify"))
    may_be_plain = parts.scheme == "http" and has_tls and parts.port not in (None, 80)
    return Source(
        base.replace("http://", "https://", 1) if may_be_plain else base,
        entry.get("rewrite", {}),
        is_default,
        tuple(_certificate(name, folder, reader) for name in _names(entry.get("ca", []))),
        bool(entry.get("skip_verify", False)),
        _dial_timeout(entry, reader),
        may_be_plain,
    )


def _with_api(url: str, entry: dict[str, Any]) -> str:
    url = url if "://" in url else f"https://{url}"
    url = url.rstrip("/")
    return url if entry.get("override_path") or url.endswith("/v2") else f"{url}/v2"


def _names(value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise PullError(f"failed to parse hosts.toml: invalid type {type(value).__name__} for 'ca'")
    return names


def _certificate(name: str, folder: Path, reader: Reader) -> str:
    """Read a certificate file; a relative name is one beside the hosts.toml."""
    try:
        path = resolve(reader.root, name) if name.startswith("/") else folder / name
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = (getattr(error, "strerror", None) or "invalid UTF-8").lower()
        raise PullError(f'unable to read CA cert "{name}": open {name}: {reason}') from None
    if "BEGIN CERTIFICATE" not in text:
        raise PullError("unable to load CA certs")
    return text


def _dial_timeout(entry: dict[str, Any], reader: Reader) -> float | None:
    """Read a Go duration; containerd before 2.1 drops the key."""
    if "dial_timeout" not in entry or reader.containerd < _KNOWS_DIAL_TIMEOUT:
        return None
    text = str(entry["dial_timeout"])
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise PullError(f'failed to parse hosts.toml: time: invalid duration "{text}"')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
