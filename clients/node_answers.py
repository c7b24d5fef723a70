"""What a node is sent and what it answers, as values."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clients import dead_man_scripts as dead_man
from clients.ssh_command import CommandResult
from fleet.errors import FleetError
from fleet.host_errors import (
    HostBusyError,
    HostFileChangedError,
    HostFileRefusedError,
    UnfinishedChangeError,
)
from fleet.host_files import FileChange
from fleet.node_facts import parse_lines, redact
from fleet.restarts import ServiceState


@dataclass(frozen=True, slots=True)
class PullResult:
    """Whether an image was pulled, the last words of the program that tried, and how long."""

    ok: bool
    words: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PullTraces:
    """Whether a node holds an image, and containerd's lines about endpoints that failed."""

    cached: bool
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """Files that were replaced and are not confirmed yet.

    `before` is the unit as it was, `trouble` what systemd said against the restart, if anything.
    """

    deadman: str
    files: tuple[FileChange, ...]
    backups: tuple[str, ...]
    before: ServiceState
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Restored:
    """What going back did, in the host's words; `gone`: there was nothing to go back from.

    `before` is the unit before it was restarted; None: not known, as when the change is gone.
    """

    notes: tuple[str, ...]
    restarted: bool
    gone: bool
    before: ServiceState | None


def change_arguments(files: Sequence[FileChange]) -> list[str]:
    """Return the arguments of `clients.change_scripts.APPLY` that describe files."""
    arguments = []
    for file in files:
        arguments += [file.path, file.before.sha256, file.wanted_sha256]
        arguments += [f"{file.mode:o}", yes_or_no(file.keep_backup)]
    return arguments


def contents(files: Sequence[FileChange]) -> bytes:
    """Return the standard input of `clients.change_scripts.APPLY`: a line of base64 for each."""
    texts = ("" if file.wanted is None else file.wanted.get_secret_value() for file in files)
    return b"".join(base64.b64encode(text.encode()) + b"\n" for text in texts)


def refusal(name: str, result: CommandResult) -> FleetError:
    """Return why a script that changes files did not do it."""
    said = f"{name}: {result.words}"
    if result.status == dead_man.CHANGED:
        return HostFileChangedError(
            f"{said}: it was changed by somebody else since it was read; it was left alone and is "
            "read again."
        )
    if result.status == dead_man.LOCKED:
        return HostBusyError(f"{said}; it is tried again.")
    if result.status == dead_man.PENDING:
        return UnfinishedChangeError(f"{said}; it is undone before the next change.")
    if result.status in (dead_man.NOT_A_FILE, dead_man.FAILED):
        return HostFileRefusedError(f"{said}; nothing was changed.")
    return UnfinishedChangeError(
        f"{name}: the script that changes files was cut off (exit status {result.status}) "
        f"{result.words}; what it did is undone before the next change."
    )


def yes_or_no(value: bool) -> str:
    """Return a flag as the scripts read it."""
    return "yes" if value else "no"


def lines_under(prefix: str, lines: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the last value of each key that starts with the prefix, without it."""
    return {
        key.removeprefix(prefix): values[-1]
        for key, values in lines.items()
        if key.startswith(prefix)
    }


def parse_pull(line: str, hidden: Sequence[str]) -> PullResult:
    """Return the result of one pull: `STATUS BEGAN ENDED WORDS`, the words in base64.

    Args:
        line: As `clients.host_scripts.PULL_IMAGES` says it.
        hidden: Secrets that must not show up in the words.
    """
    status, began, ended, encoded = f"{line} ".split(" ")[:4]
    words = base64.b64decode(encoded).decode(errors="replace").strip()
    for secret in hidden:
        words = words.replace(secret, "...")
    return PullResult(status == "0", words, max(0.0, _seconds(ended) - _seconds(began)))


def parse_traces(output: str) -> PullTraces:
    """Return what `clients.pull_trace_script.READ_PULL_TRACES` said."""
    lines = lines_under("", parse_lines(output))
    log = base64.b64decode(lines.get("log", "")).decode(errors="replace")
    return PullTraces(lines.get("cached") == "yes", tuple(redact(log).splitlines()))


def _seconds(text: str) -> float:
    """Return `date +%s.%N` as a number; busybox knows no %N."""
    match = re.match(r"\d+(\.\d+)?", text)
    return float(match[0]) if match else 0.0
