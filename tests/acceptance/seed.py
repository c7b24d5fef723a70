"""What is laid over the machine's own root to make a host of it."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.machine import run

PROGRAMS = Path(__file__).parent / "programs"
STAND_IN = "/etc/rancher/node/stand-in.json"
_COMMON = """\
[Unit]
Description=Kubernetes
After=network.target
# K3s waits 5 s between two starts and so never meets systemd's limit of 5 starts in 10 s. Here it
# waits 1 s, to save time, and so the limit is off.
StartLimitIntervalSec=0

[Install]
WantedBy=multi-user.target

[Service]
KillMode=process
Delegate=yes
LimitNOFILE=1048576
TimeoutStartSec=0
Restart=always
RestartSec=1s
"""
_CONTAINERD = """\
version = 2
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
"""


@dataclass(frozen=True)
class Flavor:
    """What a distribution looks like on a host.

    Attributes:
        units: Unit by role: the one that a change of registries may restart.
        registries: Its registries.yaml; "" where it has none.
        certs_d: containerd's folder of hosts.toml files.
        crictl, ctr: Commands that reach its containerd.
        types: How its units tell that they are up, by role.
    """

    units: Mapping[str, str]
    registries: str
    certs_d: str
    crictl: str
    ctr: str
    types: Mapping[str, str]


_BELOW = "agent/etc/containerd/certs.d"
_BIN = "/var/lib/rancher/rke2/bin"
FLAVORS = {
    "k3s": Flavor(
        {"server": "k3s", "agent": "k3s-agent"},
        "/etc/rancher/k3s/registries.yaml",
        f"/var/lib/rancher/k3s/{_BELOW}",
        "k3s crictl",
        "k3s ctr",
        {"server": "notify", "agent": "exec"},
    ),
    "rke2": Flavor(
        {"server": "rke2-server", "agent": "rke2-agent"},
        "/etc/rancher/rke2/registries.yaml",
        f"/var/lib/rancher/rke2/{_BELOW}",
        f"CONTAINER_RUNTIME_ENDPOINT=unix:///run/k3s/containerd/containerd.sock {_BIN}/crictl",
        f"{_BIN}/ctr -a /run/k3s/containerd/containerd.sock -n k8s.io",
        {"server": "notify", "agent": "notify"},
    ),
    "containerd": Flavor(
        {"server": "containerd", "agent": "containerd"},
        "",
        "/etc/containerd/certs.d",
        "crictl",
        "ctr -n k8s.io",
        {"server": "exec", "agent": "exec"},
    ),
}
_SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile .ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
Subsystem sftp internal-sftp
"""


def write_seed(
    seed: Path,
    *,
    distribution: str,
    role: str,
    login_key: Path,
    settings: Mapping[str, object],
    files: Mapping[str, str],
) -> str:
    """Write everything below `seed` and return the host's public key.

    Args:
        seed: The folder that becomes the top layer of the host's root.
        distribution: A key of `FLAVORS`.
        role: server or agent.
        login_key: The private key that may log in; its `.pub` is beside it.
        settings: The stand-in's settings, with `name` and `address`.
        files: More files, by path (0600, root).
    """
    key = seed / "etc/ssh/ssh_host_ed25519_key"
    key.parent.mkdir(parents=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key))
    home = seed / "home/edge/.ssh"
    home.mkdir(parents=True, mode=0o700)
    shutil.copy(login_key.with_suffix(".pub"), home / "authorized_keys")
    texts = {
        "etc/ssh/sshd_config": (_SSHD, 0o600),
        "etc/sudoers.d/edge": ("edge ALL=(root) NOPASSWD: ALL\n", 0o440),
        "etc/hosts": (f"127.0.0.1 localhost\n{settings['address']} {settings['name']}\n", 0o644),
        "etc/resolv.conf": ("", 0o644),
        STAND_IN.lstrip("/"): (json.dumps(settings), 0o600),
        **{path.lstrip("/"): (text, 0o600) for path, text in files.items()},
    }
    for path, (text, mode) in texts.items():
        _write(seed / path, text, mode)
    _add_programs(seed)
    _add_service(seed, distribution, role)
    return key.with_suffix(".pub").read_text().strip()


def _add_programs(seed: Path) -> None:
    library = seed / "usr/local/lib/k3s-stand-in"
    library.mkdir(parents=True)
    for name in ("node.py", "relay.py", "cri.py", "rendering.py"):
        shutil.copy(PROGRAMS / name, library / name)
    _enable(seed, "/lib/systemd/system/ssh.service")


def _add_service(seed: Path, distribution: str, role: str) -> None:
    name, command = FLAVORS[distribution].units[role], f"/usr/local/bin/{distribution} {role}"
    if distribution == "containerd":
        _write(seed / "etc/containerd/config.toml", _CONTAINERD, 0o644)
        _copy_program("crictl", seed / "usr/local/bin/crictl")
        _enable(seed, "/lib/systemd/system/containerd.service")
        name = "kubelet"
        command = f"/usr/bin/python3 /usr/local/lib/k3s-stand-in/node.py kubelet {role}"
    else:
        _copy_program("k3s", seed / f"usr/local/bin/{distribution}")
    if distribution == "rke2":
        # On the disk that is mounted at /var/lib/rancher, see host.sh.
        _copy_program("crictl", seed / "rancher/rke2/bin/crictl")
        (seed / "rancher/rke2/bin/ctr").symlink_to("/usr/bin/ctr")
    kind = FLAVORS[distribution].types[role]
    text = f"{_COMMON}Type={kind}\nExecStart={command}\n"
    _write(seed / f"etc/systemd/system/{name}.service", text, 0o644)
    _enable(seed, f"/etc/systemd/system/{name}.service")


def _enable(seed: Path, unit: str) -> None:
    wants = seed / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / Path(unit).name).symlink_to(unit)


def _copy_program(name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(PROGRAMS / name, target)
    target.chmod(0o755)


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
