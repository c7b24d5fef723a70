"""Onboarding where helm on this machine installs the chart: to the end, and killed in between."""

import os
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleet.results import FleetReport, Status
from lab.thread import LabThread
from tests.chart_registry import chart_registry
from tests.flows.lab_runs import (
    change_fleet,
    onboard,
    read_secret,
    result_of,
    running_lab,
    writes,
)
from tests.flows.plans import plan, site_plan
from tests.flows.processes import environment, kill_when, start, writes_reach
from tests.flows.test_canaries import ArgumentWatch
from tests.helm_programs import HELM_3, helm_folder

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(150),
    pytest.mark.usefixtures("prefect_harness"),
]
NAMESPACE = "connected-registry"


@pytest.fixture(params=[("k3s", "helm")])
def lab(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LabThread]:
    distribution, installer = request.param
    with running_lab(tmp_path / "lab", monkeypatch, sites=1, distribution=distribution) as lab:
        context = lab.world.authority.server_context(["127.0.0.1"])
        with chart_registry(context, ("0.4.0",)) as reference:
            chart = {"version": "0.4.0", "reference": reference, "installer": installer}
            change_fleet(lab, chart=chart)
            monkeypatch.setenv("PATH", f"{helm_folder(HELM_3)}:{os.environ['PATH']}")
            monkeypatch.setenv("SSL_CERT_FILE", str(lab.world.authority.ca_file))
            yield lab


def _details(report: FleetReport) -> list[str]:
    outcomes = result_of(report, "oslo").outcomes
    return [str(outcome) for outcome in outcomes if outcome.kind == "Helm release"]


def _needles(lab: LabThread) -> set[bytes]:
    data = read_secret(lab, "oslo", "connected-registry-connection", NAMESPACE)
    text = b64decode(data["values.yaml"]).decode()
    password = text.split("SyncTokenPassword=")[1].split(";")[0].encode()
    return {password, b64encode(password)[:-4]}


def _helms() -> list[Path]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"helm\0upgrade\0connected-registry\0" in entry.read_bytes():
                found.append(entry)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("lab", [("k3s", "helm"), ("containerd", "auto")], indirect=True)
def test_a_site_is_onboarded_with_helm_and_then_at_rest(lab: LabThread) -> None:
    report = onboard(lab)
    assert result_of(report, "oslo").status is Status.DONE, result_of(report, "oslo").message
    assert _details(report) == ["Helm release connected-registry: created (chart 0.4.0)"]
    before = writes(lab)
    again = onboard(lab)
    assert result_of(again, "oslo").changes == 0
    assert plan(lab).is_empty
    change_fleet(lab, "oslo", chart={"chunk_size_mb": 7})
    (release,) = site_plan(plan(lab), "oslo").changes
    assert (release.kind, release.detail) == ("Helm release", "sync")
    assert "+  chunkSizeInMb: 7" in release.diff
    assert "SyncTokenPassword" not in str(release)
    assert writes(lab) == before


def test_a_change_of_the_release_waits_for_the_window(lab: LabThread) -> None:
    assert result_of(onboard(lab), "oslo").status is Status.DONE
    opens = datetime.now(UTC) + timedelta(hours=6)
    closed = {"cron": f"0 {opens.hour} * * *", "length": "2h"}
    change_fleet(lab, "oslo", chart={"chunk_size_mb": 7}, maintenance=closed)
    before = writes(lab)
    held = result_of(onboard(lab), "oslo")
    assert (held.status, held.error) == (Status.WAITING, "WindowClosedError"), held
    assert "the chart's change (sync) restarts the site's registry" in held.message
    assert [line for line in writes(lab)[len(before) :] if "helm.release" in line] == []
    report = onboard(lab, ignore_windows=True)
    assert result_of(report, "oslo").status is Status.DONE, result_of(report, "oslo").message
    assert _details(report) == ["Helm release connected-registry: changed (sync)"]


def test_a_run_that_is_killed_with_its_helm_leaves_no_secret_and_is_taken_up(
    lab: LabThread, tmp_path: Path
) -> None:
    folders = {name: tmp_path / name for name in ("HOME", "TMPDIR")}
    for folder in folders.values():
        folder.mkdir()
    deployments = f"POST /apis/apps/v1/namespaces/{NAMESPACE}/deployments"
    lab.faults.add(part="cluster", kind="hang", match=deployments)
    watch = ArgumentWatch("cmdline", "environ")
    watch.start()
    env = environment(lab, **{name: str(folder) for name, folder in folders.items()})
    process = start(["onboard", str(lab.folder / "fleet.yaml"), "--verbose"], env)
    code, output = kill_when(process, _pvc_made(lab))
    assert code is None, output.decode()
    deadline = time.monotonic() + 10
    while _helms():
        assert time.monotonic() < deadline, "helm outlived the run that started it"
        time.sleep(0.05)
    needles, seen = _needles(lab), watch.end()
    assert any(b"helm\0upgrade\0" in line for line in seen)
    assert [line for line in seen if any(needle in line for needle in needles)] == []
    files = [path for folder in folders.values() for path in folder.rglob("*") if path.is_file()]
    leaks = [path for path in files if any(needle in path.read_bytes() for needle in needles)]
    assert leaks == []
    assert not any(needle in output for needle in needles)

    lab.faults.clear()
    report = onboard(lab)
    assert result_of(report, "oslo").status is Status.DONE, result_of(report, "oslo").message
    told = ["Helm release connected-registry: changed (again after pending-install)"]
    assert _details(report) == told
    assert result_of(onboard(lab), "oslo").changes == 0


def _pvc_made(lab: LabThread) -> Callable[[], bool]:
    """Return a check whether a helm that runs has made its volume claim."""
    has_more = writes_reach(lab, 1)
    made = False

    def is_time() -> bool:
        nonlocal made
        made = made or (
            has_more() and any("persistentvolumeclaims" in line for line in writes(lab))
        )
        return made and bool(_helms())

    return is_time
