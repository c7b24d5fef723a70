"""`acrfleet deploy` against a Prefect server: schedules and forms arrive, twice is once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.settings import get_current_settings

ROOT = Path(__file__).parents[2]


def deploy(
    *arguments: str, url: str = "", folder: Path = ROOT
) -> "subprocess.CompletedProcess[str]":
    settings = get_current_settings()
    env = os.environ | {"PREFECT_HOME": str(settings.home), "PYTHONPATH": str(ROOT)}
    env |= {"PREFECT_API_URL": url} if url else {}
    return subprocess.run(
        [sys.executable, "-m", "cli", "deploy", *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_without_a_server_it_says_what_to_start() -> None:
    ended = deploy()
    assert ended.returncode == 2
    assert "prefect server start" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_named() -> None:
    ended = deploy(url="http://me:canary@127.0.0.1:9/api")
    assert ended.returncode == 2
    assert "http://127.0.0.1:9/api does not answer" in ended.stderr
    assert "canary" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_outside_of_the_project_folder_it_says_where_to_run(tmp_path: Path) -> None:
    ended = deploy(folder=tmp_path)
    assert ended.returncode == 2
    assert "Run `acrfleet deploy` in the project folder" in ended.stderr


def _deployments(pool: str) -> dict[str, Any]:
    from prefect.client.orchestration import get_client

    query = {"work_pools": {"name": {"any_": [pool]}}}
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/deployments/filter", json=query).json()
    return {f"{one['entrypoint']}/{one['name']}": one for one in found}


@pytest.mark.slow
@pytest.mark.flow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("prefect_harness")
def test_every_deployment_arrives_once_with_schedule_limit_and_form() -> None:
    url, pool = str(get_current_settings().api.url), f"edge-{uuid4().hex[:6]}"
    missing = deploy("--pool", pool, url=url)
    assert missing.returncode == 2
    assert f"prefect work-pool create {pool} --type process" in missing.stderr
    arguments = ("--pool", pool, "--create-pool", "--fleet-file", "/etc/fleet.yaml")
    first = deploy(*arguments, url=url)
    assert first.returncode == 0, first.stdout + first.stderr
    assert f"work pool {pool}: created" in first.stdout
    before = _deployments(pool)
    wanted = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())["deployments"]
    assert before.keys() == {f"{entry['entrypoint']}/{entry['name']}" for entry in wanted}
    for entry in wanted:
        found = before[f"{entry['entrypoint']}/{entry['name']}"]
        assert found["parameters"]["fleet_file"] == "/etc/fleet.yaml"
        assert found["global_concurrency_limit"]["limit"] == entry["concurrency_limit"]["limit"]
        assert found["enforce_parameter_schema"] is True
        assert "description" in found["parameter_openapi_schema"]["properties"]["fleet_file"]
        crons = [one["schedule"]["cron"] for one in found["schedules"]]
        assert crons == [one["cron"] for one in entry.get("schedules", ())]
    second = deploy(*arguments, url=url)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "created" not in second.stdout
    after = _deployments(pool)
    assert {key: one["id"] for key, one in after.items()} == {
        key: one["id"] for key, one in before.items()
    }
    assert [len(one["schedules"]) for one in after.values()] == [
        len(one["schedules"]) for one in before.values()
    ]
