"""Runs of a rotation as processes of their own, which can be killed at an exact point.

The processes are forked off one that has imported the product, so one more costs no start-up. A
run is killed when the lab has a request of its in hand that it never answers: before the effect or
after it (lab/faults.py: `hang`, `hang-after`), so it dies exactly there.
"""

import multiprocessing
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Any

from prefect.settings import PREFECT_API_URL

from lab.faults import Fault
from lab.thread import LabThread
from tests.tasks.rotation_process import Which, rotate_once

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.tasks.rotation_process"])


@dataclass(frozen=True)
class Effect:
    """A write to the outside world: which part, what, and how many of the same came before it."""

    part: str
    operation: str
    before: int = 0

    def __str__(self) -> str:
        """Say it without the paths that are the same everywhere."""
        method, _, path = self.operation.partition(" ")
        words = path.split("/")
        start = -2 if self.part == "azure" else words.index("namespaces") + 1
        where = "/".join(words[start:])
        again = f" ({self.before + 1})" if self.before else ""
        return f"{self.part} {method} {where}{again}"


@dataclass
class Run:
    """A rotation under way."""

    process: BaseProcess
    answers: "SimpleQueue[str]"

    def result(self, patience: float = 180) -> str:
        """Wait for its end and return what came of it: `done: ...`, or the error's class and text.

        Raises:
            AssertionError: It does not end, or ends without a word.
        """
        self.process.join(patience)
        assert self.process.exitcode is not None, "the rotation does not end"
        assert not self.answers.empty(), f"the rotation ended with {self.process.exitcode}"
        return self.answers.get()

    def kill(self) -> None:
        """SIGKILL it; it must not have ended before."""
        self.process.kill()
        self.process.join()
        assert self.process.exitcode == -signal.SIGKILL

    def until_hanging(self, fault: Fault, patience: float = 180) -> None:
        """Wait until a request of its hangs; raises AssertionError when it ends before."""
        end = time.monotonic() + patience
        while not fault.hanging:
            assert self.process.is_alive(), f"it never came to {fault.match}: {self.result()}"
            assert time.monotonic() < end, f"it did not come to {fault.match} in time"
            time.sleep(0.002)


def _prefect() -> str:
    """Return the Prefect server of this thread; threads of a pool do not know it."""
    url = PREFECT_API_URL.value()
    assert url is not None
    return url


@dataclass
class Rotations:
    """Starts rotations at one site of a lab."""

    lab: LabThread
    site: str
    changes: dict[str, Any] = field(default_factory=dict)
    which: Which = "client"
    prefect: str = field(default_factory=_prefect)

    def start(self, *, asked: bool = False, **changes: Any) -> Run:
        """Start one. `asked`: roll even though it is not due; `changes`: fields of the site."""
        answers: SimpleQueue[str] = _CONTEXT.SimpleQueue()
        lab = (str(self.lab.folder), dict(self.lab.info["azure"]))
        what = (lab, self.prefect, self.site, self.which, asked, self.changes | changes, answers)
        process = _CONTEXT.Process(target=rotate_once, args=what, name=f"rotate {self.site}")
        process.start()
        return Run(process, answers)

    def run(self, *, asked: bool = False, **changes: Any) -> str:
        """Run one to its end and return what came of it."""
        return self.start(asked=asked, **changes).result()

    def kill_at(self, effect: Effect, kind: str) -> None:
        """Start one and kill it when it comes to this effect: `hang` before it, `hang-after`."""
        fault = self.hang(effect, kind)
        run = self.start(asked=True)
        run.until_hanging(fault)
        run.kill()
        self.forget(fault)

    def effects(self, work: Callable[[], object]) -> list[Effect]:
        """Return what was written while `work` ran, in order."""
        start = len(self.lab.audit)
        work()
        found: list[Effect] = []
        for line in self.lab.audit[start:]:
            if line["part"] not in ("azure", "cluster") or line["site"] != self.site:
                continue
            operation = f"{line['action']} {line['target']}"
            same = sum(one.operation == operation for one in found)
            found.append(Effect(line["part"], operation, same))
        return found

    def hang(self, effect: Effect, kind: str) -> Fault:
        """Order that this effect's request is never answered: `hang` before it, `hang-after`."""
        order = partial(self.lab.faults.add, part=effect.part, kind=kind, match=effect.operation)
        return order(skip=effect.before, times=1, site=self.site)

    def forget(self, fault: Fault) -> None:
        """Switch one fault off; those of other sites stay."""
        self.lab.call(self.lab.faults.active.remove, fault)
