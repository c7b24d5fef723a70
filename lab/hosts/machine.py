"""What a host borrows from this machine, and whether this machine allows namespaces."""

import json
import os
import re
import shutil
import socket
import sys
import tempfile
from functools import cache
from pathlib import Path

_MACHINE_FOLDERS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "dev", "proc")
_OWN_FOLDERS = (
    "etc", "var", "var/lib", "var/log", "var/tmp", "run", "tmp", "root", "home", "usr", "usr/local",
    "usr/local/bin", "opt", "opt/lab", "opt/lab/python",
)  # fmt: skip
_REWRITTEN = "etc|var|run|tmp|root|home|usr/local/bin"
_SHADOWED = (
    "sudo", "systemctl", "journalctl", "systemd-run", "logger", "reboot", "shutdown", "poweroff",
    "halt", "k3s", "rke2", "containerd", "kubelet", "crictl", "kubectl", "ctr",
)  # fmt: skip
_PYTHON_IN_HOST = "/opt/lab/python"
_PROBE_EXIT = 7

Bind = tuple[str, str, bool]
"""Source on this machine, target in the host, read-only."""


def translate(text: str, root: Path) -> str:
    """Rewrite absolute paths below a host's own folders to where they are on this machine.

    Limits of the translate mode: only the command text is rewritten, not what comes by stdin or
    stands in files; paths put together at run time (`D=/et; cat ${D}c/x`) are missed; the user is
    the lab's own user, so permissions are not enforced and `id` tells the truth about this machine.
    """
    not_done_yet = rf"(?!{re.escape(str(root))}(?:/|\b))"
    pattern = rf"(?<![\w./~-]){not_done_yet}/(?:{_REWRITTEN})(?![\w.-])"
    return re.sub(pattern, lambda match: f"{root}{match[0]}", text)


def make_mount_points(root: Path) -> None:
    """Make the folders and links below a host's `/` that its programs and mounts need."""
    for name in _OWN_FOLDERS:
        (root / name).mkdir(exist_ok=True)
    for name in _MACHINE_FOLDERS:
        machine, own = Path("/", name), root / name
        if machine.is_symlink():
            if not own.is_symlink():
                own.symlink_to(machine.readlink())
        elif machine.is_dir():
            own.mkdir(exist_ok=True)
    _link_awk(root)


def _link_awk(root: Path) -> None:
    """Debian's awk is a link to a link in /etc, which a host has of its own."""
    machine = Path("/etc/alternatives/awk")
    own = root / machine.relative_to("/")
    if machine.is_symlink() and not own.is_symlink():
        own.parent.mkdir(exist_ok=True)
        own.symlink_to(machine.readlink())


@cache
def borrowed() -> tuple[Bind, ...]:
    """Return the bind mounts that are the same for every host: the machine's programs, Python."""
    paths = [Path("/", name) for name in _MACHINE_FOLDERS]
    folders = [
        (str(path), str(path), path.name not in ("dev", "proc"))
        for path in paths
        if path.is_dir() and not path.is_symlink()
    ]
    return (
        *folders,
        *([] if _prefix() == Path("/usr") else [(str(_prefix()), _PYTHON_IN_HOST, True)]),
    )


@cache
def shadowed_programs() -> tuple[str, ...]:
    """Return the machine's own programs that a stand-in has to hide in a host."""
    folders = ("/usr/bin", "/usr/sbin", "/bin", "/sbin")
    paths = [Path(folder, name) for folder in folders for name in _SHADOWED]
    real = {os.path.realpath(path) for path in paths if path.exists()}
    return tuple(sorted(path for path in real if path.startswith("/usr/")))


def python_of_machine() -> str:
    """Return the path of this interpreter, outside any virtual environment."""
    return os.path.realpath(sys.executable)


def python_in_host() -> str:
    """Return the path under which a host in a namespace finds the same interpreter."""
    program = Path(python_of_machine())
    if _prefix() == Path("/usr"):
        return str(program)
    return f"{_PYTHON_IN_HOST}/{program.relative_to(_prefix())}"


def _prefix() -> Path:
    return Path(sys.base_prefix).resolve()


def spawn_launcher() -> tuple[socket.socket, int]:
    """Start the launcher; return the socket that it lives as long as, and its process id."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    program = Path(__file__).with_name("launcher.py")
    kept = {key: os.environ[key] for key in ("LD_LIBRARY_PATH",) if key in os.environ}
    with theirs:
        process = os.posix_spawn(
            python_of_machine(),
            [python_of_machine(), "-I", "-S", str(program), "3"],
            kept,
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)],
            setsid=True,
        )
    return ours, process


def best_mode() -> str:
    """Return LAB_HOST_MODE when set, "namespace" where this machine allows it, else "translate".

    Raises:
        ValueError: LAB_HOST_MODE is something else.
    """
    forced = os.environ.get("LAB_HOST_MODE")
    if forced and forced not in ("namespace", "translate"):
        raise ValueError(f"LAB_HOST_MODE is {forced!r}; it can be 'namespace' or 'translate'")
    return forced or ("namespace" if namespaces_work() else "translate")


@cache
def namespaces_work() -> bool:
    """Return whether a command can run in a root folder of its own here; tries it once."""
    folder = Path(tempfile.mkdtemp(prefix="lab-probe-"))
    control, process = spawn_launcher()
    try:
        (folder / "root").mkdir()
        (folder / "mnt").mkdir()
        make_mount_points(folder / "root")
        return _probe(control, folder) == _PROBE_EXIT
    finally:
        control.close()
        os.waitpid(process, 0)
        shutil.rmtree(folder)


def _probe(control: socket.socket, folder: Path) -> int:
    request = {
        "id": 1,
        "op": "run",
        "namespace": True,
        "root": str(folder / "root"),
        "mount_point": str(folder / "mnt"),
        "binds": borrowed(),
        "protected": [],
        "closed": [],
        "hostname": "probe",
        "argv": [python_in_host(), "-I", "-S", "-c", f"raise SystemExit({_PROBE_EXIT})"],
        "env": {},
        "uid": 1000,
        "gid": 1000,
        "folder": "/",
        "umask": 0o022,
        "not_found": "",
        "not_found_exit": 127,
    }
    with Path(os.devnull).open("r+") as null:
        socket.send_fds(control, [json.dumps(request).encode()], [null.fileno()] * 3)
        return int(json.loads(control.recv(4096))["exit"])
