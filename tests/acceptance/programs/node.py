"""`k3s server`, `k3s agent`, RKE2's, and a kubelet: runs containerd, is a node of the API.

    node.py k3s|rke2 server|agent [OPTIONS]     renders containerd's files and runs it
    node.py kubelet server|agent                beside a containerd that is a service of its own

Real: containerd, systemd's view of the service, the API server behind it. Stood in for: the kubelet
(this posts the Node's Ready condition and its Lease while containerd answers) and, on a server, the
API server's place inside K3s (a relay on port 6443 that goes away with this process).
"""

import ctypes
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import cri
import grpc
import rendering
import yaml
from relay import Relay

_SETTINGS = Path("/etc/rancher/node/stand-in.json")
_KEYS = Path("/etc/rancher/node")
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_KUBECONFIGS = {"k3s": "k3s.yaml", "rke2": "rke2.yaml", "kubelet": "admin.conf"}
_BEAT_SECONDS = 1.0
_VERSIONS = {"k3s": "v1.31.4+k3s1", "rke2": "v1.31.4+rke2r1", "kubelet": "v1.31.4"}


def main(arguments: list[str]) -> int:
    """Run until SIGTERM, or until something dies."""
    program, role, *rest = arguments
    settings = json.loads(_SETTINGS.read_text()) | {"program": program}
    log("info", f"Starting {program} {role} {_VERSIONS[program]}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if program == "kubelet":
        return _accompany(role, settings)
    home = Path(f"/etc/rancher/{program}")
    options = _read_options(home, rest)
    data = Path(options.get("data-dir", f"/var/lib/rancher/{program}"))
    try:
        file = Path(options.get("private-registry", home / "registries.yaml"))
        registries = rendering.read(file)
        no_default = options.get("disable-default-registry-endpoint") == "true"
        config = rendering.write_all(registries, data / "agent", program, no_default=no_default)
        _obey(settings.get("fail"), file)
    except rendering.FatalError as error:
        log("fatal", str(error))
        return 1
    return _serve(role, settings, data, config)


def _serve(role: str, settings: dict, data: Path, config: Path) -> int:
    containerd = _start_containerd(config, data)
    try:
        _wait_for_containerd(containerd)
        log("info", "containerd is now running")
        node = _join(role, settings, Path(f"/etc/rancher/{settings['program']}"))
        while containerd.poll() is None:
            node.beat()
            time.sleep(_BEAT_SECONDS)
        log("fatal", f"containerd exited: exit status {containerd.returncode}")
        return 1
    finally:
        containerd.terminate()
        containerd.wait()


def _accompany(role: str, settings: dict) -> int:
    """Be the node of a machine whose containerd is a service of its own."""
    node = _join(role, settings, Path("/etc/kubernetes"))
    while True:
        node.beat()
        time.sleep(_BEAT_SECONDS)


def _join(role: str, settings: dict, home: Path) -> "Node":
    if role == "server":
        Relay(settings["api"]).start()
        _write_kubeconfig(home / _KUBECONFIGS[settings["program"]])
    node = Node(role, settings)
    node.post_until_it_works()
    log("info", f"{settings['program']} is up and running")
    _notify("READY=1")
    return node


def log(level: str, words: str) -> None:
    """Write a line as K3s does; systemd puts it into the journal."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sys.stderr.write(f'time="{now}" level={level} msg={json.dumps(words)}\n')
    sys.stderr.flush()


def _read_options(folder: Path, arguments: list[str]) -> dict[str, str]:
    """Return K3s' options: config.yaml, its drop-ins, then the command line."""
    found: dict[str, str] = {}
    for file in (folder / "config.yaml", *sorted((folder / "config.yaml.d").glob("*.yaml"))):
        if file.exists():
            for key, value in (yaml.safe_load(file.read_text()) or {}).items():
                found[key] = str(value).lower() if isinstance(value, bool) else str(value)
    for word in arguments:
        name, equals, value = word.removeprefix("--").partition("=")
        found[name] = value if equals else "true"
    return found


def _obey(order: dict | None, file: Path) -> None:
    """Fail as the test ordered, or wait as long as it does, if registries.yaml holds `text`."""
    if not order or not file.exists() or order["text"] not in file.read_text():
        return
    if order["how"] == "hang":
        while _is_ordered_to_fail():
            time.sleep(0.2)
        return
    raise rendering.FatalError(order.get("words", "starting kubernetes: preparing server: ordered"))


def _is_ordered_to_fail() -> bool:
    try:
        return bool(json.loads(_SETTINGS.read_text()).get("fail"))
    except ValueError:  # it is being written
        return True


def _start_containerd(config: Path, data: Path) -> "subprocess.Popen[bytes]":
    (data / "agent/containerd").mkdir(parents=True, exist_ok=True)
    log_file = (data / "agent/containerd/containerd.log").open("ab")
    library = ctypes.CDLL(None)

    def die_with_k3s() -> None:
        library.prctl(1, signal.SIGKILL)

    log("info", f"Running containerd -c {config}")
    return subprocess.Popen(
        ["containerd", "-c", str(config)],
        stdout=log_file,
        stderr=log_file,
        stdin=subprocess.DEVNULL,
        preexec_fn=die_with_k3s,  # noqa: PLW1509 - no other thread runs yet
        env={key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"},
    )


def _wait_for_containerd(containerd: "subprocess.Popen[bytes]") -> None:
    while not answers():
        if containerd.poll() is not None:
            log("fatal", f"containerd exited: exit status {containerd.returncode}")
            sys.exit(1)
        time.sleep(0.03)


def answers() -> bool:
    """Return whether containerd's CRI answers."""
    if not Path(cri.SOCKET).exists():
        return False
    try:
        cri.call("RuntimeService/Version", b"", 1)
    except grpc.RpcError:
        return False
    return True


def _notify(state: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), address.replace("@", "\0", 1))


def _write_kubeconfig(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text((_KEYS / "admin.yaml").read_text())


class Node:
    """This machine as a node of the cluster."""

    def __init__(self, role: str, settings: dict) -> None:
        """Speak to the API server directly on a server, through the server's port on an agent."""
        self._role, self._settings = role, settings
        self._context = ssl.create_default_context(cafile=str(_KEYS / "ca.pem"))
        self._context.load_cert_chain(_KEYS / "client.pem")
        self._connection: http.client.HTTPSConnection | None = None

    def post_until_it_works(self) -> None:
        """Register, as a K3s that waits for its API server does."""
        while not self._try_to_post():
            log("info", "Waiting for the API server to become available")
            time.sleep(0.3)

    def beat(self) -> None:
        """Say that the node is ready, if containerd answers; a failure is tried again next time."""
        if answers():
            self._try_to_post()

    def _try_to_post(self) -> bool:
        try:
            self._post()
        except (OSError, http.client.HTTPException, ValueError) as error:
            log("error", f"Unable to update node status: {error}")
            self._connection = None
            return False
        return True

    def _post(self) -> None:
        name = self._settings["name"]
        if self._ask("GET", f"/api/v1/nodes/{name}")[0] == 404:
            self._insist("POST", "/api/v1/nodes", self._node())
        self._insist("PATCH", f"/api/v1/nodes/{name}/status", {"status": self._status()})
        status, lease = self._ask("GET", f"{_LEASES}/{name}")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now}
        if status == 404:
            metadata = {"name": name, "namespace": "kube-node-lease"}
            kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
            self._insist("POST", _LEASES, kind | {"metadata": metadata, "spec": spec})
        else:
            self._insist("PUT", f"{_LEASES}/{name}", lease | {"spec": spec})

    def _insist(self, method: str, path: str, body: dict) -> None:
        status, answer = self._ask(method, path, body)
        if status >= 300:
            raise ValueError(f"{method} {path}: {status} {answer.get('message')}")

    def _ask(self, method: str, path: str, body: dict | None = None) -> tuple[int, dict]:
        if self._connection is None:
            self._connection = self._connect()
        kind = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, {"Content-Type": kind})
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")

    def _connect(self) -> http.client.HTTPSConnection:
        target = self._settings["api"] if self._role == "server" else self._settings["server"]
        plain = socket.create_connection(tuple(target), 5)
        connection = http.client.HTTPSConnection("kubernetes", timeout=5, context=self._context)
        connection.auto_open = 0  # a closed connection is an error, and a new one is made here
        connection.sock = self._context.wrap_socket(plain, server_hostname="kubernetes")
        return connection

    def _node(self) -> dict:
        name = self._settings["name"]
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "node.kubernetes.io/instance-type": "k3s",
        }
        if self._role == "server":
            labels |= {"node-role.kubernetes.io/control-plane": "true"}
        metadata = {"name": name, "labels": labels}
        return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}

    def _status(self) -> dict:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
            "lastHeartbeatTime": now,
        }
        addresses = {"InternalIP": self._settings["address"], "Hostname": self._settings["name"]}
        addresses["ExternalIP"] = self._settings["kubelet"][0]
        return {
            "conditions": [ready],
            "addresses": [{"type": key, "address": value} for key, value in addresses.items()],
            "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._settings["kubelet"][1]}},
            "nodeInfo": _node_info(_VERSIONS[self._settings["program"]]),
        }


def _node_info(version: str) -> dict:
    machine = Path("/etc/machine-id").read_text().strip()
    return {
        "architecture": "amd64",
        "bootID": machine,
        "containerRuntimeVersion": "containerd://1.6.20",
        "kernelVersion": os.uname().release,
        "kubeProxyVersion": version,
        "kubeletVersion": version,
        "machineID": machine,
        "operatingSystem": "linux",
        "osImage": "Debian GNU/Linux 12 (bookworm)",
        "systemUUID": machine,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
