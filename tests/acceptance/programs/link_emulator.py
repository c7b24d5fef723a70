"""Carries Ethernet frames between two TAP devices, late, lossy or not at all.

    link_emulator.py DEVICE DEVICE

Orders come as JSON lines on stdin: {"delay": seconds, "loss": share, "dark": bool}.
"""

import fcntl
import heapq
import json
import os
import random
import select
import struct
import sys
import time

_TUNSETIFF, _TAP, _NO_HEADER = 0x400454CA, 0x0002, 0x1000


def main(names: list[str]) -> None:
    """Carry frames until stdin ends."""
    ends = [_open(name) for name in names]
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    state = {"delay": 0.0, "loss": 0.0, "dark": False}
    waiting: list[tuple[float, int, int, bytes]] = []
    count = 0
    _say("ready")
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select([0, *ends], [], [], pause)
        for source in readable:
            if source == 0:
                line = sys.stdin.readline()
                if not line:
                    return
                state |= json.loads(line)
                if state["dark"]:
                    waiting.clear()
                _say("ok")
                continue
            frame = os.read(source, 65536)
            if not state["dark"] and random.random() >= state["loss"]:
                count += 1
                due = time.monotonic() + state["delay"]
                heapq.heappush(waiting, (due, count, other[source], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, sink, frame = heapq.heappop(waiting)
            _deliver(sink, frame)


def _open(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _TAP | _NO_HEADER))
    return device


def _deliver(sink: int, frame: bytes) -> None:
    try:
        os.write(sink, frame)
    except OSError:
        return  # the device is down: the cable is not plugged in on that side


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
