"""Nothing is restarted at the wrong time: outside of the window, or while images come in."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from clients.fleet_files import read_fleet
from fleet.results import SiteResult, Status
from flows.offboard import offboard_sites
from flows.rotate import rotate_tokens
from lab.thread import LabThread
from tasks.records import read_record
from tasks.sessions import open_nodes
from tests.flows.lab_runs import (
    change_fleet,
    host_file,
    module_lab,
    onboard,
    read_secret,
    result_of,
    run,
)
from tests.flows.nested import cloud_registry

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("prefect_harness"),
]
NODE, REGISTRIES = "oslo-server-1", "/etc/rancher/k3s/registries.yaml"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabThread]:
    with module_lab(tmp_path_factory, sites=1) as lab:
        path = lab.folder / "fleet.yaml"
        path.write_text(path.read_text().replace("fleet: lab", "fleet: lab-of-windows"))
        change_fleet(lab, host={"restart": "always"})
        yield lab


def window(opens: datetime, length: str = "2h") -> dict[str, Any]:
    """Return a window that opens each day at an hour's full ten minutes."""
    return {"cron": f"{opens.minute // 10 * 10} {opens.hour} * * *", "length": length}


def oslo(lab: LabThread, **more: Any) -> SiteResult:
    return result_of(onboard(lab, "oslo", **more), "oslo")


def test_outside_of_its_window_a_site_gets_all_that_needs_no_restart(lab: LabThread) -> None:
    opens = datetime.now(UTC) + timedelta(hours=6)
    change_fleet(lab, maintenance=window(opens))
    result = oslo(lab)
    assert result.status is Status.WAITING
    assert result.error == "WindowClosedError"
    assert f"{NODE}: k3s must be restarted, because {REGISTRIES} changes" in result.message
    assert f"{opens:%a %Y-%m-%d %H}:{opens.minute // 10}0 UTC" in result.message
    assert not host_file(lab, NODE, REGISTRIES).exists()
    assert read_secret(lab, "oslo")
    assert {outcome.kind for outcome in result.outcomes if outcome.is_change} >= {
        "connected registry",
        "HelmChart",
        "pull secret",
    }
    record = read_record("lab-of-windows", "oslo")
    assert record is not None
    assert (record.last_status, record.onboarded_at) == (Status.WAITING, None)


def test_a_node_that_downloads_an_image_is_not_restarted(lab: LabThread) -> None:
    change_fleet(lab, maintenance=None, patience={"quiet": "2s"})
    lab.faults.add(part="hosts", kind="hang", site="oslo", match="pull slow*")
    site = read_fleet(lab.folder / "fleet.yaml").sites[0]
    with open_nodes(site) as nodes, open_nodes(site) as others:
        arguments = (["slow.example/app:1"], "", SecretStr(""))
        pull = threading.Thread(target=nodes[NODE].pull_images, args=arguments)
        pull.start()
        held = oslo(lab)
        before = others[NODE].read_service("k3s")
        others[NODE].restart("k3s", before.entered)  # which ends the download
        pull.join()
    assert held.error == "NodeBusyError"
    assert f"{NODE}: k3s must be restarted" in held.message
    assert "it downloads 1 part of images" in held.message
    assert not host_file(lab, NODE, REGISTRIES).exists()
    change_fleet(lab, patience={"quiet": "1m"})
    result = oslo(lab)
    assert result.status is Status.DONE, result.message
    assert host_file(lab, NODE, REGISTRIES).exists()


def test_the_chart_waits_for_the_window_unless_an_operator_says_otherwise(lab: LabThread) -> None:
    change_fleet(lab, maintenance=None, host={"restart": "auto"})
    assert oslo(lab).status is Status.DONE
    known = read_record("lab-of-windows", "oslo")
    assert known is not None
    content = yaml.safe_load((lab.folder / "fleet.yaml").read_text())
    chart = {**content["defaults"]["chart"], "extra_values": {"resources": {"limits": {"cpu": 1}}}}
    closed = window(datetime.now(UTC) + timedelta(hours=6))
    change_fleet(lab, maintenance=closed, chart=chart)
    held = oslo(lab)
    assert held.status is Status.WAITING
    assert "the chart's change (resources) restarts the site's registry" in held.message
    assert not any(outcome.is_change for outcome in held.outcomes)
    record = read_record("lab-of-windows", "oslo")
    assert record is not None
    assert record.evidence is not None
    assert known.evidence is not None
    assert record.evidence.time > known.evidence.time
    done = oslo(lab, ignore_windows=True)
    assert done.status is Status.DONE, done.message
    assert "HelmChart" in {outcome.kind for outcome in done.outcomes if outcome.is_change}
    opened = datetime.now(UTC) - timedelta(minutes=30)
    change_fleet(lab, maintenance=window(opened))
    assert oslo(lab).status is Status.DONE


def test_outside_of_the_window_only_the_password_that_restarts_something_waits(
    lab: LabThread,
) -> None:
    change_fleet(lab, maintenance=None, host={"restart": "auto"})
    assert oslo(lab).status is Status.DONE
    change_fleet(lab, maintenance=window(datetime.now(UTC) + timedelta(hours=6)))
    result = result_of(run(rotate_tokens, lab, ["oslo"], now=True), "oslo")
    assert result.status is Status.WAITING
    assert "a new one restarts the site's registry; it waits: the maintenance" in result.message
    changed = {outcome.name for outcome in result.outcomes if outcome.is_change}
    assert any(name.endswith("-client") for name in changed), changed
    assert not any(name.endswith("-sync") for name in changed), changed


def test_a_site_is_not_taken_away_outside_of_its_window_where_that_restarts_something(
    lab: LabThread,
) -> None:
    """The last test: the site is gone afterwards."""
    change_fleet(lab, maintenance=None, host={"restart": "always"})
    assert oslo(lab).status is Status.DONE
    change_fleet(lab, maintenance=window(datetime.now(UTC) + timedelta(hours=6)))
    before = set(tokens_of(lab))
    held = result_of(run(offboard_sites, lab, ["oslo"], approved=["*"]), "oslo")
    assert (held.status, held.error) == (Status.WAITING, "WindowClosedError"), held
    assert f"{NODE}: k3s must be restarted, because the fleet file says" in held.message
    assert set(tokens_of(lab)) == before
    assert host_file(lab, NODE, REGISTRIES).exists()
    gone = run(offboard_sites, lab, ["oslo"], approved=["*"], ignore_windows=True)
    assert result_of(gone, "oslo").status is Status.DONE, gone.results
    assert tokens_of(lab) == []


def tokens_of(lab: LabThread) -> list[str]:
    return [name for name in cloud_registry(lab).tokens if name.startswith("oslo")]
