"""PostgreSQL, Redis, two Prefect API servers, background services and a load balancer, for real.

Settings come from deployments/server/, the same files that an operator copies, with addresses and
passwords of this machine put in; so a test that uses a `Stack` is a test of those files as well.

    with Stack(folder) as stack:
        environment = os.environ | stack.client_environment(home)   # PREFECT_API_URL and so on
        worker = stack.worker("vm", pool="edge", limit=2)
        stack.programs["api-1"].kill()
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from cryptography.fernet import Fernet

from tests.machines.processes import Program

ROOT = Path(__file__).parents[2]
SERVER_FILES = ROOT / "deployments/server"
AUTH = "acrfleet:a-password-of-the-stack"
_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
_SECOND = {"PREFECT_API_BLOCKS_REGISTER_ON_START": "false"}
"""Two servers that register Prefect's block types at once end each other; so does compose.yaml."""
_DATABASE = ("-c", "listen_addresses=", "-c", "max_connections=200")
_IN_MEMORY = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


class Stack:
    """What runs Prefect for several machines; `programs` has every process by name."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        """Plan a stack.

        Args:
            folder: Where logs and homes go.
            durable: Let PostgreSQL wait for the disk, as in production; a test that measures.
        """
        self.folder = folder
        self.programs: dict[str, Program] = {}
        self._durable = durable
        # Not below `folder`: PostgreSQL runs as a user who may not look into a test's folders.
        self._data = Path(tempfile.mkdtemp(prefix="acrfleet-stack-"))
        self._ports = {name: free_port() for name in ("api-1", "api-2", "front", "redis")}
        self.url = f"http://127.0.0.1:{self._ports['front']}/api"

    def __enter__(self) -> "Stack":
        """Start everything; what started ends on failure."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything."""
        self.stop()

    def stop(self) -> None:
        """End everything, the last started first."""
        for program in reversed(list(self.programs.values())):
            program.stop()
        shutil.rmtree(self._data, ignore_errors=True)

    def client_environment(self, home: Path) -> dict[str, str]:
        """Return what a machine's Prefect needs; each machine has a home of its own.

        The folder for results is one for all: it stands in for the storage that machines share.
        """
        return {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.url,
            "PREFECT_API_AUTH_STRING": AUTH,
            "PREFECT_CLIENT_MAX_RETRIES": "15",
            "PREFECT_LOCAL_STORAGE_PATH": str(self.folder / "results"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PYTHONPATH": str(ROOT),
        }

    def worker(
        self, name: str, pool: str, limit: int, environment: Mapping[str, str] | None = None
    ) -> Program:
        """Start a process worker, as on a machine of its own."""
        home = self.folder / f"home-{name}"
        command = [*_prefect("worker", "start"), "--pool", pool, "--name", name]
        return self.run(
            f"worker-{name}",
            [*command, "--limit", str(limit), "--type", "process"],
            os.environ | dict(environment or {}) | self.client_environment(home),
        )

    def run(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Program:
        """Start a further program, which ends with the stack."""
        self.programs[name] = Program(
            name, command, folder=self.folder, environment=environment, cwd=ROOT
        )
        return self.programs[name]

    def server_environment(self) -> dict[str, str]:
        """Return the settings of a Prefect server process: those of the example, filled in."""
        text = (SERVER_FILES / "server.env.example").read_text()
        settings = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
        user = "postgres" if os.geteuid() == 0 else ""
        redis = f"redis://127.0.0.1:{self._ports['redis']}"
        filled = {
            "PREFECT_SERVER_API_AUTH_STRING": AUTH,
            "PREFECT_SERVER_ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "PREFECT_SERVER_UI_API_URL": self.url,
            "PREFECT_UI_URL": self.url.removesuffix("/api"),
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self.folder / "ui"),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": (
                f"postgresql+asyncpg://{user}@/prefect?host={self._data}"
            ),
            "PREFECT_REDIS_MESSAGING_URL": f"{redis}/0",
            "PREFECT_SERVER_DOCKET_URL": f"{redis}/1",
        }
        left = {name for name, value in settings.items() if re.search("<|redis:|postgres:", value)}
        assert left <= filled.keys(), f"server.env.example has new blanks: {left - filled.keys()}"
        home = {"PREFECT_HOME": str(self.folder / "home-server")}
        return {**settings, **filled, **home}

    def _start(self) -> None:
        environment = os.environ | self.server_environment()
        self._start_redis()
        self._start_postgres()
        upgrade = [*_prefect("server", "database", "upgrade"), "-y"]
        subprocess.run(upgrade, env=environment, check=True, capture_output=True, cwd=ROOT)
        for name in ("api-1", "api-2"):
            address = ("--host", "127.0.0.1", "--port", str(self._ports[name]))
            command = [*_prefect("server", "start"), *address, "--no-services"]
            self.run(name, command, environment | (_SECOND if name == "api-2" else {}))
        self.run("services", _prefect("server", "services", "start"), environment)
        self._start_balancer()
        for name in ("api-1", "api-2"):
            url = f"http://127.0.0.1:{self._ports[name]}/api/health"
            self.programs[name].wait_until(lambda url=url: _answers(url))
        self.programs["front"].wait_until(lambda: _answers(f"{self.url}/health"))

    def _start_postgres(self) -> None:
        user = "postgres" if os.geteuid() == 0 else None
        if user:
            shutil.chown(self._data, user)
        tools, data = _POSTGRES[-1], self._data / "database"
        switch = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user else []
        make = [*switch, str(tools / "initdb"), "-D", str(data), "-A", "trust", "--no-sync"]
        subprocess.run(make, check=True, capture_output=True, cwd="/")
        options = _DATABASE if self._durable else (*_DATABASE, *_IN_MEMORY)
        server = Program(
            "postgres",
            [str(tools / "postgres"), "-D", str(data), "-k", str(self._data), *options],
            folder=self.folder,
            environment=os.environ,
            user=user,
            cwd=Path("/"),
        )
        self.programs["postgres"] = server
        create = [*switch, str(tools / "createdb"), "-h", str(self._data), "prefect"]
        server.wait_until(
            lambda: (
                subprocess.run(create, capture_output=True, check=False, cwd="/").returncode == 0
            )
        )

    def _start_redis(self) -> None:
        port = self._ports["redis"]
        options = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        command = ["redis-server", "--port", str(port), *options]
        self.run("redis", command, os.environ).wait_until(lambda: _listens(port))

    def _start_balancer(self) -> None:
        places = {
            "PREFECT_LISTEN": f"127.0.0.1:{self._ports['front']}",
            "PREFECT_API_1": f"127.0.0.1:{self._ports['api-1']}",
            "PREFECT_API_2": f"127.0.0.1:{self._ports['api-2']}",
        }
        command = ["haproxy", "-db", "-f", str(SERVER_FILES / "haproxy.cfg")]
        self.run("front", command, os.environ | places)


def free_port() -> int:
    """Return a port that is free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _prefect(*words: str) -> list[str]:
    return [sys.executable, "-m", "prefect", "--no-prompt", *words]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
