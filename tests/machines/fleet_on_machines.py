"""A lab, a stack of Prefect servers, and machines of operator and workers, with a fleet file."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.machines.processes import Program
from tests.machines.stack import AUTH, ROOT, Stack

POOL = "edge"


@dataclass
class FleetOnMachines:
    """What a test needs: the stack, the lab's files, and commands as an operator types them."""

    stack: Stack
    folder: Path
    environment: Mapping[str, str]

    @property
    def fleet_file(self) -> Path:
        """Return the fleet file, the same for all machines."""
        return self.folder / "fleet.yaml"

    def acrfleet(self, name: str, *arguments: str) -> Program:
        """Start a command of an operator; its output is its log."""
        return self.stack.run(name, [sys.executable, "-m", "cli", *arguments], self.environment)

    def change_fleet(self, sites: Collection[str], **changes: Any) -> None:
        """Write the fleet file anew, with other fields of these sites."""
        content = yaml.safe_load(self.fleet_file.read_text())
        for site in content["sites"]:
            site.update(changes if site["name"] in sites else {})
        self.fleet_file.write_text(yaml.safe_dump(content))

    def worker(self, name: str, limit: int) -> Program:
        """Start a worker on a machine of its own, with a login for Azure."""
        return self.stack.worker(name, POOL, limit, self.environment)

    def lab(self) -> dict[str, Any]:
        """Return the state of the lab's sites by name."""
        control = json.loads((self.folder / "lab/lab.json").read_text())["control"]
        state = httpx.get(f"{control}/state", timeout=30).json()
        return {site["name"]: site for site in state["sites"]}

    def ask(self, path: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return what the Prefect API answers to a filter, all pages."""
        auth = tuple(AUTH.split(":", 1))
        found: list[dict[str, Any]] = []
        while True:
            page = httpx.post(
                f"{self.stack.url}/{path}/filter",
                json={**query, "limit": 200, "offset": len(found)},
                auth=(auth[0], auth[1]),
                timeout=60,
            ).raise_for_status()
            found += page.json()
            if len(page.json()) < 200:
                return found


@contextmanager
def fleet_on_machines(
    folder: Path,
    sites: int,
    shards: Mapping[str, Any],
    *,
    is_deployed: bool = True,
    **options: Any,
) -> Iterator[FleetOnMachines]:
    """Run a lab and a stack, deploy the flows, and write a fleet file that is dispatched.

    Args:
        folder: Where everything goes.
        sites: How many sites the lab has.
        shards: What the fleet file says under `shards`.
        is_deployed: Off: the test deploys the flows itself.
        options: Of the `Stack`.
    """
    with Stack(folder / "stack", **options) as stack:
        command = ["-m", "lab", "up", "--sites", str(sites), "--dir", str(folder / "lab")]
        lab = stack.run("lab", [sys.executable, *command], os.environ)
        lab.wait_until(lambda: "ready after" in lab.log.read_text())
        operator = stack.client_environment(folder / "stack/home-operator")
        exports = shlex.split((folder / "lab/env.sh").read_text(), comments=True)
        azure = dict(word.split("=", 1) for word in exports if "=" in word)
        found = FleetOnMachines(stack, folder, os.environ | operator | azure)
        content = yaml.safe_load((folder / "lab/fleet.yaml").read_text())
        content |= {"dispatch": "deployment", "shards": dict(shards)}
        found.fleet_file.write_text(yaml.safe_dump(content))
        if is_deployed:
            _deploy(found)
        yield found


def _deploy(found: FleetOnMachines) -> None:
    """Deploy what the tests need of deployments/prefect.yaml, by `acrfleet deploy`."""
    content = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())
    content["deployments"] = [one for one in content["deployments"] if one["name"] == "shard"]
    file = found.folder / "prefect.yaml"
    file.write_text(yaml.safe_dump(content))
    options = ("--file", str(file), "--pool", POOL, "--create-pool")
    done = subprocess.run(
        [sys.executable, "-m", "cli", "deploy", *options, "--fleet-file", str(found.fleet_file)],
        env=dict(found.environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def wait_until(what: str, patience: float, is_so: Any) -> None:
    """Wait for something that is sure to come."""
    deadline = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < deadline, f"{what}: not within {patience:.0f} s"
        time.sleep(0.5)
