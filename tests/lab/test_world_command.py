"""`python -m lab up` as a user runs it."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from fleet.fleet_file import parse_fleet
from lab.__main__ import main

pytestmark = pytest.mark.lab
ROOT = Path(__file__).parents[2]


@contextmanager
def running(*arguments):
    """Start the command in a session of its own; yield the process and what it printed."""
    command = [sys.executable, "-W", "error", "-m", "lab", "up", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "control:" in line:
                break
        yield process, "".join(lines)
    finally:
        process.kill()
        process.communicate()


def members_of(session):
    """Return the processes whose session is `session`."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_writes_its_files_says_ready_and_ends_cleanly(tmp_path, number):
    folder = tmp_path / "lab"
    with running("--dir", folder, "--sites", 2) as (process, printed):
        assert "ready" in printed
        assert str(folder) in printed
        names = {path.name for path in folder.iterdir()}
        assert {"fleet.yaml", "lab.json", "env.sh", "audit.jsonl"} <= names
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
        assert members_of(process.pid) == []
    assert {path.name for path in folder.iterdir()} >= {"fleet.yaml", "lab.json", "env.sh"}


def test_stop_by_remote_control_ends_it_too(tmp_path):
    with running("--dir", tmp_path / "lab", "--sites", 1) as (process, _):
        info = json.loads((tmp_path / "lab/lab.json").read_text())
        httpx.post(f"{info['control']}/stop")
        assert process.wait(20) == 0


def test_its_files_describe_it_and_only_private_ones_hold_secrets(tmp_path):
    folder = tmp_path / "lab"
    with running("--dir", folder, "--sites", 3):
        info = json.loads((folder / "lab.json").read_text())
        fleet = parse_fleet((folder / "fleet.yaml").read_text(), "fleet.yaml")
        assert [site.name for site in fleet.sites] == ["oslo", "rotterdam", "singapore"]
        assert [node.role for node in fleet.sites[1].nodes] == ["server", "agent", "agent"]
        registry = fleet.registries[info["registries"][0]["name"]]
        assert registry.cloud.resource_manager == info["azure"]["resource_manager"]
        secret = info["azure"]["client_secret"]
        assert secret not in (folder / "fleet.yaml").read_text()
        for name in ("lab.json", "env.sh"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        script = f". {folder}/env.sh && printf '%s %s' $AZURE_CLIENT_SECRET $AZURE_AUTHORITY_HOST"
        shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
        assert shell.stdout == f"{secret} {info['azure']['authority']}"


def test_a_second_start_in_the_same_folder_replaces_the_first(tmp_path):
    folder = tmp_path / "lab"
    with running("--dir", folder, "--sites", 2) as (process, _):
        process.send_signal(signal.SIGINT)
        process.wait(20)
    with running("--dir", folder, "--sites", 1):
        assert len(json.loads((folder / "lab.json").read_text())["sites"]) == 1
        assert [path.name for path in (folder / "hosts").iterdir()] == ["oslo"]


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(["up", "--dir", str(tmp_path)]) == 1
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_wrong_options_are_one_line_and_no_traceback(tmp_path, capsys):
    assert main(["up", "--dir", str(tmp_path / "lab"), "--latency", "dial-up"]) == 1
    assert capsys.readouterr().err.startswith("lab: latency 'dial-up' is neither")
    faults = tmp_path / "faults.yaml"
    faults.write_text("- {part: azure, kind: status, stauts: 429}\n")
    assert main(["up", "--dir", str(tmp_path / "lab"), "--faults", str(faults)]) == 1
    assert "stauts" in capsys.readouterr().err


def test_three_sites_are_ready_within_seconds(tmp_path):
    started = time.monotonic()
    with running("--dir", tmp_path / "lab") as (_, printed):
        took = time.monotonic() - started
    assert "ready" in printed
    assert took < 3 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)) + 3
