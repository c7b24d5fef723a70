"""The Azure part of the lab alone, in a thread, for tests that need nothing else of the world."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from blocks import AzureLogin
from clients.azure_transport import Patience
from clients.registry_access import RegistryAccess
from clients.registry_catalog import RegistryCatalog
from fleet.sites import AcrRegistry, Cloud
from lab.audit import AuditLog
from lab.azure.azure_lab import AzureLab
from lab.azure.state import Registry
from lab.certificates import Authority
from lab.clock import Clock
from lab.faults import Faults
from tasks.sessions import RegistrySession

T = TypeVar("T")
REPOSITORIES = {"vessel/web": ["1.0", "1.1"], "vessel/engine": ["7"], "shore/portal": ["3"]}
FAST = Patience(backoff=0.02, polling=0.05, operation=20, activation=2, connect=5, read=5)


class AzureThread:
    """A lab's Azure and the clients that reach it."""

    def __init__(self, folder: Path, profile: str, minute: float) -> None:
        self.audit = AuditLog(folder / "audit.jsonl")
        self.faults = Faults()
        self.clock = Clock(minute)
        self._authority = Authority(folder / "tls")
        self._profile = profile
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._closers: list[Callable[[], None]] = []
        self.lab: AzureLab

    def start(self) -> None:
        self._thread.start()
        self.call(self._start)

    def stop(self) -> None:
        self._close_sessions()
        self.call(self._stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function on the lab's loop."""

        async def run() -> T:
            return await function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    async def _start(self) -> None:
        self.lab = AzureLab(
            self.audit, self.faults, self.clock, self._authority, profile=self._profile
        )
        await self.lab.start()

    def forget(self) -> None:
        """Forget faults, registries and the audit log, so that the next test starts afresh."""
        self._close_sessions()
        self.faults.clear()
        self.call(self._drop_registries)
        self.audit.path.write_text("")

    def _close_sessions(self) -> None:
        while self._closers:
            self._closers.pop()()

    async def _drop_registries(self) -> None:
        for registry in list(self.lab.cloud.registries.values()):
            await self.lab._stop_serving(registry)
            del self.lab.cloud.registries[registry.name]
        self.lab.cloud.operations.clear()

    async def _stop(self) -> None:
        await self.lab.stop()
        await asyncio.sleep(0.1)  # TLS connections end only after the loop has run once more

    def add_registry(
        self,
        name: str = "acrnorthsea",
        repositories: Mapping[str, Sequence[str]] = REPOSITORIES,
        **options: Any,
    ) -> AcrRegistry:
        self.call(
            lambda: self.lab.add_registry(name, "rg-fleet", repositories=repositories, **options)
        )
        return self.address(name)

    def address(self, name: str = "acrnorthsea", **changes: Any) -> AcrRegistry:
        return AcrRegistry(
            **{
                "key": "northsea",
                "subscription_id": self.lab.subscription_id,
                "resource_group": "rg-fleet",
                "name": name,
                "cloud": self.cloud(),
                **changes,
            }
        )

    def cloud(self) -> Cloud:
        return Cloud(
            name="custom",
            authority=self.lab.authority_url,
            resource_manager=self.lab.resource_manager,
            ca_file=str(self.lab.ca_file),
        )

    def login(self, **changes: Any) -> AzureLogin:
        return AzureLogin(
            **{
                "kind": "service principal with secret",
                "tenant_id": self.lab.tenant_id,
                "client_id": self.lab.client_id,
                "client_secret": self.lab.client_secret,
                "cloud": "custom",
                "authority": self.lab.authority_url,
                "resource_manager": self.lab.resource_manager,
                "ca_file": str(self.lab.ca_file),
                **changes,
            }
        )

    def session(
        self,
        registry: AcrRegistry,
        patience: Patience = FAST,
        login: AzureLogin | None = None,
    ) -> RegistrySession:
        """Open a session as the product does, but with a test's patience."""
        login = login or self.login()
        endpoints, credential = login.endpoints_for(registry.cloud), login.credential()
        access = RegistryAccess(registry, credential, endpoints, patience)
        catalog = RegistryCatalog(
            registry, credential, endpoints, lambda: access.read_registry().login_server, patience
        )
        session = RegistrySession(registry, access, catalog, credential)
        self._closers.append(session.close)
        return session

    def state(self, name: str = "acrnorthsea") -> Registry:
        """Return what the lab's Azure holds, to look at and to tamper with."""
        return self.lab.cloud.registries[name]

    def writes(self) -> list[str]:
        """Return the writes so far, as `PUT tokens/oslo`."""
        return [_short(line) for line in self.audit.read()]


@contextmanager
def azure_thread(
    folder: Path, *, profile: str = "recorded", minute: float = 1.0
) -> Iterator[AzureThread]:
    """Run Azure; `minute` is how many real seconds a lab minute lasts."""
    azure = AzureThread(folder, profile, minute)
    azure.start()
    try:
        yield azure
    finally:
        azure.stop()


def _short(line: dict[str, Any]) -> str:
    path = str(line["target"]).split("/providers/Microsoft.ContainerRegistry/registries/")[-1]
    return f"{line['action']} {path.partition('/')[2] or path}"
