"""A kubelet's part: pods that a real control plane wants are run here as processes.

The control plane's own controllers make the pods of Deployments and Jobs. Each pod gets the
environment of its container and of the image (deployments/Containerfile), a mount namespace with
the volumes that it names and the project at its place in the image, and the pod's user; its one
right more is to read everything, because a test's folders are root's alone. What a pod asks for
beyond that fails the test.
"""

import os
import re
import shutil
import threading
from base64 import b64decode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from kubernetes import client, config

from tests.machines.processes import Program
from tests.machines.stack import ROOT

_CODE, _HOME = "/opt/acrfleet", "/var/lib/acrfleet"
_EVERY = 0.3
_KILLED = 137
_SCRIPT = """
set -eu
scratch=$1 uid=$2; shift 2
mount --make-rprivate /
mount -t tmpfs tmpfs "$scratch"
for top in /etc /opt /var/lib /run; do
  mkdir -p "$scratch$top/upper" "$scratch$top/work"
  mount -t overlay overlay \
    -o "lowerdir=$top,upperdir=$scratch$top/upper,workdir=$scratch$top/work" "$top"
done
while [ "$1" != -- ]; do
  mkdir -p "$2"
  mount --bind "$1" "$2"
  [ "$3" = rw ] || mount -o remount,bind,ro "$2"
  shift 3
done
shift
cd /opt/acrfleet
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs \
  --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search -- "$@"
"""


