"""The cluster part of the lab alone, in a thread, for tests of the client."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.audit import AuditLog
from lab.certificates import Authority
from lab.clock import Clock
from lab.cluster import ClusterLab
from lab.faults import Faults
from lab.loops import LoopThread


@dataclass
class ClusterBench:
    """A running cluster and how to reach it."""

    lab: ClusterLab
    loop: LoopThread
    faults: Faults

    @property
    def port(self) -> int:
        return self.lab.port

    @property
    def kubeconfig(self) -> str:
        return self.lab.kubeconfig(f"https://127.0.0.1:{self.port}")

    def another_authority(self, folder: Path) -> bytes:
        """Return the certificate of an authority that signed nothing here."""
        return Authority(folder, "somebody else").pem


@contextmanager
def a_cluster_bench(folder: Path) -> Iterator[ClusterBench]:
    """Run the cluster of a site with a server and an agent."""
    faults = Faults()
    lab = ClusterLab(
        AuditLog(folder / "audit.jsonl"),
        faults,
        Clock(0.2),
        Authority(folder / "ca"),
        site="oslo",
        nodes=[("oslo-1", "server"), ("oslo-2", "agent")],
    )
    loop = LoopThread("cluster")
    try:
        loop.call(lab.start)
        yield ClusterBench(lab, loop, faults)
        loop.call(lab.stop)
    finally:
        loop.close()
