"""An empty database for Prefect's server, whose hundred migrations are run once and not per server.

They take half of a server's start: 13 s of a core, which each worker of pytest-xdist would spend.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import prefect

_CACHE = Path(__file__).parents[1] / ".cache"


def put_database(path: Path) -> None:
    """Put a database as Prefect's server makes it at its first start where there is none yet."""
    template = _CACHE / f"prefect-{prefect.__version__}.db"
    _CACHE.mkdir(exist_ok=True)
    with _alone(template.with_suffix(".lock")):
        if not template.exists():
            _migrate(template)
    shutil.copy(template, path)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _migrate(template: Path) -> None:
    with tempfile.TemporaryDirectory(dir=_CACHE) as home:
        made = Path(home) / "prefect.db"
        told = {
            "PREFECT_HOME": home,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{made}",
        }
        subprocess.run(
            [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"],
            env=os.environ | told,
            check=True,
            capture_output=True,
        )
        made.replace(template)
