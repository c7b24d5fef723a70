"""Runs as Jobs of a real control plane, as docs/how-to/run-on-several-machines.md sets it up."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.real_cluster import has_controllers, real_cluster, why_not
from tests.machines.fleet_on_machines import FleetOnMachines, fleet_on_machines, wait_until
from tests.machines.pods import Pods
from tests.machines.stack import AUTH, ROOT

SITES, POOL, NAMESPACE = 4, "edge-kubernetes", "acrfleet"
SHARDS = {"size": 2, "at_once": 2, "lost_after": "30s", "fleet_file": "/etc/acrfleet/fleet.yaml"}
FILES = ROOT / "deployments"
_PATIENCE = 400.0


def _why_not_here() -> str | None:
    if os.geteuid() != 0:
        return "pods need mount namespaces, which need root"
    why = why_not()
    return why or (
        None if has_controllers() else "no kube-controller-manager beside kube-apiserver"
    )


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[FleetOnMachines]:
    reason = _why_not_here()
    if reason and os.environ.get("ACRFLEET_ACCEPTANCE") == "required":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with fleet_on_machines(tmp_path, SITES, SHARDS, is_deployed=False) as found:
        yield found


@pytest.fixture
def pods(machines: FleetOnMachines) -> Iterator[Pods]:
    folder = machines.folder / "cluster"
    folder.mkdir()
    with (
        real_cluster(folder) as kubeconfig,
        Pods(kubeconfig, NAMESPACE, machines.folder / "pods") as pods,
    ):
        set_up(machines, pods, kubeconfig)
        yield pods
        assert pods.troubles == []


def set_up(machines: FleetOnMachines, pods: Pods, kubeconfig: Path) -> None:
    """Do step 4 of the how-to, command by command."""
    folder, environment = machines.folder, worker_environment(machines)
    (folder / "worker.env").write_text("".join(f"{k}={v}\n" for k, v in environment.items()))
    keys = move_keys(machines.fleet_file)
    template = str(FILES / "kubernetes/base-job-template.json")
    options = ["--type", "kubernetes", "--base-job-template", template]
    prefect = [sys.executable, "-m", "prefect", "work-pool", "create", POOL, *options]
    run(prefect, machines.environment, folder)
    kubectl = ["kubectl", "-n", NAMESPACE]
    for words in (
        ["create", "namespace", NAMESPACE],
        ["create", "secret", "generic", "acrfleet-worker", "--from-env-file=worker.env"],
        ["create", "configmap", "acrfleet-fleet", "--from-file=fleet.yaml"],
        ["create", "secret", "generic", "acrfleet-ssh", *(f"--from-file={key}" for key in keys)],
        ["apply", "-f", str(FILES / "kubernetes/worker.yaml")],
    ):
        run([*kubectl, *words], {**os.environ, "KUBECONFIG": str(kubeconfig)}, folder)
    fleet_file = "/etc/acrfleet/fleet.yaml"
    deploy = ["acrfleet", "deploy", "--pool", POOL, "--fleet-file", fleet_file]
    done = pods.run("deploy", environment, deploy)
    assert done.process.wait(_PATIENCE) == 0, done.last_words


def run(command: list[str], environment: Mapping[str, str], folder: Path) -> None:
    done = subprocess.run(
        command, env=dict(environment), cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def worker_environment(machines: FleetOnMachines) -> dict[str, str]:
    """Return what worker.env.example sets, filled in for this stack and lab."""
    text = (FILES / "worker/worker.env.example").read_text()
    wanted = dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
    results = machines.stack.folder / "results"
    for folder in (results, results / "shards"):
        folder.mkdir()
        folder.chmod(0o777)  # stands in for Blob storage, to which every pod may write
    del wanted["PREFECT_DEFAULT_RESULT_STORAGE_BLOCK"]
    known = {name: machines.environment.get(name, value) for name, value in wanted.items()}
    assert [value for value in known.values() if value.startswith("<")] == []
    more = ("PREFECT_LOCAL_STORAGE_PATH", "AZURE_AUTHORITY_HOST")
    return {**known, **{name: machines.environment[name] for name in more}}


def move_keys(fleet_file: Path) -> list[str]:
    """Let the fleet file name keys and known_hosts where pods have them; return files to put there.

    A lab has some for each site.
    """
    content, found = yaml.safe_load(fleet_file.read_text()), []
    for site in content["sites"]:
        for key in ("key_file", "known_hosts"):
            name = f"{site['name']}-{Path(site['ssh'][key]).name}"
            shutil.copy(site["ssh"][key], fleet_file.with_name(name))
            site["ssh"][key] = f"/etc/acrfleet-ssh/{name}"
            found.append(name)
    fleet_file.write_text(yaml.safe_dump(content))
    return found


def jobs(pods: Pods) -> list[Any]:
    found: list[Any] = pods.batch.list_namespaced_job(NAMESPACE).items
    return found


@pytest.mark.timeout(1200)
def test_shards_are_jobs_and_a_pod_that_dies_costs_no_site(
    machines: FleetOnMachines, pods: Pods
) -> None:
    command = machines.acrfleet("onboard", "onboard", str(machines.fleet_file), "--json")

    def has_begun() -> bool:
        assert pods.troubles == []
        assert command.is_alive, command.last_words
        return any(site["registry"]["last_sync"] for site in machines.lab().values())

    wait_until("a site that has synchronised", _PATIENCE, has_begun)
    victim = next(name for name in pods.alive() if name.startswith("onboard"))
    pods.kill(victim)
    assert command.process.wait(_PATIENCE) == 0, command.last_words

    words = "\n" + command.log.read_text()
    report = json.loads(words[words.index("\n{\n") :])
    assert {one["status"] for one in report["results"]} == {"done"}
    assert len(report["results"]) == SITES
    made = jobs(pods)
    assert len(made) == 3
    assert sum(bool(job.status.failed) for job in made) == 1
    assert all(job.spec.backoff_limit == 0 for job in made)
    runs = machines.ask("flow_runs", {"flow_runs": {"tags": {"all_": ["shard"]}}})
    assert sorted(run["state_type"] for run in runs) == ["COMPLETED", "COMPLETED", "CRASHED"]
    assert [run["name"].endswith(", again") for run in runs].count(True) == 1
    # Who may read Jobs need not know the login of the API.
    assert AUTH not in json.dumps([job.to_dict() for job in made], default=str)
