"""The helm program on this machine, given its secrets by file descriptor.

Kubeconfig and values live in anonymous memory that helm inherits and reads as /dev/fd/N: they have
no name in any folder, so nothing is left of them when helm, or we, are killed. Helm's own folders
are private and removed, the operator's helm, docker and kube settings are not looked at.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from pydantic import SecretStr

from fleet.helm_command import no_helm
from fleet.host_errors import CommandTimedOutError

_SECONDS, _VERSION_SECONDS, _LAST_SECONDS = 600.0, 30.0, 20.0
_PR_SET_PDEATHSIG = 1
# Runs before helm in the same process: helm shall not outlive the thread that waits for it, or a
# later run could meet it at work. Ends at once where that thread is gone already.
_DIE_WITH_US = (
    "import ctypes,os,sys;"
    f"ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG},{int(signal.SIGKILL)});"
    "os.getppid()==int(sys.argv[1]) or os._exit(1);"
    "os.execv(sys.argv[2],sys.argv[2:])"
)
# A helm takes about 90 MB while it works, and a fleet may have hundreds of sites.
_AT_ONCE = threading.BoundedSemaphore(8)
_FOREIGN = ("HELM_", "KUBE")


class HelmCli:
    """One helm program; every method is one run of it."""

    def __init__(self, program: str = "helm") -> None:
        """Take the program's name; it is looked up in PATH at each run."""
        self._program = program

    def read_version(self) -> str:
        """Return what `helm version --short` prints.

        Raises:
            HelmMissingError: There is no such program.
        """
        with tempfile.TemporaryDirectory(prefix="acrfleet-helm-") as folder:
            done = subprocess.run(  # noqa: S603 - the arguments are ours and no shell sees them
                [self._path(), "version", "--short"],
                env=_environment(Path(folder)),
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=_VERSION_SECONDS,
                check=False,
            )
        return (done.stdout + done.stderr).decode(errors="replace")

    def upgrade(
        self,
        arguments: Callable[[str, str], Sequence[str]],
        kubeconfig: SecretStr,
        values: SecretStr,
        *,
        seconds: float = _SECONDS,
    ) -> tuple[int, str]:
        """Run helm and return its exit status and what it wrote to stderr; stdout is dropped.

        Args:
            arguments: Gets the paths of kubeconfig and values and returns helm's arguments.
            kubeconfig: The kubeconfig's text.
            values: The values' text.
            seconds: After these, helm is interrupted, and then killed.

        Raises:
            HelmMissingError: There is no such program.
            CommandTimedOutError: It took too long.
        """
        return self._run(lambda paths: arguments(*paths), (kubeconfig, values), seconds)

    def uninstall(
        self,
        arguments: Callable[[str], Sequence[str]],
        kubeconfig: SecretStr,
        *,
        seconds: float = _SECONDS,
    ) -> tuple[int, str]:
        """Do the same for a command that needs no values."""
        return self._run(lambda paths: arguments(*paths), (kubeconfig,), seconds)

    def _run(
        self,
        arguments: Callable[[Sequence[str]], Sequence[str]],
        texts: Sequence[SecretStr],
        seconds: float,
    ) -> tuple[int, str]:
        program = self._path()
        with _AT_ONCE, ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="acrfleet-helm-")))
            given = [_in_memory(stack, text) for text in texts]
            process = subprocess.Popen(  # noqa: S603 - no shell, and no secret in the arguments
                [
                    *(sys.executable, "-I", "-S", "-c", _DIE_WITH_US, str(os.getpid())),
                    *(program, *arguments([f"/dev/fd/{number}" for number in given])),
                ],
                env=_environment(folder),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=given,
                start_new_session=True,
            )
            with process:
                return _outcome(process, seconds)

    def _path(self) -> str:
        found = shutil.which(self._program)
        if found is None:
            raise no_helm(self._program)
        return str(Path(found).absolute())


def _outcome(process: subprocess.Popen[bytes], seconds: float) -> tuple[int, str]:
    try:
        _, words = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_LAST_SECONDS)
        process.kill()
        raise CommandTimedOutError(f"helm did not end within {seconds:.0f} s") from None
    except BaseException:
        process.kill()
        raise
    return process.returncode, words.decode(errors="replace")


def _in_memory(stack: ExitStack, text: SecretStr) -> int:
    number = os.memfd_create("acrfleet")
    stack.callback(os.close, number)
    os.write(number, text.get_secret_value().encode())
    return number


def _environment(folder: Path) -> dict[str, str]:
    """Return our environment with helm's, kubectl's and docker's settings pointing to a folder."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    names = ("CACHE_HOME", "CONFIG_HOME", "DATA_HOME")
    return {
        **kept,
        **{f"HELM_{name}": str(folder / name.lower()) for name in names},
        "HELM_DRIVER": "secret",
        "KUBECACHEDIR": str(folder / "kube"),
        "DOCKER_CONFIG": str(folder / "docker"),
    }
