"""`acrfleet adopt` as an operator sees it: the table, the lines to copy, the exit codes."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lab.thread import LabThread
from tests.flows.lab_runs import change_fleet, module_lab, writes
from tests.flows.processes import environment
from tests.flows.scripted_site import ADDRESS, PULL_SECRET, ScriptedSite, a_scripted_site

pytestmark = [pytest.mark.slow, pytest.mark.flow, pytest.mark.lab, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def scripted(
    tmp_path_factory: pytest.TempPathFactory, prefect_harness: None
) -> Iterator[ScriptedSite]:
    assert prefect_harness is None
    with (
        module_lab(tmp_path_factory, sites=1) as lab,
        a_scripted_site(lab, "oslo") as site,
    ):
        site.make_access()
        site.make_passwords()
        site.apply_chart()
        site.wait_for_state("Online")
        site.make_pull_secret(site.client_passwords["password1"])
        site.write_mirrors()
        yield site


def run(lab: LabThread, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli", "adopt", str(lab.folder / "fleet.yaml"), *arguments],
        env=environment(lab),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_exit_code_of_a_dry_run_says_whether_anything_is_left_to_do(
    scripted: ScriptedSite,
) -> None:
    lab = scripted.lab
    before = len(writes(lab))
    unknown = run(lab, "osl", "--dry-run")
    assert (unknown.returncode, "did you mean oslo" in unknown.stderr) == (2, True)

    unnamed = run(lab, "oslo", "--dry-run")
    assert unnamed.returncode == 1, unnamed.stderr
    assert f"      connected_registry: {scripted.name}\n" in unnamed.stdout
    assert "in the way" in unnamed.stdout
    assert "nothing was written" in unnamed.stdout

    change_fleet(
        lab,
        "oslo",
        names=scripted.names,
        chart={"version": "0.4.0", "service": {"cluster_ip": ADDRESS}},
        pull_secrets={"name": PULL_SECRET},
    )
    due = run(lab, "oslo", "--dry-run")
    assert due.returncode == 2, due.stderr
    assert "adopted as it is" in due.stdout
    assert f"pull secret default/{PULL_SECRET}" in due.stdout
    assert writes(lab)[before:] == []

    done = run(lab, "oslo", "--json")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["status"] == "done"
    assert result["outcomes"]

    settled = run(lab, "oslo", "--dry-run")
    assert settled.returncode == 0, settled.stdout
    for password in (scripted.sync_password, *scripted.client_passwords.values()):
        for ended in (unnamed, due, done, settled):
            assert password not in ended.stdout + ended.stderr