class Pods:
    """Runs the pods of one namespace for as long as it is entered."""

    def __init__(self, kubeconfig: Path, namespace: str, folder: Path) -> None:
        """Take an administrator's kubeconfig and a folder for volumes and logs."""
        loaded = config.new_client_from_config(str(kubeconfig))
        self.core, self.batch = client.CoreV1Api(loaded), client.BatchV1Api(loaded)
        server = urlsplit(loaded.configuration.host)
        self._service = {
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
        }
        self._namespace, self._folder = namespace, folder
        self._running: dict[str, Program] = {}
        self._told: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pods")
        self.troubles: list[Exception] = []
        folder.mkdir(parents=True)

    def __enter__(self) -> "Pods":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every process."""
        self._stop.set()
        self._thread.join()
        for program in self._running.values():
            program.kill()

    def run(self, name: str, environment: Mapping[str, str], command: Sequence[str]) -> Program:
        """Run a command in the image, as `podman run --env-file` does."""
        home = self._make(f"{name}-home", {}, 0o770, 10001)
        mounts = [(home, _HOME, "rw")]
        return self._start(name, environment, mounts, 10001, command)

    def kill(self, name: str) -> None:
        """Kill a pod's process, as a node does that runs out of memory."""
        self._running[name].kill()

    def alive(self) -> list[str]:
        """Return the pods whose processes run."""
        return [name for name, program in self._running.items() if program.is_alive]

    def _work(self) -> None:
        while not self._stop.wait(_EVERY):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - the test shows it
                self.troubles.append(error)
                return

    def _look(self) -> None:
        pods = {pod.metadata.name: pod for pod in self._list()}
        for name, program in self._running.items():
            if name not in pods and program.is_alive:
                program.kill()
        for name, pod in pods.items():
            if name not in self._running and pod.metadata.deletion_timestamp is None:
                self._running[name] = self._run_pod(pod)
                self._tell(pod, "Running", {"running": {"startedAt": _now()}}, ready=True)
            elif name in self._running and not self._running[name].is_alive:
                self._end(pod)

    def _list(self) -> list[Any]:
        found: list[Any] = self.core.list_namespaced_pod(self._namespace).items
        return found

    def _end(self, pod: Any) -> None:
        name = pod.metadata.name
        if name in self._told:
            return
        self._told.add(name)
        code = self._running[name].process.wait()
        code = _KILLED if code < 0 else code
        ended = {"terminated": {"exitCode": code, "finishedAt": _now(), "startedAt": _now()}}
        self._tell(pod, "Succeeded" if code == 0 else "Failed", ended, ready=False)

    def _tell(self, pod: Any, phase: str, state: Mapping[str, Any], *, ready: bool) -> None:
        (container,) = pod.spec.containers
        status = {
            "name": container.name,
            "image": container.image,
            "imageID": container.image,
            "ready": ready,
            "restartCount": 0,
            "state": state,
        }
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": _now()}
        body = {
            "status": {
                "phase": phase,
                "startTime": _now(),
                "containerStatuses": [status],
                "conditions": [condition],
            }
        }
        self.core.patch_namespaced_pod_status(pod.metadata.name, self._namespace, body)

    def _run_pod(self, pod: Any) -> Program:
        (container,) = pod.spec.containers
        user = pod.spec.security_context.run_as_user
        group = pod.spec.security_context.fs_group
        assert user, "it would run as root"
        volumes = {one.name: one for one in pod.spec.volumes}
        mounts = []
        for mount in container.volume_mounts:
            path = self._volume(pod.metadata.name, volumes[mount.name], group)
            if path is not None:
                mounts.append((path, mount.mount_path, "ro" if mount.read_only else "rw"))
        command = [*(container.command or ()), *(container.args or ())]
        environment = {**self._environment(container), **self._service}
        return self._start(pod.metadata.name, environment, mounts, user, command)

    def _environment(self, container: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.env_from or ():
            found |= self._secret(source.secret_ref.name)
        for one in container.env or ():
            reference = one.value_from and one.value_from.secret_key_ref
            found[one.name] = (
                self._secret(reference.name)[reference.key] if reference else one.value or ""
            )
        return found

    def _secret(self, name: str) -> dict[str, str]:
        secret = self.core.read_namespaced_secret(name, self._namespace)
        return {key: b64decode(value).decode() for key, value in (secret.data or {}).items()}

    def _volume(self, pod: str, volume: Any, group: int) -> Path | None:
        name = f"{pod}-{volume.name}"
        if volume.empty_dir is not None:
            return self._make(name, {}, 0o770, group)
        if volume.config_map is not None:
            found = self.core.read_namespaced_config_map(volume.config_map.name, self._namespace)
            return self._make(name, found.data, 0o750, group)
        assert volume.secret is not None, f"{pod} has a volume of another kind: {volume}"
        return self._make(name, self._secret(volume.secret.secret_name), 0o750, group)

    def _make(self, name: str, files: Mapping[str, str], mode: int, group: int) -> Path:
        folder = self._folder / name
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text)
            os.chown(folder / file, 0, group)
            (folder / file).chmod(0o440)
        os.chown(folder, 0, group)
        folder.chmod(mode)
        return folder

    def _start(
        self,
        name: str,
        environment: Mapping[str, str],
        mounts: Sequence[tuple[Path, str, str]],
        user: int,
        command: Sequence[str],
    ) -> Program:
        scratch = self._folder / f"{name}-scratch"
        scratch.mkdir()
        words = [word for one in ((ROOT, _CODE, "ro"), *mounts) for word in map(str, one)]
        run = ["unshare", "--mount", "sh", "-c", _SCRIPT, "sh", str(scratch), str(user), *words]
        return Program(
            name,
            [*run, "--", *command],
            folder=self._folder,
            environment={**_of_the_image(), **environment},
        )


def _of_the_image() -> dict[str, str]:
    """Return the variables that the image sets."""
    stage = (ROOT / "deployments/Containerfile").read_text().rpartition("\nFROM ")[2]
    (line,) = re.findall(r"^ENV (.*)$", stage, re.MULTILINE)
    found = dict(word.split("=", 1) for word in line.split())
    system = os.pathsep.join({str(Path(shutil.which(one) or "").parent) for one in ("sh", "mount")})
    return {**found, "PATH": found["PATH"].replace("$PATH", system), "HOME": _HOME}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
