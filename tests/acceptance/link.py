"""A host's cable, with the faults of a satellite link: delay, loss, silence, without netem.

Two TAP devices, one on the bridge and one inside the host, and a process that carries the frames
between them; with TAPs the kernel computes checksums, which AF_PACKET on a veth would leave out.
"""

import json
import subprocess
import sys
from pathlib import Path

from tests.acceptance.machine import run

_PROGRAM = Path(__file__).parent / "programs" / "link_emulator.py"


class Link:
    """The cable of one host. `delay` and `loss` are for each direction."""

    def __init__(self, host: str, device: str) -> None:
        """Describe it; `open` makes it."""
        self._host, self._device = host, device
        self._process: subprocess.Popen[str] | None = None

    def open(self) -> None:
        """Make both ends and carry frames without any fault."""
        inside = f"{self._device}i"
        for name in (self._device, inside):
            run("ip", "tuntap", "add", "dev", name, "mode", "tap")
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), self._device, inside],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        run("ip", "link", "set", self._device, "master", "br0", "up")
        run("ip", "link", "set", inside, "netns", self._host, "name", "eth0")

    def delay(self, milliseconds: float, loss: float = 0.0) -> None:
        """Deliver each frame later, and lose this share (0.02: 2 %) in each direction."""
        self._order(delay=milliseconds / 1000, loss=loss, dark=False)

    def blackhole(self) -> None:
        """Carry nothing, and say nothing about it."""
        self._order(dark=True)

    def restore(self) -> None:
        """Be a good cable again."""
        self._order(delay=0.0, loss=0.0, dark=False)

    def close(self) -> None:
        """End the process; its devices go with it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
            subprocess.run(["ip", "link", "delete", self._device], capture_output=True, check=False)

    def _order(self, **changes: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(changes) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "ok\n"
