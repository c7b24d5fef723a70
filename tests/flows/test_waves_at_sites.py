"""Waves at lab sites: a canary that fails keeps the others safe, and the run is taken up again."""

from pathlib import Path

import pytest
import yaml

from fleet.results import Status
from lab.thread import LabThread
from tests.flows.lab_runs import onboard, running_lab, writes

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("prefect_harness"),
]


def go_in_waves(lab: LabThread) -> None:
    path = lab.folder / "fleet.yaml"
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**content, "waves": {"canaries": ["rotterdam"]}}))


def break_key(lab: LabThread, site: str) -> bytes:
    """Make a site's host keys unknown, which fails at once; return how they were."""
    known = known_hosts(lab, site)
    before = known.read_bytes()
    known.write_text("")
    return before


def known_hosts(lab: LabThread, site: str) -> Path:
    entry = next(one for one in lab.info["sites"] if one["name"] == site)
    return Path(entry["nodes"][0]["known_hosts"])


def test_a_failed_canary_stops_the_run_and_it_is_resumed_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_lab(tmp_path / "lab", monkeypatch, sites=2) as lab:
        go_in_waves(lab)
        keys = {site: break_key(lab, site) for site in ("oslo", "rotterdam")}
        report = onboard(lab)
        assert {one.site: one.status for one in report.results} == {
            "rotterdam": Status.FAILED,
            "oslo": Status.NOT_STARTED,
        }
        assert report.results[1].message.startswith("wave 2 was not begun: 1 of 1 sites failed")
        assert writes(lab) == []

        known_hosts(lab, "rotterdam").write_bytes(keys["rotterdam"])
        report = onboard(lab, resume=True)
        assert {one.site: one.status for one in report.results} == {
            "rotterdam": Status.DONE,
            "oslo": Status.FAILED,
        }

        known_hosts(lab, "oslo").write_bytes(keys["oslo"])
        before = len(writes(lab))
        report = onboard(lab, resume=True)
        assert {one.site: one.status for one in report.results} == {
            "rotterdam": Status.SKIPPED,
            "oslo": Status.DONE,
        }
        assert not [line for line in writes(lab)[before:] if " rotterdam " in line]
