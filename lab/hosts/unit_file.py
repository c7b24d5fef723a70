"""Reads what the lab's systemd needs from a unit file."""

import shlex
from pathlib import Path

from lab.hosts.folder import resolve

_FOLDERS = ("/etc/systemd/system", "/usr/local/lib/systemd/system")


def unit_path(root: Path, unit: str) -> str | None:
    """Return where a unit's file is on the host; None when the host has no such unit."""
    for folder in _FOLDERS:
        if resolve(root, f"{folder}/{unit}").is_file():
            return f"{folder}/{unit}"
    return None


def find_unit_file(root: Path, unit: str) -> Path | None:
    """Return where a unit's file is on this machine; None when the host has no such unit."""
    path = unit_path(root, unit)
    return resolve(root, path) if path else None


def is_enabled(root: Path, unit: str) -> bool:
    """Return whether a unit starts when the host boots."""
    return (root / "etc/systemd/system/multi-user.target.wants" / unit).is_symlink()


def read_command(root: Path, unit: str) -> list[str]:
    """Return the words of a unit's last ExecStart line, drop-ins included; [] when it has none."""
    file = find_unit_file(root, unit)
    drop_ins = sorted(resolve(root, f"{_FOLDERS[0]}/{unit}.d").glob("*.conf"))
    words: list[str] = []
    for path in (*([file] if file else []), *drop_ins):
        text = path.read_text().replace("\\\n", " ")
        for line in text.splitlines():
            if line.startswith("ExecStart="):
                words = shlex.split(line.removeprefix("ExecStart="))
    return words


def read_setting(root: Path, unit: str, name: str) -> str | None:
    """Return the last value of `Name=value` in a unit's file."""
    file = find_unit_file(root, unit)
    lines = file.read_text().splitlines() if file else []
    values = [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]
    return values[-1] if values else None


def read_option(words: list[str], name: str) -> str | None:
    """Return the value of `--name value` or `--name=value` in a command line."""
    value = None
    for position, word in enumerate(words):
        if word == f"--{name}" and position + 1 < len(words):
            value = words[position + 1]
        elif word.startswith(f"--{name}="):
            value = word.partition("=")[2]
    return value
