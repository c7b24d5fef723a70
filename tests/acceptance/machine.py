"""The machine below the suite: what must be installed, and the network inside its namespaces.

`python -m tests.acceptance` installs and enters fresh namespaces; everything that is made there
goes away with its first process, also after a SIGKILL.
"""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "/lib/systemd/systemd": "systemd",
    "containerd": "containerd",
    "runc": "runc",
    "skopeo": "skopeo",
    "docker-registry": "docker-registry",
    "nft": "nftables",
    "ip": "iproute2",
    "etcd": "etcd-server",
    "/usr/sbin/sshd": "openssh-server",
    "ssh": "openssh-client",
    "sudo": "sudo",
    "/usr/bin/python3": "python3-minimal",
    "/usr/lib/python3/dist-packages/yaml": "python3-yaml",
    "/usr/lib/python3/dist-packages/grpc": "python3-grpcio",
}
GATEWAY = "198.18.0.1"
SERVICE_RANGE = "10.43.0.0/16"
INSIDE = "ACRFLEET_ACCEPTANCE_RUN"
_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
_POLICY = Path("/usr/sbin/policy-rc.d")
_TRIAL = """mount --make-rprivate /; mount -t tmpfs tmpfs /mnt; cd /mnt; mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root"""
_LEFTOVERS = (
    "/sys/fs/cgroup/acrfleet",
    "/sys/fs/cgroup/systemd/acrfleet",
    "/sys/fs/cgroup/unified/acrfleet",
    "/sys/fs/cgroup/memory/acrfleet",
)


def why_not() -> str | None:
    """Return why this machine cannot run the suite at all, or None."""
    if os.geteuid() != 0:
        return "it needs root (namespaces, systemd-nspawn)"
    if not Path("/etc/debian_version").exists():
        return "it needs Debian or Ubuntu: the hosts are overlays of the machine's own root"
    if not Path("/dev/net/tun").exists():
        return "it needs /dev/net/tun"
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "sh", "-ec", _TRIAL],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        return f"namespaces with an overlay of / can't be made here: {tried.stderr.strip()}"
    return None


def missing_packages() -> list[str]:
    """Return the Debian packages that have to be installed."""
    return sorted({package for program, package in PROGRAMS.items() if not _is_there(program)})


def install(packages: list[str]) -> None:
    """Install packages without starting what they bring; raises CalledProcessError."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with _no_services():
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
        )


def raise_limits() -> None:
    """Allow many systemds on one kernel: each needs some inotify instances."""
    if int(_INSTANCES.read_text()) < 4096:
        _INSTANCES.write_text("4096")


def clear_leftovers() -> None:
    """Remove the empty control groups that killed hosts leave; those in use stay."""
    for root in map(Path, _LEFTOVERS):
        for folder in sorted(root.rglob("*/"), reverse=True):
            _try_to_remove(folder)
        _try_to_remove(root)


def build_network() -> None:
    """Make the bridge on which all hosts are; this process is the gateway and the Services.

    There is no kube-proxy: the whole service range is local here, so that an address behind which
    nothing listens refuses at once, as kube-proxy makes it.
    """
    run("mount", "--make-rprivate", "/")
    for folder in ("/run/netns", "/run/systemd/nspawn"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", folder)
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
    run("ip", "address", "add", f"{GATEWAY}/16", "dev", "br0")
    run("ip", "link", "set", "br0", "up")
    run("ip", "route", "add", "local", SERVICE_RANGE, "dev", "lo")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def answers_ssh(address: str) -> bool:
    """Return whether an SSH server greets at an address."""
    try:
        with socket.create_connection((address, 22), 1) as connection:
            connection.settimeout(1)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def run(*command: str, timeout: float = 30) -> str:
    """Run a program and return its output; raises RuntimeError with its words."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _is_there(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else bool(shutil.which(program))


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Keep Debian from starting services, for as long as it installs."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _try_to_remove(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
