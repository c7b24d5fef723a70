"""One pod's container on a node: what it does, what it said, how often it died."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

from lab.cluster.kinds import Object
from lab.cluster.metadata import timestamp

_LOG_LINES = 2000


class Phase(StrEnum):
    """Where a container is in its life."""

    CREATING = "ContainerCreating"
    RUNNING = "Running"
    BACK_OFF = "CrashLoopBackOff"
    DONE = "Completed"
    DEAD = "Error"


@dataclass
class Container:
    """The record of one pod; programs talk to it, the kubelet stand-in reads it."""

    pod: Object
    changed: Callable[[], None]
    clock: Callable[[], datetime]
    phase: Phase = Phase.CREATING
    why_waiting: str = ""
    ready: bool = False
    restarts: int = 0
    exit_code: int = 0
    started: datetime | None = None
    finished: datetime | None = None
    due: float | None = None
    lines: deque[tuple[datetime, str]] = field(default_factory=lambda: deque(maxlen=_LOG_LINES))
    previous: list[tuple[datetime, str]] | None = None
    program: "Program | None" = None

    def log(self, text: str) -> None:
        """Add lines to the log; the words of the line before are not repeated."""
        for line in text.splitlines():
            if not self.lines or self.lines[-1][1] != line:
                self.lines.append((self.clock(), line))

    def set_ready(self, ready: bool) -> None:
        """Answer the readiness probe differently from now on."""
        if self.phase is Phase.RUNNING and self.ready != ready:
            self.ready = ready
            self.changed()

    def begin(self) -> None:
        """Note that the process starts; the last run's log becomes the previous one."""
        if self.finished is not None:
            self.previous = list(self.lines)
            self.lines.clear()
            self.restarts += 1
        self.phase, self.started, self.due = Phase.RUNNING, self.clock(), None

    def exit(self, code: int) -> None:
        """Note that the process ended."""
        if self.phase is not Phase.RUNNING:
            return
        self.exit_code, self.finished, self.ready = code, self.clock(), False
        policy = self.pod["spec"]["restartPolicy"]
        again = policy == "Always" or (policy == "OnFailure" and code != 0)
        ended = Phase.DEAD if code else Phase.DONE
        self.phase = Phase.BACK_OFF if again else ended
        self.changed()

    def status(self) -> Object:
        """Return the container's entry in the pod's status."""
        spec = self.pod["spec"]["containers"][0]
        entry: Object = {
            "name": spec["name"],
            "image": spec["image"],
            "imageID": _image_id(spec["image"]) if self.phase is not Phase.CREATING else "",
            "ready": self.ready,
            "started": self.phase is Phase.RUNNING,
            "restartCount": self.restarts,
            "state": self._state(),
            "lastState": {},
        }
        if self.finished is not None and self.phase in {Phase.RUNNING, Phase.BACK_OFF}:
            entry["lastState"] = {"terminated": self._terminated()}
        return entry

    def _state(self) -> Object:
        if self.phase is Phase.RUNNING and self.started:
            return {"running": {"startedAt": timestamp(self.started)}}
        if self.phase in {Phase.DONE, Phase.DEAD}:
            return {"terminated": self._terminated()}
        waiting: Object = {"reason": self.phase.value}
        if self.phase is Phase.BACK_OFF:
            metadata, name = self.pod["metadata"], self.pod["spec"]["containers"][0]["name"]
            waiting["message"] = (
                f"back-off restarting failed container={name} "
                f"pod={metadata['name']}_{metadata['namespace']}({metadata['uid']})"
            )
        elif self.why_waiting:
            waiting = {"reason": "CreateContainerConfigError", "message": self.why_waiting}
        return {"waiting": waiting}

    def _terminated(self) -> Object:
        ended: Object = {
            "exitCode": self.exit_code,
            "reason": "Error" if self.exit_code else "Completed",
        }
        for key, moment in (("startedAt", self.started), ("finishedAt", self.finished)):
            if moment is not None:
                ended[key] = timestamp(moment)
        return ended


def _image_id(image: str) -> str:
    """Return how containerd names an image that was pulled; the lab's digest is made from its name.

    A digest in the image's name is its digest.
    """
    name, _, pinned = image.partition("@")
    repository, colon, tag = name.rpartition(":")
    bare = repository if colon and "/" not in tag else name
    return f"{bare}@{pinned or 'sha256:' + sha256(name.encode()).hexdigest()}"


class Program(Protocol):
    """What a container's image would do."""

    def start(self, container: Container) -> None:
        """Start it; it says what happens through `container`."""

    def stop(self) -> None:
        """End it at once."""
