"""Install what the acceptance suite needs and run it, in several worlds side by side.

    python -m tests.acceptance [PYTEST ARGUMENTS]
    python -m tests.acceptance --alone [PYTEST ARGUMENTS]     # one world, in sight: -s, --pdb

Most of the time is spent on waiting (for a dead-man, a restart, a link), so more worlds than there
are processors are worth it. Each is a pytest-xdist worker in namespaces of its own.

Exit status 0 with a reason where the machine can't run it; 1 instead when ACRFLEET_ACCEPTANCE is
`required`, as in CI.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.acceptance import inside, machine

_REPOSITORY = Path(__file__).parents[2]
_PYTEST = ("-m", "pytest", "-m", "acceptance", "-o", "timeout=120")
_WORLDS = 3
_ALONE = "--alone"


def main(arguments: list[str]) -> int:
    """Run the suite; returns only where it can't."""
    reason = machine.why_not() or _find_cluster() or _install()
    if reason:
        return _give_up(reason)
    machine.raise_limits()
    machine.clear_leftovers()
    sys.stdout.flush()
    os.chdir(_REPOSITORY)
    if _ALONE in arguments:
        words = inside.command(*_PYTEST, *_chosen(arguments))
        words.remove(_ALONE)
    else:
        words = [sys.executable, *_PYTEST, *_workers(), *_chosen(arguments)]
    return os.execv(sys.executable, words)


def _workers() -> list[str]:
    """Return what makes pytest-xdist start its workers in namespaces, file by file."""
    spec = f"{_WORLDS}*popen//python={shlex.join(inside.command())}"
    return ["--dist", "loadfile", "--no-loadscope-reorder", "--tx", spec]


def _chosen(arguments: list[str]) -> list[str]:
    is_told = any(word.startswith("tests/acceptance") for word in arguments)
    return arguments if is_told else [*arguments, "tests/acceptance"]


def _find_cluster() -> str | None:
    """Set KUBEBUILDER_ASSETS, or return why there is no kube-apiserver."""
    if os.environ.get("KUBEBUILDER_ASSETS"):
        return None
    starter = _REPOSITORY.parent / "shared/real-cluster/start"
    if not starter.exists():
        return (
            "there is no kube-apiserver: set KUBEBUILDER_ASSETS to a folder with kube-apiserver "
            "and kube-controller-manager"
        )
    folder = str(_REPOSITORY / ".cache/real-cluster")
    told = subprocess.run([starter, "bin", folder], capture_output=True, text=True, check=True)
    os.environ["KUBEBUILDER_ASSETS"] = told.stdout.strip().partition("=")[2]
    return None


def _install() -> str | None:
    packages = machine.missing_packages()
    if not packages:
        return None
    sys.stdout.write(f"acceptance: installing {' '.join(packages)}\n")
    sys.stdout.flush()
    try:
        machine.install(packages)
    except subprocess.CalledProcessError as error:
        return f"{' '.join(packages)} could not be installed: {error}"
    left = machine.missing_packages()
    return f"{' '.join(left)} were installed, but their programs are not there" if left else None


def _give_up(reason: str) -> int:
    required = os.environ.get("ACRFLEET_ACCEPTANCE") == "required"
    word = "failed" if required else "skipped"
    sys.stdout.write(f"acceptance: {word}: {reason}\n")
    return 1 if required else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
