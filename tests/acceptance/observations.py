"""What scenarios compare: how a file and a service on a host were at a moment."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stat:
    """What tells a file that was written again from one that was left alone."""

    inode: int
    mtime: str
    mode: str
    owner: str


@dataclass(frozen=True)
class Service:
    """What systemd says about a unit; `entered` is ActiveEnterTimestampMonotonic in µs."""

    active: str
    sub: str
    restarts: int
    entered: int
    pid: int
