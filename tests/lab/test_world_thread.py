"""What a lab leaves behind, how slow it can be, and how it fails."""

import gc
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from lab.latency import Latency
from lab.thread import LabThread
from tests.lab.world_clients import arm, kubernetes, wait

pytestmark = pytest.mark.lab
ROOT = Path(__file__).parents[2]


def what_is_open():
    gc.collect()
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), children()


def children():
    return subprocess.run(
        ["ps", "--no-headers", "-o", "args", "--ppid", str(os.getpid())],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.count("launcher")


def test_a_lab_that_ended_leaves_no_thread_no_file_and_no_process(tmp_path):
    with LabThread(folder=tmp_path / "first", sites=1):
        pass
    before = what_is_open()
    with LabThread(folder=tmp_path / "second", sites=2) as lab:
        with arm(lab.info) as azure:
            azure.token("somebody", ["repositories/vessel/navigation/content/read"])
        with kubernetes(lab.info["sites"][1]) as api:
            assert api.get("/api/v1/nodes").status_code == 200
    assert_nothing_new_is_open(before)


def test_a_lab_that_cannot_start_leaves_nothing_either(tmp_path):
    with LabThread(folder=tmp_path / "first", sites=1):
        pass
    before = what_is_open()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "lab", "up", "--dir", str(tmp_path / "lab")]
        failed = subprocess.run(
            [*command, "--port", str(port)],
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert failed.returncode == 1
        assert failed.stderr.startswith("lab: ")
        assert failed.stderr.count("\n") == 1
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"), LabThread(folder=tmp_path):
        pass
    assert_nothing_new_is_open(before)


def test_a_test_that_fails_inside_a_lab_still_ends_it(tmp_path):
    lab = LabThread(folder=tmp_path / "lab", sites=1)
    with pytest.raises(ZeroDivisionError), lab:
        raise ZeroDivisionError
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{lab.info['control']}/state")


def test_killing_a_lab_leaves_no_process_of_its_hosts(tmp_path):
    folder = tmp_path / "lab"
    command = [sys.executable, "-m", "lab", "up", "--sites", "1", "--dir", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        while "control:" not in process.stdout.readline():
            pass
        started = helpers_of(process.pid)
        assert started
    finally:
        process.kill()
        process.communicate()
    wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))


def helpers_of(pid):
    listing = subprocess.run(
        ["ps", "--no-headers", "-o", "pid", "--ppid", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return listing.stdout.split()


def test_the_latency_of_azure_survives_the_clearing_of_faults(tmp_path):
    with (
        LabThread(folder=tmp_path / "lab", sites=1, latency=Latency(arm_ms=300)) as lab,
        arm(lab.info) as azure,
    ):
        httpx.delete(f"{lab.info['control']}/faults").raise_for_status()
        started = time.monotonic()
        azure.call("GET", "tokens")
        assert time.monotonic() - started >= 0.3


def test_the_latency_of_a_link_delays_every_answer_of_a_host(tmp_path):
    with LabThread(folder=tmp_path / "lab", sites=1, latency=Latency(ssh_rtt_ms=400)) as lab:
        node = json.loads((lab.folder / "lab.json").read_text())["sites"][0]["nodes"][0]
        started = time.monotonic()
        with socket.create_connection((node["host"], node["port"]), timeout=5) as link:
            link.sendall(b"SSH-2.0-test\r\n")
            assert link.recv(4) == b"SSH-"
            assert link.recv(65536)
        assert time.monotonic() - started >= 0.2


@pytest.mark.slow
def test_a_hundred_sites_are_ready_within_fifteen_seconds_and_use_two_registries(tmp_path):
    started = time.monotonic()
    with LabThread(folder=tmp_path / "lab", sites=100) as lab:
        assert time.monotonic() - started < 15
        assert len(lab.info["registries"]) == 2
        assert len({site["name"] for site in lab.info["sites"]}) == 100
        ports = [node["port"] for site in lab.info["sites"] for node in site["nodes"]]
        assert len(set(ports)) == 102


def assert_nothing_new_is_open(before):
    """What other tests of this process let go meanwhile is no concern of ours."""
    assert all(now <= then for now, then in zip(what_is_open(), before, strict=True))
