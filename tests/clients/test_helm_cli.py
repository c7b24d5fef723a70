"""How helm is run: what it is given, what it cannot see, and that it does not outlive us."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from clients.helm_cli import HelmCli
from fleet.cluster_errors import HelmMissingError
from fleet.host_errors import CommandTimedOutError

Program = Callable[[str], HelmCli]
KUBECONFIG, VALUES = SecretStr("kubeconfig-canary"), SecretStr("values-canary " * 100_000)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Make a program named helm out of a shell script and put it on PATH."""

    def make(script: str) -> HelmCli:
        path = tmp_path / "bin/helm"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
        return HelmCli()

    return make


def _run(helm: HelmCli, seconds: float = 20) -> tuple[int, str]:
    return helm.upgrade(lambda *paths: paths, KUBECONFIG, VALUES, seconds=seconds)


def test_helm_reads_both_texts_whole_and_as_often_as_it_likes(program: Program) -> None:
    helm = program('cat "$1" "$2" "$1" "$2" >&2; echo not shown; exit 3')
    told = KUBECONFIG.get_secret_value() + VALUES.get_secret_value()
    assert _run(helm) == (3, told * 2)


def test_helm_gets_no_other_file_of_ours(program: Program, tmp_path: Path) -> None:
    helm = program('for file in /proc/$$/fd/*; do readlink "$file" >&2; done; exit 0')
    with (tmp_path / "secret").open("w"):
        status, words = _run(helm)
    assert status == 0
    opened = Counter(re.sub(r":\[\d+\]", "", line) for line in words.splitlines())
    assert opened.pop("/memfd:acrfleet (deleted)") == len((KUBECONFIG, VALUES))
    assert set(opened) == {"/dev/null", "pipe", str(tmp_path / "bin/helm")}


def test_the_operators_settings_do_not_reach_helm_and_its_own_are_private(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = {"HELM_DRIVER": "sql", "HELM_DEBUG": "1", "KUBECONFIG": "/x", "DOCKER_CONFIG": "/x"}
    for key, value in foreign.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    _, words = _run(program('env >&2; mkdir -p "$HELM_CACHE_HOME"; touch "$HELM_CACHE_HOME/x"'))
    seen = dict(line.split("=", 1) for line in words.splitlines() if "=" in line)
    assert seen["HELM_DRIVER"] == "secret"
    assert "HELM_DEBUG" not in seen
    assert "KUBECONFIG" not in seen
    assert seen["HTTPS_PROXY"] == "http://proxy:3128"
    private = [seen[key] for key in ("HELM_CACHE_HOME", "KUBECACHEDIR", "DOCKER_CONFIG")]
    assert all("acrfleet-helm-" in path for path in private)
    assert not any(Path(path).exists() for path in private)


def test_a_helm_that_takes_too_long_is_interrupted_first(program: Program, tmp_path: Path) -> None:
    helm = program(f"trap 'touch {tmp_path}/interrupted; exit' TERM\nwhile :; do sleep 0.05; done")
    with pytest.raises(CommandTimedOutError, match="did not end"):
        _run(helm, seconds=3)
    assert (tmp_path / "interrupted").exists()


def test_a_missing_helm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for attempt in (HelmCli().read_version, lambda: _run(HelmCli())):
        with pytest.raises(HelmMissingError, match="no `helm` on this machine's PATH"):
            attempt()


def test_helm_dies_with_the_program_that_started_it(program: Program, tmp_path: Path) -> None:
    program(f"echo $$ > {tmp_path}/pid\nexec sleep 60")
    ours = (
        "from pydantic import SecretStr\nfrom clients.helm_cli import HelmCli\n"
        "HelmCli().upgrade(lambda *paths: paths, SecretStr('a'), SecretStr('b'))\n"
    )
    folder = Path(__file__).parents[2]
    started = subprocess.Popen([sys.executable, "-c", ours], cwd=folder)
    pid = int(_soon(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert _soon(lambda: not _is_running(pid))


def _soon(look: Callable[[], object]) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = look()
        if found:
            return str(found)
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def _is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
