"""Notices which files of a host change, by looking before and after each command."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_WATCHED = ("etc", "var/lib", "usr/local", "root", "home")
Report = Callable[[str, str], None]
"""Called with the action (write or delete) and the path as the host sees it."""


@dataclass(frozen=True)
class _Print:
    """What makes a file the same file: replaced by equal content counts as written."""

    mode: int
    owner: tuple[int, int]
    inode: int
    modified: int
    content: str


class Changes:
    """Compares the watched part of a host's folder with what it was."""

    def __init__(self, root: Path, report: Report) -> None:
        """Watch `root` while commands run; `report` is told what they change."""
        self._root = root
        self._report = report
        self._seen: dict[str, _Print] = {}
        self._active = 0

    def begin(self) -> None:
        """A command starts. What changed while none was running is the test's own doing."""
        if not self._active:
            self._seen = self._look()
        self._active += 1

    def end(self) -> None:
        """A command has ended: report what changed."""
        self._active -= 1
        self.check()

    def check(self) -> None:
        """Report every change since the last look."""
        before, self._seen = self._seen, self._look()
        for path in sorted(before.keys() | self._seen.keys()):
            if path not in self._seen:
                self._report("delete", path)
            elif before.get(path) != self._seen[path]:
                self._report("write", path)

    @contextmanager
    def own_writes(self, *prefixes: str) -> Iterator[None]:
        """Let the lab itself write below these paths of the host without a report."""
        if not self._active:
            yield
            return
        self.check()
        try:
            yield
        finally:
            now = self._look()
            mine = {path for path in now.keys() | self._seen.keys() if path.startswith(prefixes)}
            self._seen = {path: mark for path, mark in self._seen.items() if path not in mine}
            self._seen |= {path: now[path] for path in mine & now.keys()}

    def _look(self) -> dict[str, _Print]:
        found: dict[str, _Print] = {}
        for folder in _WATCHED:
            self._look_into(str(self._root / folder), f"/{folder}", found)
        return found

    def _look_into(self, folder: str, inside: str, found: dict[str, _Print]) -> None:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            return
        for entry in entries:
            path = f"{inside}/{entry.name}"
            mark = self._print_of(entry, path)
            if mark:
                found[path] = mark
            if entry.is_dir(follow_symlinks=False):
                self._look_into(entry.path, path, found)

    def _print_of(self, entry: os.DirEntry[str], path: str) -> _Print | None:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        owner = (status.st_uid, status.st_gid)
        if stat.S_ISDIR(status.st_mode):
            return _Print(status.st_mode, owner, status.st_ino, 0, "")
        known = self._seen.get(path)
        if known and (known.inode, known.modified) == (status.st_ino, status.st_mtime_ns):
            content = known.content
        else:
            content = _content(entry)
        return _Print(status.st_mode, owner, status.st_ino, status.st_mtime_ns, content)


def _content(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_symlink():
            return str(Path(entry.path).readlink())
        if entry.is_file(follow_symlinks=False):
            return hashlib.sha256(Path(entry.path).read_bytes()).hexdigest()
    except OSError:
        return "unreadable"
    return ""
