"""Starts the commands of all hosts of one lab, each inside its host's own root folder.

Runs as a process of its own (`python -I -S launcher.py FD`), standard library only, one thread:
forking from here costs a millisecond, forking from the lab would not. It speaks over one
SOCK_SEQPACKET socket. Requests are JSON: {"id", "op": "run", ...} with three file descriptors, or
{"id", "op": "signal", "signal"}, or {"op": "kill", "marker"}, which kills every process that has
that marker in its environment. It answers {"id", "exit": status} where status is what
`os.waitstatus_to_exitcode` says. When the socket closes, because the lab stopped or was killed, it
kills all that it started, orphans included (it is their subreaper), and exits. Mounts live in a
namespace per command, so they end with it.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

_BIND, _REC, _REMOUNT, _READ_ONLY, _PRIVATE = 0x1000, 0x4000, 0x20, 0x1, 0x40000
_NEW_MOUNTS, _NEW_HOSTNAME, _NEW_USER = 0x20000, 0x4000000, 0x10000000
_DETACH = 2
_SET_CHILD_SUBREAPER = 36
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
_MOUNT_SETATTR = 442  # the same number on every architecture (Linux 5.12)
_AT_RECURSIVE = 0x8000
_KEPT_MOUNT_FLAGS = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME
_GRACE = 5.0

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def _mount(source: str | None, target: str, flags: int) -> None:
    name = os.fsencode(source) if source else None
    _check(_libc.mount(name, os.fsencode(target), None, flags, None), target)


def _bind(source: str, target: str, *, read_only: bool) -> None:
    _mount(source, target, _BIND | _REC)
    if read_only:
        _make_read_only(target)


def _make_read_only(target: str) -> None:
    attributes = (ctypes.c_uint64 * 4)(1, 0, 0, 0)  # MOUNT_ATTR_RDONLY
    path = os.fsencode(target)
    size = ctypes.sizeof(attributes)
    if _libc.syscall(_MOUNT_SETATTR, -100, path, _AT_RECURSIVE, attributes, size) != 0:
        kept = os.statvfs(target).f_flag & _KEPT_MOUNT_FLAGS
        _mount(None, target, _REMOUNT | _BIND | _READ_ONLY | kept)


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def _enter_namespaces(request: dict[str, Any]) -> None:
    """Make a private mount table and host name; without root also a user namespace."""
    user, group = os.geteuid(), os.getegid()
    flags = _NEW_MOUNTS | _NEW_HOSTNAME | (0 if user == 0 else _NEW_USER)
    _check(_libc.unshare(flags), "unshare")
    if user != 0:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{request['uid']} {user} 1")
        _write("/proc/self/gid_map", f"{request['gid']} {group} 1")
    _mount(None, "/", _REC | _PRIVATE)
    name = request["hostname"].encode()
    _check(_libc.sethostname(name, len(name)), "sethostname")


def _change_root(request: dict[str, Any]) -> None:
    """Put the host's folder, with the machine's programs bound into it, in place of `/`."""
    new = request["mount_point"]
    _mount(request["root"], new, _BIND | _REC)
    for source, target, read_only in request["binds"]:
        _bind(source, new + target, read_only=read_only)
    for target in request["protected"]:
        _bind(new + target, new + target, read_only=True)
    for target in request["closed"]:
        kind = "folder" if Path(new + target).is_dir() else "file"
        with contextlib.suppress(FileNotFoundError):
            _bind(f"{request['nobodys']}/{kind}", new + target, read_only=False)
    os.chdir(new)
    number = _PIVOT_ROOT[os.uname().machine]
    _check(_libc.syscall(number, b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _DETACH), "umount")
    os.chdir("/")


def _become(request: dict[str, Any]) -> None:
    """Drop to the user of the request; without root the user namespace has done it."""
    if os.geteuid() == 0 and request["uid"] != 0:
        os.setgroups([request["gid"]])
        os.setgid(request["gid"])
        os.setuid(request["uid"])


def _run_in_child(request: dict[str, Any], files: list[int]) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number, inheritable=True)
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if request["namespace"]:
        _enter_namespaces(request)
        _change_root(request)
        _become(request)
    os.umask(request["umask"])
    try:
        os.chdir(request["folder"])
    except OSError:
        os.chdir("/" if request["namespace"] else request["root"])
    os.closerange(3, 1024)
    os.execvpe(request["argv"][0], request["argv"], request["env"])  # noqa: S606 - this is the job


def _start(request: dict[str, Any], files: list[int]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        _run_in_child(request, files)
    except FileNotFoundError:
        os.write(2, request["not_found"].encode())
    except BaseException as error:  # noqa: BLE001 - the child must never return into the loop
        os.write(2, f"lab: the command could not be started: {error!r}\n".encode())
    os._exit(request["not_found_exit"])


class Launcher:
    """Serves one lab until its socket closes."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, int] = {}

    def serve(self) -> None:
        """Answer requests until the other side is gone, then leave nothing behind."""
        _libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(wake_write)
        selector = selectors.DefaultSelector()
        selector.register(self._control, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            while self._serve_once(selector, wake_read):
                pass
        _kill_all_descendants()

    def _serve_once(self, selector: selectors.BaseSelector, wake_read: int) -> bool:
        for key, _ in selector.select():
            if key.fd == wake_read:
                os.read(wake_read, 4096)
            elif not self._serve_request():
                return False
        self._reap()
        return True

    def _serve_request(self) -> bool:
        data, files, _, _ = socket.recv_fds(self._control, 1 << 20, 3)
        if not data:
            return False
        request = json.loads(data)
        if request["op"] == "run":
            self._children[_start(request, files)] = request["id"]
        elif request["op"] == "kill":
            _kill_marked(request["marker"])
        else:
            self._signal(request)
        for file in files:
            os.close(file)
        return True

    def _signal(self, request: dict[str, Any]) -> None:
        for child, number in self._children.items():
            if number == request["id"]:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, request["signal"])

    def _reap(self) -> None:
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not child:
                return
            number = self._children.pop(child, None)
            if number is not None:
                answer = {"id": number, "exit": os.waitstatus_to_exitcode(status)}
                self._control.send(json.dumps(answer).encode())


def _kill_marked(marker: str) -> None:
    for process in _descendants(os.getpid()):
        with contextlib.suppress(OSError):
            environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
            if marker.encode() in environment:
                os.kill(process, signal.SIGKILL)


def _kill_all_descendants() -> None:
    deadline = time.monotonic() + _GRACE
    while time.monotonic() < deadline:
        for process in _descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def _descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [ancestor]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


if __name__ == "__main__":
    Launcher(socket.socket(fileno=int(sys.argv[1]))).serve()
