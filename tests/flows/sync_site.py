"""A site of the lab whose sync password rolls: its Secrets, and whether Azure takes its string."""

import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml
from kubernetes import client
from pydantic import SecretStr

from fleet.connection_string import Connection, parse_connection_string
from lab.azure.state import Token
from lab.thread import LabThread
from tests.flows.nested import cloud_registry, connected_registry, last_sync

NAMESPACE = "connected-registry"
STRING, STAGED, BEFORE = (
    "connected-registry-connection",
    "acrfleet-sync-password",
    "acrfleet-connection-before",
)


@dataclass
class SyncSite:
    """A site of the lab. `refused`: each time that Azure did not take the string in its Secret."""

    lab: LabThread
    name: str
    core: client.CoreV1Api
    refused: list[str] = field(default_factory=list)
    looks: int = 0

    def secret(self, name: str) -> Any | None:
        """Return a Secret in the chart's namespace, or None."""
        try:
            return self.core.read_namespaced_secret(name, NAMESPACE)
        except client.ApiException as error:
            if error.status != 404:
                raise
            return None

    def string(self, name: str = STRING) -> Connection:
        """Return the connection string in a Secret."""
        text = b64decode(self.secret(name).data["values.yaml"]).decode()  # type: ignore[union-attr]  # it is there
        found = parse_connection_string(SecretStr(yaml.safe_load(text)["connectionString"]))
        assert found is not None
        return found

    def slot(self) -> str:
        """Return which password the string holds, as the Secret says."""
        return str(self.secret(STRING).metadata.annotations["acrfleet/slot"])  # type: ignore[union-attr]  # it is there

    def token(self) -> Token:
        """Return the sync token as Azure has it."""
        tokens = cloud_registry(self.lab).tokens
        return next(tokens[name] for name in tokens if self._is_mine(name))

    def _is_mine(self, name: str) -> bool:
        return name.startswith(self.name) and name.endswith("-sync")

    def refusal(self) -> str | None:
        """Return why Azure refuses the string in the Secret at this moment, or None."""
        found = self.string()
        registry = next(iter(self.lab.world.azure.cloud.registries))
        check = self.lab.world.azure.registry(registry).check_sync_token
        why: str | None = self.lab.call(
            check, found.name, found.sync_token, found.password.get_secret_value()
        )
        return why

    def is_online(self) -> bool:
        """Return whether Azure calls it Online."""
        return bool(connected_registry(self.lab, self.name)["connectionState"] == "Online")

    def last_sync(self) -> datetime:
        """Return when it has synchronised last, by Azure."""
        return last_sync(self.lab, self.name)

    @contextmanager
    def watched(self, rest: float = 0.02) -> Iterator[None]:
        """Look all the time whether Azure takes the string in the Secret."""
        done, before = threading.Event(), self.looks

        def look() -> None:
            while not done.is_set():
                try:
                    held, why = self.string(), self.refusal()
                    if why is not None and self.string() == held:
                        self.refused.append(why)
                except Exception as error:  # noqa: BLE001 - told by the test
                    self.refused.append(f"could not look: {error!r}")
                self.looks += 1
                time.sleep(rest)

        thread = threading.Thread(target=look, name=f"looks at {self.name}")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        assert self.looks > before
