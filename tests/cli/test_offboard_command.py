"""`acrfleet offboard` asks before it removes anything, and removes what it showed."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from cli.main import main
from lab.thread import LabThread
from tests.flows.lab_runs import module_lab, writes
from tests.flows.nested import cloud_registry
from tests.flows.processes import environment


def test_sites_have_to_be_named_and_known(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("fleet") / "fleet.yaml"
    path.write_text("fleet: [")
    nobody = CliRunner().invoke(main, ["offboard", str(path)])
    assert nobody.exit_code == 2
    assert "name sites: SITE, --site, --tag or --label" in nobody.output
    assert CliRunner().invoke(main, ["offboard", str(path), "oslo"]).exit_code == 2


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, prefect_harness: None) -> Iterator[LabThread]:
    assert prefect_harness is None
    with module_lab(tmp_path_factory, sites=2) as lab:
        path = lab.folder / "fleet.yaml"
        path.write_text(path.read_text().replace("fleet: lab", "fleet: lab-of-offboarding"))
        ended = run(lab, "onboard", str(path))
        assert ended.returncode == 0, ended.stderr
        yield lab


def run(lab: LabThread, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        env=environment(lab),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def answer(lab: LabThread, word: str) -> tuple[int, str]:
    """Run it on a terminal, wait for the question and type a word."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "offboard", str(lab.folder / "fleet.yaml"), "oslo"],
        env=environment(lab),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        close_fds=True,
    )
    os.close(theirs)
    seen, asked = b"", False
    while True:
        try:
            seen += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not asked and b"[y/N]" in seen:
            os.write(ours, f"{word}\n".encode())
            asked = True
    os.close(ours)
    assert asked, seen.decode()
    return process.wait(60), seen.decode()


@pytest.mark.slow
@pytest.mark.flow
@pytest.mark.lab
@pytest.mark.timeout(300)
def test_nothing_goes_without_a_yes_and_then_everything_that_was_shown(lab: LabThread) -> None:
    path, before = str(lab.folder / "fleet.yaml"), len(writes(lab))
    nobody = run(lab, "offboard", path, "oslo")
    assert nobody.returncode == 2, nobody.stderr
    assert "run it with --yes" in nobody.stderr
    assert "- HelmChart connected-registry/connected-registry" in nobody.stdout
    code, seen = answer(lab, "n")
    assert code == 2
    assert "nothing was removed" in seen
    assert writes(lab)[before:] == []
    code, seen = answer(lab, "y")
    assert code == 0, seen
    assert "removed" in seen.splitlines()[-2]
    assert len(cloud_registry(lab).connected) == 1
    again = run(lab, "offboard", path, "oslo", "--yes", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["results"][0]["message"] == "nothing to remove"


@pytest.mark.slow
@pytest.mark.flow
@pytest.mark.lab
@pytest.mark.timeout(300)
def test_a_site_that_does_not_answer_is_named_and_stops_no_other(lab: LabThread) -> None:
    lab.call(lab.world.set_offline, "oslo", True)
    path = str(lab.folder / "fleet.yaml")
    ended = run(lab, "offboard", path, "oslo", "rotterdam", "--yes")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "1 site failed: SiteNotReachedError: oslo" in ended.stdout
    assert cloud_registry(lab).connected == {}
