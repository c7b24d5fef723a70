"""Which containerd a `crictl` asks, and what it says when that is the wrong one.

Source: cri-tools cmd/crictl/main.go: options, environment, configuration file, then the sockets of
the usual runtimes.
"""

from pathlib import Path
from typing import Any

import yaml

from lab.hosts.arguments import Arguments, UsageError
from lab.hosts.folder import resolve

USUAL_SOCKET = "/run/containerd/containerd.sock"
_SYSTEM_FILE = "/etc/crictl.yaml"
_FAILED = (
    "FATA[0000] validate service connection: validate CRI v1 image API for endpoint "
    '"unix://{socket}": rpc error: code = Unavailable desc = connection '
    'error: desc = "transport: Error while dialing: dial unix '
    '{socket}: connect: {reason}"\n'
)


def cri_socket(
    asked: Arguments, environment: dict[str, str], root: Path, default: str | None
) -> str:
    """Return the socket's path.

    Args:
        asked: crictl's options before its command.
        environment: crictl's environment.
        root: The host's folder.
        default: The socket that the program is built for; None for an ordinary crictl.

    Raises:
        UsageError: The configuration file that is named cannot be read.
    """
    named = (
        asked.last("image")
        or asked.last("runtime")
        or environment.get("IMAGE_SERVICE_ENDPOINT")
        or environment.get("CONTAINER_RUNTIME_ENDPOINT")
    )
    if not named:
        file = asked.last("config") or environment.get("CRI_CONFIG_FILE")
        content = _read(root, file or _SYSTEM_FILE, required=bool(file))
        named = content.get("image-endpoint") or content.get("runtime-endpoint")
    socket = str(named or default or USUAL_SOCKET).removeprefix("unix://")
    return socket.removeprefix(str(root))


def no_connection(socket: str, reason: str) -> str:
    """Return crictl's words about a containerd that it does not reach."""
    return _FAILED.format(socket=socket, reason=reason)


def _read(root: Path, path: str, *, required: bool) -> dict[str, Any]:
    try:
        content = yaml.safe_load(resolve(root, path.removeprefix(str(root))).read_text())
    except FileNotFoundError:
        if required:
            raise UsageError(f"load config file: open {path}: no such file or directory") from None
        return {}
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"load config file: {error}") from None
    return content if isinstance(content, dict) else {}
