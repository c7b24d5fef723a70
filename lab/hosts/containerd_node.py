"""Plain containerd on one host, as kubeadm leaves it: /etc/containerd and a kubelet beside it.

config.toml is read when containerd starts, certs.d on each pull. Without a config_path containerd 2
looks in /etc/containerd/certs.d, containerd 1 nowhere (containerd docs/cri/registry.md).
"""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.faults import Fault
from lab.hosts.changes import Changes
from lab.hosts.distributions import Distribution
from lab.hosts.folder import resolve, write_root_only
from lab.hosts.hosts_files import Reader, host_folder, sources
from lab.hosts.image_names import Credentials, Source, decode_credentials
from lab.hosts.journal import Journal
from lab.hosts.node_service import FatalError

CONFIG = "/etc/containerd/config.toml"
_DEFAULT_PATH = "/etc/containerd/certs.d:/etc/docker/certs.d"
_PLUGINS = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.images"}


class ContainerdNode:
    """containerd's side of one host's folder."""

    def __init__(
        self,
        root: Path,
        distribution: Distribution,
        changes: Changes,
        take_faults: Callable[[str], list[Fault]],
        journal: Journal,
    ) -> None:
        """Work in `root`; containerd logs to `journal`."""
        self._root = root
        self._distribution = distribution
        self._changes = changes
        self._take_faults = take_faults
        self._journal = journal
        self._registry: dict[str, Any] = {}

    def start(self) -> list[Fault]:
        """Read config.toml.

        Returns:
            The faults ordered for this start.

        Raises:
            FatalError: It is no TOML, or none that this containerd reads.
        """
        text = self._read()
        faults = self._take_faults(f"containerd start\n{text}")
        try:
            content: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            reason = str(error).lower()
            raise FatalError(f"failed to load TOML: {CONFIG}: toml: {reason}") from None
        newest = 3 if self._distribution.containerd >= (2, 0, 0) else 2
        version = content.get("version", newest)
        if version > newest:
            raise FatalError(f"unsupported config version `{version}`: {CONFIG}")
        plugin = content.get("plugins", {}).get(_PLUGINS.get(version, _PLUGINS[2]), {})
        self._registry = plugin.get("registry", {})
        return faults

    def sources(self, host: str) -> list[Source]:
        """Return where containerd pulls a host's images from now.

        Raises:
            PullError: A certificate that the host's hosts.toml names cannot be read.
        """
        reader = Reader(self._root, self._distribution.containerd, self.log_containerd)
        folders = [resolve(self._root, path) for path in self.config_path.split(":") if path]
        found = [folder for folder in folders if host_folder(folder, host)]
        return sources(found[0] if found else self._root / "nowhere", host, reader)

    @property
    def config_path(self) -> str:
        """Return the folders of hosts.toml files, as of the last start."""
        default = _DEFAULT_PATH if self._distribution.containerd >= (2, 0, 0) else ""
        return str(self._registry.get("config_path") or default)

    def credentials(self, host: str) -> Credentials | None:
        """Return what config.toml had for the endpoint's host at the last start."""
        auth = self._registry.get("configs", {}).get(host, {}).get("auth") or {}
        if auth.get("auth"):
            return decode_credentials(str(auth["auth"]))
        if auth.get("username"):
            return Credentials(str(auth["username"]), str(auth.get("password", "")))
        return None

    def log_containerd(self, line: str) -> None:
        """Write a line to the journal of containerd's unit."""
        unit = self._distribution.units[0]
        self._journal.write(unit.name, line, source=unit.program, process=1)

    def write_kubeconfig(self, text: str) -> None:
        """Write kubeadm's admin.conf, root's alone."""
        path = self._distribution.kubeconfig
        with self._changes.own_writes(path):
            write_root_only(self._root, path, text)

    def registry_settings(self) -> dict[str, Any]:
        """Return what `crictl info` shows of the registries."""
        return {"configPath": self.config_path, "mirrors": None, "configs": None}

    def _read(self) -> str:
        try:
            return resolve(self._root, CONFIG).read_text()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            reason = (getattr(error, "strerror", None) or "invalid UTF-8").lower()
            raise FatalError(f"open {CONFIG}: {reason}") from None
