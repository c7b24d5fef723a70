"""The folder that is a host's `/`: what stands in it when the host is new."""

import os
import re
import shutil
from functools import cache
from pathlib import Path

from lab.hosts.distributions import Distribution, Unit, base_tools
from lab.hosts.machine import make_mount_points, python_in_host, python_of_machine

USER_ID = 1000
SUDO = "usr/local/bin/sudo"
_STAND_IN = "opt/lab/stand-in"

_OS_RELEASE = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
"""

_UNIT = """\
[Unit]
Description={unit.description}
Wants=network-online.target
After=network-online.target

[Install]
WantedBy=multi-user.target

[Service]
Type={unit.type}
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-/etc/sysconfig/%N
EnvironmentFile=-/etc/systemd/system/{name}.service.env
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStart={command} \\

"""
_CONTAINERD_2 = """\
version = 3

[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = '/etc/containerd/certs.d'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = true
"""
_CONTAINERD_1 = """\
version = 2

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = true
"""


def make_host(
    root: Path, *, name: str, distribution: Distribution | None, user: str, namespace: bool
) -> None:
    """Write a new host's files; what exists already (a lab started again) is left alone.

    Args:
        root: The folder that is the host's `/`.
        name: Host name.
        distribution: What runs on it; None for a host without Kubernetes (a jump host).
        user: The account that may log in, uid 1000.
        namespace: Whether commands see this folder as `/` (else they see its path on this machine).
    """
    make_mount_points(root)
    for path, text in _etc(name, user).items():
        _write_new(root / path, text)
    (root / "tmp").chmod(0o1777)
    (root / "var/tmp").chmod(0o1777)
    (root / "root").chmod(0o700)
    _make_unreadable(root.parent / "nobodys")
    home = root / "home" / user
    home.mkdir(exist_ok=True, mode=0o755)
    if os.geteuid() == 0:
        os.chown(home, USER_ID, USER_ID)
    _write_stand_ins(root, distribution, namespace=namespace)
    if distribution:
        _write_distribution(root, distribution)


def _make_unreadable(folder: Path) -> None:
    """Make a file and a folder that nobody may read; see `lab.hosts.shells`."""
    if os.geteuid() != 0 and not folder.exists():
        folder.mkdir()
        (folder / "file").touch(mode=0)
        (folder / "folder").mkdir(mode=0)


def _etc(name: str, user: str) -> dict[str, str]:
    return {
        "etc/passwd": f"root:x:0:0:root:/root:/bin/sh\n"
        f"{user}:x:{USER_ID}:{USER_ID}:{user}:/home/{user}:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        "etc/group": f"root:x:0:\n{user}:x:{USER_ID}:\nnogroup:x:65534:\n",
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n",
        "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "etc/os-release": _OS_RELEASE,
        "etc/machine-id": f"{name.encode().hex():0<32.32}\n",
        "etc/profile": "export PATH=/usr/local/bin:/usr/bin:/bin\n",
    }


def _write_stand_ins(root: Path, distribution: Distribution | None, *, namespace: bool) -> None:
    program = root / _STAND_IN
    program.write_text(_stand_in_text("/opt/lab" if namespace else str(program.parent), namespace))
    program.chmod(0o755)
    for tool in (*base_tools(), *(distribution.tools if distribution else ())):
        set_tool(root, tool, present=True)
    for path in distribution.bundled_tools if distribution else ():
        link = root / path[1:]
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(Path(*[".."] * (path.count("/") - 1), _STAND_IN))


def set_tool(root: Path, tool: str, *, present: bool) -> None:
    """Put a stand-in program on the host's PATH, or take it away."""
    link = root / "usr/local/bin" / tool
    if present and not link.is_symlink():
        link.symlink_to(Path("../../..", _STAND_IN))
    elif not present:
        link.unlink(missing_ok=True)


def clear_at_boot(root: Path) -> None:
    """Empty the folders that do not outlive a boot."""
    for folder in ("run", "tmp"):
        for entry in (root / folder).iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


@cache
def _stand_in_source() -> str:
    return Path(__file__).with_name("stand_in.py").read_text()


def _stand_in_text(socket_folder: str, namespace: bool) -> str:
    python = python_in_host() if namespace else python_of_machine()
    text = re.sub(
        "^SOCKET_FOLDER = .*$",
        lambda _: f"SOCKET_FOLDER = {socket_folder!r}",
        _stand_in_source(),
        flags=re.MULTILINE,
    )
    return f"#!{python} -IS\n{text}"


def _write_distribution(root: Path, distribution: Distribution) -> None:
    for folder in (distribution.config_folder, str(Path(distribution.kubeconfig).parent)):
        (root / folder[1:]).mkdir(parents=True, exist_ok=True)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    for unit in (*distribution.units, *distribution.spare_units):
        _write_unit(root, unit)
    for unit in distribution.units:
        if not (wants / unit.name).is_symlink():
            (wants / unit.name).symlink_to(f"{unit.folder}/{unit.name}")
    if distribution.kind == "containerd":
        newer = distribution.containerd >= (2, 0, 0)
        text = _CONTAINERD_2 if newer else _CONTAINERD_1
        _write_new(root / "etc/containerd/config.toml", text)


def _write_unit(root: Path, unit: Unit) -> None:
    name = unit.name.removesuffix(".service")
    command = unit.command.replace(" ", " \\\n    ")
    folder = root / unit.folder[1:]
    folder.mkdir(parents=True, exist_ok=True)
    _write_new(folder / unit.name, _UNIT.format(unit=unit, name=name, command=command))
    if unit.folder.startswith("/etc"):
        _write_new(folder / f"{unit.name}.env", "", mode=0o600)


def _write_new(path: Path, text: str, mode: int = 0o644) -> None:
    if not path.exists():
        path.touch(mode=mode)
        path.write_text(text)


def write_root_only(root: Path, path: str, text: str) -> None:
    """Write a file that only root may read, folders above it included."""
    file = resolve(root, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(text)


def resolve(root: Path, path: str) -> Path:
    """Return where a host's path is on this machine, symbolic links taken inside the host.

    Raises:
        OSError: Too many levels of symbolic links.
    """
    todo = [part for part in path.split("/") if part]
    done: list[str] = []
    for _ in range(200):
        if not todo:
            return root.joinpath(*done)
        part = todo.pop(0)
        here = root.joinpath(*done, part)
        if part == "..":
            done = done[:-1]
        elif here.is_symlink():
            target = str(here.readlink())
            done = [] if target.startswith("/") else done
            todo = [piece for piece in target.split("/") if piece] + todo
        elif part != ".":
            done.append(part)
    raise OSError(40, "Too many levels of symbolic links", path)
