"""Starts a real kube-apiserver with etcd on loopback for one test run, and its controllers.

The binaries come from KUBEBUILDER_ASSETS (controller-runtime's convention; `setup-envtest` fills
it); etcd may also be on PATH, kube-controller-manager may be missing. No root needed.
"""

import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.certificates import Authority
from lab.cluster.kubeconfig import render

_PATIENCE = 60.0


def why_not() -> str | None:
    """Return why no real API server can be started here, or None."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return "KUBEBUILDER_ASSETS is not set"
    if not (Path(folder) / "kube-apiserver").is_file():
        return f"KUBEBUILDER_ASSETS={folder} holds no kube-apiserver"
    return None if _etcd() else "no etcd in KUBEBUILDER_ASSETS or on PATH"


def has_controllers() -> bool:
    """Return whether kube-controller-manager is there; `setup-envtest` brings none."""
    return (_assets() / "kube-controller-manager").is_file()


@contextmanager
def real_cluster(
    folder: Path, address: str = "127.0.0.1", port: int = 0, arguments: Sequence[str] = ()
) -> Iterator[Path]:
    """Run a control plane in `folder`; yields an administrator's kubeconfig file.

    Args:
        folder: Where data, keys and logs go.
        address: Where the API listens.
        port: Its port; 0 for any.
        arguments: More of them for kube-apiserver.
    """
    authority = Authority(folder / "pki", "kubernetes-ca")
    ports = _free_ports(4)
    ports[0] = port or ports[0]
    server = f"https://{address}:{ports[0]}"
    kubeconfig = folder / "admin.kubeconfig"
    kubeconfig.write_text(render(authority, server))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.append(_start(folder, "etcd", _etcd_arguments(folder, ports)))
        serving = _server_arguments(folder, authority, ports, address)
        processes.append(_start(folder, "kube-apiserver", [*serving, *arguments]))
        _wait_until_ready(folder, authority, server, processes)
        if has_controllers():
            managing = _manager_arguments(folder, kubeconfig, ports)
            processes.append(_start(folder, "kube-controller-manager", managing))
        yield kubeconfig
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _assets() -> Path:
    return Path(os.environ["KUBEBUILDER_ASSETS"])


def _etcd() -> str | None:
    own = _assets() / "etcd"
    return str(own) if own.is_file() else shutil.which("etcd")


def _free_ports(count: int) -> list[int]:
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports


def _start(folder: Path, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
    binary = _etcd() if name == "etcd" else str(_assets() / name)
    assert binary is not None
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen([binary, *arguments], stdout=log, stderr=log)


def _etcd_arguments(folder: Path, ports: list[int]) -> list[str]:
    client, peer = (f"http://127.0.0.1:{port}" for port in ports[1:3])
    return [
        "--name=d",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=d={peer}",
    ]


def _server_arguments(
    folder: Path, authority: Authority, ports: list[int], address: str
) -> list[str]:
    pki = folder / "pki"
    names = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc", "10.43.0.1", address]
    _write_pair(pki, "server", *authority.issue("kube-apiserver", names=names))
    _write_pair(pki, "accounts", *authority.issue("service-accounts"))
    return [
        f"--etcd-servers=http://127.0.0.1:{ports[1]}",
        f"--bind-address={address}",
        f"--advertise-address={address}",
        f"--secure-port={ports[0]}",
        f"--tls-cert-file={pki / 'server.crt'}",
        f"--tls-private-key-file={pki / 'server.key'}",
        f"--client-ca-file={authority.ca_file}",
        "--anonymous-auth=false",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'accounts.crt'}",
        f"--service-account-signing-key-file={pki / 'accounts.key'}",
        "--authorization-mode=Node,RBAC",
        "--service-cluster-ip-range=10.43.0.0/16",
        "--allow-privileged=true",
        "--endpoint-reconciler-type=none",
    ]


def _manager_arguments(folder: Path, kubeconfig: Path, ports: list[int]) -> list[str]:
    pki = folder / "pki"
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--service-account-private-key-file={pki / 'accounts.key'}",
        f"--root-ca-file={pki / 'ca.pem'}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports[3]}",
        *_no_plain_port(),
    ]


def _no_plain_port() -> list[str]:
    """Return the flag that turns off the unsecured port of releases before 1.24."""
    binary = str(_assets() / "kube-controller-manager")
    told = subprocess.run([binary, "--help"], capture_output=True, text=True, check=True)
    return ["--port=0"] if "--port int" in told.stdout else []


def _write_pair(folder: Path, name: str, certificate: bytes, key: bytes) -> None:
    (folder / f"{name}.crt").write_bytes(certificate)
    (folder / f"{name}.key").touch(mode=0o600)
    (folder / f"{name}.key").write_bytes(key)


def _wait_until_ready(
    folder: Path, authority: Authority, server: str, processes: list[subprocess.Popen[bytes]]
) -> None:
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    _write_pair(folder, "probe", *authority.issue("system:admin", organization="system:masters"))
    context.load_cert_chain(folder / "probe.crt", folder / "probe.key")
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        for process in processes:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended: {_last_words(folder)}")
        try:
            with urllib.request.urlopen(f"{server}/readyz", context=context, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the API server did not become ready: {_last_words(folder)}")


def _last_words(folder: Path) -> str:
    return (folder / "kube-apiserver.log").read_text(errors="replace")[-2000:]
