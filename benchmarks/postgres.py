"""A PostgreSQL of the benchmark's own, in a folder that goes away with it."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.programs import BenchmarkBrokenError


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """Run a server on a Unix socket and yield the URL with which Prefect reaches it.

    PostgreSQL refuses to run as root: then it runs as the user `postgres` of Debian's package.

    Raises:
        BenchmarkBrokenError: PostgreSQL is not installed, or does not start.
    """
    programs = _find_programs()
    data = folder / "postgres"
    data.mkdir(mode=0o700)
    user = None
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres").pw_name
        shutil.chown(data, user)
        folder.chmod(0o711)

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(  # noqa: S603 - PostgreSQL's own programs, no shell
            [programs / program, *arguments],
            user=user,
            cwd=data,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            raise BenchmarkBrokenError(f"{program}: {done.stderr.decode()[-2000:]}")

    cluster = str(data / "db")
    run("initdb", "-D", cluster, "-U", "prefect", "--auth", "trust", "-E", "UTF8", "--no-sync")
    settings = f"-k {data} -c listen_addresses= -c max_connections=200"
    run("pg_ctl", "-D", cluster, "-w", "-l", str(data / "log"), "-o", settings, "start")
    try:
        run("createdb", "-h", str(data), "-U", "prefect", "prefect")
        yield f"postgresql+asyncpg://prefect@/prefect?host={data}"
    finally:
        run("pg_ctl", "-D", cluster, "-m", "immediate", "stop")


def _find_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    on_path = shutil.which("pg_ctl")
    if on_path:
        return Path(on_path).resolve().parent
    if not found:
        raise BenchmarkBrokenError("PostgreSQL is missing: apt-get install postgresql")
    return found[-1]
