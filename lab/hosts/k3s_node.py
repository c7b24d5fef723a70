"""K3s on one host: its files, its configuration as of the last start, and the `k3s` program."""

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.faults import Fault
from lab.hosts.changes import Changes
from lab.hosts.folder import resolve
from lab.hosts.image_names import Source, sources
from lab.hosts.k3s_service import FatalError
from lab.hosts.registries import (
    HEADER,
    RegistriesError,
    RegistriesFile,
    parse_registries,
    render_config,
    render_hosts,
)
from lab.hosts.unit_file import read_command, read_option

_CONFIG = "/etc/rancher/k3s/config.yaml"
_KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"


@dataclass(frozen=True)
class Configuration:
    """What K3s took from its own configuration at the last start."""

    data_folder: str = "/var/lib/rancher/k3s"
    registries_path: str = "/etc/rancher/k3s/registries.yaml"
    no_default_endpoint: bool = False


class K3sNode:
    """K3s' side of one host's folder."""

    def __init__(
        self,
        root: Path,
        unit: str,
        changes: Changes,
        take_faults: Callable[[str], list[Fault]],
    ) -> None:
        """Work in `root`, started by `unit`; what is written here is not reported as a change."""
        self._root = root
        self._unit = unit
        self._changes = changes
        self._take_faults = take_faults
        self.configuration = Configuration()
        self.registries = RegistriesFile()

    @property
    def certs_folder(self) -> Path:
        """Return the folder where containerd looks for each registry's hosts.toml."""
        return self.data_folder / "agent/etc/containerd/certs.d"

    @property
    def data_folder(self) -> Path:
        """Return K3s' data folder on this machine."""
        return resolve(self._root, self.configuration.data_folder)

    def sources(self, host: str) -> list[Source]:
        """Return where containerd pulls a host's images from now.

        Raises:
            PullError: The host's hosts.toml cannot be read.
        """
        falls_back = not self.configuration.no_default_endpoint
        return sources(self.certs_folder, host, falls_back=falls_back)

    def start(self) -> list[Fault]:
        """Read the configuration and render containerd's files, as K3s does when it starts.

        Returns:
            The faults ordered for this start.

        Raises:
            FatalError: K3s would die of what it read.
        """
        self.configuration = self._read_configuration()
        path = self.configuration.registries_path
        text = self._read(path)
        faults = self._take_faults(f"k3s start\n{text or ''}")
        try:
            self.registries = parse_registries(text or "")
        except RegistriesError as error:
            raise FatalError(str(error)) from None
        try:
            self._render()
        except OSError as error:
            raise FatalError(f"failed to write containerd configuration: {error}") from None
        return faults

    def write_kubeconfig(self, text: str) -> None:
        """Write the cluster's admin kubeconfig where K3s does, root's alone."""
        with self._changes.own_writes(_KUBECONFIG):
            path = resolve(self._root, _KUBECONFIG)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(text)

    def log_containerd(self, line: str) -> None:
        """Append a line to containerd's own log."""
        folder = f"{self.configuration.data_folder}/agent"
        with self._changes.own_writes(folder):
            path = self.data_folder / "agent/containerd/containerd.log"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(f"{line}\n")

    def _read(self, path: str) -> str | None:
        try:
            return resolve(self._root, path).read_text()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            reason = (getattr(error, "strerror", None) or "invalid UTF-8").lower()
            raise FatalError(f"open {path}: {reason}") from None

    def _read_configuration(self) -> Configuration:
        values: dict[str, Any] = {}
        folder = resolve(self._root, f"{_CONFIG}.d")
        parts = [f"{_CONFIG}.d/{path.name}" for path in sorted(folder.glob("*.y*ml"))]
        for path in (_CONFIG, *parts):
            try:
                content = yaml.safe_load(self._read(path) or "") or {}
            except yaml.YAMLError as error:
                raise FatalError(f"failed to load config {path}: yaml: {error}") from None
            values |= {str(key).rstrip("+"): value for key, value in content.items()}
        command = read_command(self._root, self._unit)
        for name in ("data-dir", "private-registry"):
            values[name] = read_option(command, name) or values.get(name)
        default = Configuration()
        return Configuration(
            str(values["data-dir"] or default.data_folder),
            str(values["private-registry"] or default.registries_path),
            bool(values.get("disable-default-registry-endpoint", False)),
        )

    def _render(self) -> None:
        inside = f"{self.configuration.data_folder}/agent"
        rendered = render_hosts(self.registries, no_default=self.configuration.no_default_endpoint)
        with self._changes.own_writes(self.configuration.data_folder):
            certs = self.certs_folder
            certs.mkdir(parents=True, exist_ok=True)
            self._remove_rendered(certs, set(rendered))
            for name, text in rendered.items():
                folder = certs / name
                folder.mkdir(mode=0o700, exist_ok=True)
                (folder / "hosts.toml").write_text(text)
            config = render_config(
                self.registries, f"{inside}/etc/containerd/certs.d", self.configuration.data_folder
            )
            path = certs.parent / "config.toml"
            path.touch(mode=0o600)
            path.write_text(config)

    @staticmethod
    def _remove_rendered(certs: Path, about_to_write: set[str]) -> None:
        """Remove what K3s wrote before; folders that others made stay."""
        for folder in certs.iterdir():
            text = ""
            with contextlib.suppress(OSError):
                text = (folder / "hosts.toml").read_text()
            if folder.name in about_to_write or text.startswith(HEADER):
                shutil.rmtree(folder, ignore_errors=True)
