"""Enter fresh namespaces with a network of their own, and run Python there.

    python -m tests.acceptance.inside [PYTHON ARGUMENTS]

pytest-xdist starts its workers by this, so that each has an outside world to itself. All of it ends
with whoever started it: the kernel kills the outermost program then, and with it the namespaces.
"""

import os
import sys

from tests.acceptance import machine

_NAMESPACES = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")


def command(*arguments: str) -> list[str]:
    """Return the words that run Python with these arguments in fresh namespaces."""
    return [sys.executable, "-m", "tests.acceptance.inside", *arguments]


def main(arguments: list[str]) -> None:
    """Replace this process, first by itself in the namespaces, then by Python."""
    if machine.INSIDE in os.environ:
        machine.build_network()
        os.execv(sys.executable, [sys.executable, *arguments])
    os.environ[machine.INSIDE] = str(os.getpid())
    with_parent = ("setpriv", "--pdeathsig", "KILL")
    words = [*with_parent, "unshare", *_NAMESPACES, *command(*arguments)]
    os.execvp(words[0], words)


if __name__ == "__main__":
    main(sys.argv[1:])
