"""Clusters of the lab in a thread, for tests that are not asynchronous."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.audit import AuditLog
from lab.certificates import Authority
from lab.clock import Clock
from lab.cluster import ClusterLab
from lab.faults import Faults


class RunningCluster:
    """A `ClusterLab` on a loop in a thread."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.faults, self.audit = Faults(), AuditLog(folder / "audit.jsonl")
        self.clock, self.authority = Clock(options.pop("minute", 0.6)), Authority(folder / "pki")
        self.told: list[tuple[Any, ...]] = []
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        settings = {"site": "oslo", "nodes": [("oslo-1", "server"), ("oslo-2", "agent")]}
        tools = (self.audit, self.faults, self.clock, self.authority)
        self.lab: ClusterLab = self.call(lambda: ClusterLab(*tools, **(settings | options)))
        self.call(self.lab.on_workload, lambda *told: self.told.append(told))
        self.wait(self.lab.start())
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(self.lab.kubeconfig())

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def call(self, work: Callable[..., Any], *args: Any) -> Any:
        async def run() -> Any:
            return work(*args)

        return self.wait(run())

    def close(self) -> None:
        self.wait(self.lab.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@contextmanager
def running_cluster(folder: Path, **options: Any) -> Iterator[RunningCluster]:
    running = RunningCluster(folder, **options)
    try:
        yield running
    finally:
        running.close()
