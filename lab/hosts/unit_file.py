"""Reads what the lab's systemd needs from a unit file."""

import shlex
from pathlib import Path

from lab.hosts.folder import resolve

_FOLDER = "/etc/systemd/system"


def find_unit_file(root: Path, unit: str) -> Path | None:
    """Return where a unit's file is on this machine; None when the host has no such unit."""
    path = resolve(root, f"{_FOLDER}/{unit}")
    return path if path.is_file() else None


def read_command(root: Path, unit: str) -> list[str]:
    """Return the words of a unit's last ExecStart line, drop-ins included; [] when it has none."""
    file = find_unit_file(root, unit)
    drop_ins = sorted(resolve(root, f"{_FOLDER}/{unit}.d").glob("*.conf"))
    words: list[str] = []
    for path in (*([file] if file else []), *drop_ins):
        text = path.read_text().replace("\\\n", " ")
        for line in text.splitlines():
            if line.startswith("ExecStart="):
                words = shlex.split(line.removeprefix("ExecStart="))
    return words


def read_option(words: list[str], name: str) -> str | None:
    """Return the value of `--name value` or `--name=value` in a command line."""
    value = None
    for position, word in enumerate(words):
        if word == f"--{name}" and position + 1 < len(words):
            value = words[position + 1]
        elif word.startswith(f"--{name}="):
            value = word.partition("=")[2]
    return value
