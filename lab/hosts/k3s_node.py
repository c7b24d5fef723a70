"""K3s or RKE2 on one host: its files and its configuration as of the last start."""

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.faults import Fault
from lab.hosts.changes import Changes
from lab.hosts.distributions import Distribution
from lab.hosts.folder import resolve, write_root_only
from lab.hosts.hosts_files import Reader, sources
from lab.hosts.image_names import Credentials, Source, decode_credentials
from lab.hosts.node_service import FatalError
from lab.hosts.registries import (
    RegistriesError,
    RegistriesFile,
    inline_sources,
    parse_registries,
    render_hosts,
)
from lab.hosts.rendered_config import render_config
from lab.hosts.unit_file import read_command, read_option


@dataclass(frozen=True)
class Configuration:
    """What K3s took from its own configuration at the last start."""

    data_folder: str
    registries_path: str
    no_default_endpoint: bool = False


class K3sNode:
    """K3s' side of one host's folder."""

    def __init__(
        self,
        root: Path,
        distribution: Distribution,
        changes: Changes,
        take_faults: Callable[[str], list[Fault]],
    ) -> None:
        """Work in `root`; what is written here is not reported as a change."""
        self._root = root
        self._distribution = distribution
        self._changes = changes
        self._take_faults = take_faults
        self.configuration = self._default_configuration()
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
            PullError: A certificate that the host's hosts.toml names cannot be read.
        """
        if not self._distribution.has_certs_folder:
            return inline_sources(self.registries, host)
        falls_back = not self.configuration.no_default_endpoint
        reader = Reader(self._root, self._distribution.containerd, self.log_containerd)
        return sources(self.certs_folder, host, reader, falls_back=falls_back)

    def credentials(self, host: str) -> Credentials | None:
        """Return what registries.yaml had for the endpoint's host at the last start."""
        auth = self.registries.configs.get(host, {}).get("auth") or {}
        if auth.get("auth"):
            return decode_credentials(str(auth["auth"]))
        if auth.get("username"):
            return Credentials(str(auth["username"]), str(auth.get("password", "")))
        return None

    def registry_settings(self) -> dict[str, Any]:
        """Return what `crictl info` shows of the registries."""
        if not self._distribution.has_certs_folder:
            mirrors = {
                host: {"endpoint": mirror.get("endpoint", [])}
                for host, mirror in self.registries.mirrors.items()
            }
            return {"configPath": "", "mirrors": mirrors, "configs": None}
        folder = f"{self.configuration.data_folder}/agent/etc/containerd/certs.d"
        return {"configPath": folder, "mirrors": None, "configs": None}

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
        faults = self._take_faults(f"{self._distribution.kind} start\n{text or ''}")
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
        path = self._distribution.kubeconfig
        with self._changes.own_writes(path):
            write_root_only(self._root, path, text)

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

    def _default_configuration(self) -> Configuration:
        return Configuration(
            self._distribution.data_folder, f"{self._distribution.config_folder}/registries.yaml"
        )

    def _read_configuration(self) -> Configuration:
        values: dict[str, Any] = {}
        main = f"{self._distribution.config_folder}/config.yaml"
        folder = resolve(self._root, f"{main}.d")
        parts = [f"{main}.d/{path.name}" for path in sorted(folder.glob("*.y*ml"))]
        for path in (main, *parts):
            try:
                content = yaml.safe_load(self._read(path) or "") or {}
            except yaml.YAMLError as error:
                raise FatalError(f"failed to load config {path}: yaml: {error}") from None
            values |= {str(key).rstrip("+"): value for key, value in content.items()}
        command = read_command(self._root, self._distribution.units[0].name)
        for name in ("data-dir", "private-registry"):
            values[name] = read_option(command, name) or values.get(name)
        default = self._default_configuration()
        return Configuration(
            str(values["data-dir"] or default.data_folder),
            str(values["private-registry"] or default.registries_path),
            bool(values.get("disable-default-registry-endpoint", False)),
        )

    def _render(self) -> None:
        header = self._distribution.header
        rendered: dict[str, str] = {}
        if self._distribution.has_certs_folder:
            no_default = self.configuration.no_default_endpoint
            newer = self._distribution.containerd >= (2, 0, 0)
            rendered = render_hosts(
                self.registries, no_default=no_default, header=header, trimmed=newer
            )
        with self._changes.own_writes(self.configuration.data_folder):
            certs = self.certs_folder
            certs.mkdir(parents=True, exist_ok=True)
            self._remove_rendered(certs, set(rendered))
            for name, text in rendered.items():
                folder = certs / name
                folder.mkdir(mode=0o700, exist_ok=True)
                (folder / "hosts.toml").write_text(text)
            data = self.configuration.data_folder
            path = certs.parent / "config.toml"
            path.touch(mode=0o600)
            path.write_text(render_config(self.registries, self._distribution, data))
            endpoint = f"runtime-endpoint: unix://{self._distribution.socket}\n"
            (certs.parents[1] / "crictl.yaml").write_text(endpoint)

    def _remove_rendered(self, certs: Path, about_to_write: set[str]) -> None:
        """Remove what K3s wrote before; folders that others made stay."""
        for folder in certs.iterdir():
            text = ""
            with contextlib.suppress(OSError, UnicodeDecodeError):
                text = (folder / "hosts.toml").read_text()
            if folder.name in about_to_write or text.startswith(self._distribution.header):
                shutil.rmtree(folder, ignore_errors=True)
