"""An onboarded lab site, and the ways in which somebody may break it by hand."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from fleet.errors import FleetError
from fleet.outcomes import SiteEndpoint
from tests.tasks.site_bench import REPOSITORIES, SiteBench

IMAGE = f"{REPOSITORIES[0]}:1.4.0"
REGISTRIES = "etc/rancher/k3s/registries.yaml"
CERTS = "var/lib/rancher/k3s/agent/etc/containerd/certs.d"


def root_of(bench: SiteBench) -> Path:
    """Return where the `/` of a site's first server is."""
    found = next(one for one in bench.lab.info["sites"] if one["name"] == bench.site.name)
    return Path(found["nodes"][0]["root"])


@dataclass
class Bench:
    """An onboarded site, and how to break it."""

    site: SiteBench
    endpoint: SiteEndpoint
    password: SecretStr

    @property
    def root(self) -> Path:
        return root_of(self.site)

    @property
    def name(self) -> str:
        return self.site.site.name

    @property
    def mirror(self) -> dict[str, list[str]]:
        return {"endpoint": [self.endpoint.url]}

    def fault(self, **fault: Any) -> None:
        self.site.lab.faults.add(site=self.name, **fault)

    @contextmanager
    def faults(self, **fault: Any) -> Iterator[None]:
        self.fault(**fault)
        try:
            yield
        finally:
            self.site.lab.call(self.site.lab.world.clear_faults)

    @contextmanager
    def registries(self, text: str, *, comes_up: bool = True) -> Iterator[None]:
        """Replace the registries file of the server and restart K3s, as somebody by hand would."""
        path = self.root / REGISTRIES
        before = path.read_text()
        self._restart(path, text, comes_up=comes_up)
        try:
            yield
        finally:
            self._restart(path, before, comes_up=True)

    def _restart(self, path: Path, text: str, *, comes_up: bool) -> None:
        node = self.site.session.server
        entered = node.read_service("k3s").entered
        path.write_text(text)
        node.restart("k3s", entered)
        wait_until(lambda: node.read_service("k3s").entered != entered or not comes_up)
        if comes_up:
            wait_until(lambda: node.read_service("k3s").is_running)
            wait_until(self.site.session.cluster.is_ready)
        else:
            wait_until(lambda: node.read_service("k3s").crashes > 0)

    @contextmanager
    def mirrors(self, mirrors: Mapping[str, object], **more: object) -> Iterator[None]:
        with self.registries(yaml.safe_dump({"mirrors": dict(mirrors), **more})):
            yield

    @contextmanager
    def hosts_toml(self, change: Callable[[str], str], host: str = "") -> Iterator[None]:
        path = self.root / CERTS / (host or self.endpoint.host) / "hosts.toml"
        before = path.read_text()
        path.write_text(change(before))
        try:
            yield
        finally:
            path.write_text(before)

    @contextmanager
    def secret(self, content: SecretStr) -> Iterator[None]:
        """Write over what the pull secret holds."""
        cluster, name = self.site.session.cluster, self.site.site.pull_secrets.name
        before = cluster.find_secret("default", name)
        assert before is not None
        key = ".dockerconfigjson"
        self._write(name, content)
        try:
            yield
        finally:
            self._write(name, before.data[key])

    def _write(self, name: str, content: SecretStr) -> None:
        body = {"stringData": {".dockerconfigjson": content.get_secret_value()}}
        self.site.session.cluster.patch_secret("default", name, body)

    def push(self, tag: str) -> str:
        """Push an image to Azure; return its name."""
        registry = self.site.lab.world.azure.registry(self.site.cloud.registry.name)
        self.site.lab.call(registry.add_image, REPOSITORIES[0], tag)
        return f"{REPOSITORIES[0]}:{tag}"


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Look until something holds; what can't be looked at does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except (FleetError, OSError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")
