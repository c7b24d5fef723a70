"""Install what the test of several machines needs, enter a fresh namespace, run pytest there.

    python -m tests.machines [PYTEST ARGUMENTS]

The namespace ends with its first process, and everything in it, also after a SIGKILL. Exit status 0
with a reason where the machine can't run it; 1 instead when ACRFLEET_ACCEPTANCE is `required`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.acceptance.machine import install

INSIDE = "ACRFLEET_MACHINES_RUN"
_ROOT = Path(__file__).parents[2]
_PROGRAMS = {"redis-server": "redis-server", "haproxy": "haproxy", "setpriv": "util-linux"}
_PYTEST = ("-m", "pytest", "-m", "machines", "-o", "timeout=1200")


def main(arguments: list[str]) -> int:
    """Run the tests; returns only where it can't."""
    os.chdir(_ROOT)
    if INSIDE in os.environ:
        chosen = arguments if _names_tests(arguments) else [*arguments, "tests/machines"]
        os.execv(sys.executable, [sys.executable, *_PYTEST, *chosen])
    reason = _install() or _why_no_namespace()
    if reason:
        required = os.environ.get("ACRFLEET_ACCEPTANCE") == "required"
        sys.stdout.write(f"machines: {'failed' if required else 'skipped'}: {reason}\n")
        return 1 if required else 0
    os.environ[INSIDE] = str(os.getpid())
    sys.stdout.flush()
    command = [*namespace(), sys.executable, "-m", "tests.machines", *arguments]
    return os.execvp(command[0], command)


def namespace() -> list[str]:
    """Return the start of a command that runs in a process namespace of its own."""
    who = [] if os.geteuid() == 0 else ["--user", "--map-current-user"]
    return ["unshare", *who, "--pid", "--fork", "--kill-child", "--mount-proc"]


def missing_packages() -> list[str]:
    """Return the Debian packages that have to be installed."""
    missing = {package for program, package in _PROGRAMS.items() if not shutil.which(program)}
    if not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        missing.add("postgresql")
    return sorted(missing)


def _names_tests(arguments: list[str]) -> bool:
    return any(word.startswith("tests/machines") for word in arguments)


def _install() -> str | None:
    packages = missing_packages()
    if not packages:
        return None
    words = " ".join(packages)
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists():
        return f"{words} must be installed, which needs root and Debian"
    sys.stdout.write(f"machines: installing {words}\n")
    sys.stdout.flush()
    try:
        install(packages)
    except subprocess.CalledProcessError as error:
        return f"{words} could not be installed: {error}"
    left = missing_packages()
    return f"{' '.join(left)} were installed, but their programs are not there" if left else None


def _why_no_namespace() -> str | None:
    tried = subprocess.run([*namespace(), "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"a process namespace can't be made here: {tried.stderr.strip()}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
