"""How fresh the images at the sites are is found out digest by digest, and kept for status."""

import json
from base64 import b64decode
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prefect import flow
from prefect.settings import get_current_settings

from cli.main import main
from clients.fleet_files import read_fleet
from fleet.freshness import ImageState, SiteImages, find_holders
from fleet.results import FleetReport, Status
from lab.thread import LabThread
from tasks.history import read_history
from tasks.image_check import CloudTagLists, compare_images
from tasks.records import read_record
from tasks.sessions import open_site
from tasks.site_facts import find_site_registry
from tasks.site_images import read_images
from tasks.upstreams import open_upstreams
from tests.flows.lab_runs import (
    core_api,
    module_lab,
    onboard,
    read_secret,
    result_of,
    run,
    writes,
)
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.usefixtures("prefect_harness"),
]
NAVIGATION = "vessel/navigation"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, prefect_harness: None) -> Iterator[LabThread]:
    assert prefect_harness is None
    with module_lab(tmp_path_factory, sites=2, minute=0.2) as lab:
        path = lab.folder / "fleet.yaml"
        path.write_text(path.read_text().replace("fleet: lab", "fleet: lab-of-images"))
        assert not onboard(lab).having(Status.FAILED)
        yield lab


def check(lab: LabThread, *sites: str) -> FleetReport:
    from flows.check_images import check_images

    return run(check_images, lab, sites)


def images_at(lab: LabThread, site: str) -> SiteImages:
    found = read_images(read_fleet(lab.folder / "fleet.yaml").name, [site])[site]
    assert found is not None
    return found


def states(images: SiteImages) -> dict[str, str]:
    return {image.name: image.state.value for image in images.images}


def move_tags(lab: LabThread) -> tuple[str, str]:
    """Push 1.6.0, move 1.4.0 to it and delete 1.5.0; return the old digest of 1.4.0 and the new."""
    registry = lab.world.azure.registry("acrfleetlab")
    content = registry.repositories[NAVIGATION]
    old = content.tags["1.4.0"]
    new = lab.call(registry.add_image, NAVIGATION, "1.6.0").digest
    content.tags["1.4.0"] = new
    del content.tags["1.5.0"]
    copies = lab.world.sites["rotterdam"].edge
    wait_until(lambda: "1.5.0" not in copies.repositories[NAVIGATION].tags, 60)
    return old, new


def start_pod(lab: LabThread, digest: str) -> None:
    """Run a container of exactly that image at oslo, and wait until it runs."""
    image = f"acrfleetlab.azurecr.io/{NAVIGATION}@{digest}"
    container = {"name": "bridge", "image": image}
    body: dict[str, Any] = {"metadata": {"name": "bridge"}, "spec": {"containers": [container]}}
    with core_api(lab, "oslo") as core:
        core.create_namespaced_pod("default", body)
        read = partial(core.read_namespaced_pod, "bridge", "default")
        wait_until(lambda: read().status.phase == "Running", 60)


def test_images_are_compared_and_last_known_figures_stay_when_a_site_goes_away(
    lab: LabThread,
) -> None:
    before, record = len(writes(lab)), read_record("lab-of-images", "oslo")
    day = read_history("lab-of-images").days[-1]
    assert (day.statuses, day.compared) == ({"done": 2}, 0), "the onboarding has noted the day"
    assert [one.status for one in check(lab).results] == [Status.DONE, Status.DONE]
    assert set(states(images_at(lab, "oslo")).values()) == {"fresh"}

    lab.faults.add(part="registry", kind="skip", match="sync", site="oslo")
    old, new = move_tags(lab)
    start_pod(lab, old)
    report = check(lab)
    late = images_at(lab, "oslo")
    assert {name: state for name, state in states(late).items() if state != "fresh"} == {
        f"{NAVIGATION}:1.6.0": "missing",
        f"{NAVIGATION}:1.4.0": "behind",
        f"{NAVIGATION}:1.5.0": "gone",
    }
    assert result_of(report, "oslo").status is Status.DONE, "to be behind is no failure"
    assert "images behind, the oldest, vessel/navigation:1." in result_of(report, "oslo").message
    (moved,) = [one for one in late.images if one.name == f"{NAVIGATION}:1.4.0"]
    assert (moved.digest, moved.wanted) == (old, new)
    fresh = images_at(lab, "rotterdam")
    assert set(states(fresh).values()) == {"fresh"}
    (holder,) = find_holders([late, fresh], old)
    assert holder.site == "oslo"
    assert holder.held == (f"{NAVIGATION}:1.4.0",)
    assert holder.running == (f"acrfleetlab.azurecr.io/{NAVIGATION}@{old}",)

    lab.call(lab.world.set_offline, "oslo", True)
    away = result_of(check(lab, "oslo"), "oslo")
    assert away.status is Status.WAITING
    kept = images_at(lab, "oslo")
    assert (kept.images, kept.checked_at) == (late.images, late.checked_at)
    assert kept.failed_at is not None
    assert away.message == f"{kept.problem} Its last known figures stay."
    lab.call(lab.world.set_offline, "oslo", False)

    ours = "cluster oslo POST /api/v1/namespaces/default/pods"
    assert writes(lab)[before:] == [ours], "it writes nothing anywhere, only this test did"
    assert read_record("lab-of-images", "oslo") == record, "and leaves the site's record alone"


def test_what_was_found_is_in_status_in_the_ui_and_in_the_history(lab: LabThread) -> None:
    shown = CliRunner().invoke(main, ["status", str(lab.folder / "fleet.yaml"), "--images"])
    assert "2 of 2 sites compared, 1 of them behind" in shown.output
    (oslo,) = [line for line in shown.output.splitlines() if line.startswith("oslo")]
    assert "last known; " in oslo
    rows = {row["site"]: row for row in table_of(lab)}
    assert list(rows) == ["oslo", "rotterdam"], "what is behind stands first"
    assert (rows["oslo"]["behind"], rows["oslo"]["missing"], rows["oslo"]["gone"]) == (1, 1, 1)
    assert rows["oslo"]["note"].startswith("last known figures; ")
    day = read_history("lab-of-images").days[-1]
    assert (day.sites, day.statuses, day.compared, day.behind) == (2, {"done": 2}, 2, 1)
    assert day.images_behind == len(images_at(lab, "oslo").late) == 2


def table_of(lab: LabThread) -> list[dict[str, Any]]:
    from prefect.artifacts import Artifact

    found = Artifact.get("images-lab-of-images")
    assert found is not None
    rows: list[dict[str, Any]] = json.loads(str(found.data))
    return rows


def test_no_password_is_in_what_is_kept_shown_or_measured(lab: LabThread, tmp_path: Path) -> None:
    secrets = []
    for site in ("oslo", "rotterdam"):
        config = json.loads(b64decode(read_secret(lab, site)[".dockerconfigjson"]))
        secrets += [entry["password"] for entry in config["auths"].values()]
        chart = read_secret(lab, site, "connected-registry-connection", "connected-registry")
        text = "".join(b64decode(value).decode() for value in chart.values())
        secrets.append(text.split("SyncTokenPassword=")[1].split(";")[0])
    assert all(len(secret) > 12 for secret in secrets)
    fleet, told = str(lab.folder / "fleet.yaml"), [json.dumps(table_of(lab))]
    for number, command in enumerate(("report --html", "metrics --out")):
        verb, option = command.split()
        path = tmp_path / f"{number}.out"
        assert CliRunner().invoke(main, [verb, fleet, option, str(path)]).exit_code == 0
        told.append(path.read_text())
    shown = (("--images",), ("--images", "--json"), ("--json",))
    told += [CliRunner().invoke(main, ["status", fleet, *options]).output for options in shown]
    storage = Path(str(get_current_settings().results.local_storage_path))
    kept = [storage / f"{key}/lab-of-images" for key in ("images", "sites")]
    files = [path for folder in kept for path in folder.iterdir()]
    files.append(storage / "history/lab-of-images.json")
    told += [path.read_text() for path in files]
    assert len(files) == 5
    assert all(len(text) > 100 for text in told)
    assert [secret for secret in secrets for text in told if secret in text] == []
    assert ImageState.BEHIND.value in told[0]


def test_a_site_that_knows_more_than_an_earlier_reading_is_not_called_behind(
    lab: LabThread,
) -> None:
    """A run over a fleet takes hours; tags move meanwhile."""
    fleet, lists = read_fleet(lab.folder / "fleet.yaml"), CloudTagLists()
    site = fleet.sites[-1]

    @flow(persist_result=False)
    def look_twice() -> SiteImages:
        with open_upstreams(fleet, [site]) as upstreams:
            cloud = upstreams.of(site).cloud
            move_tag(lab, site.name, lists.of(cloud, NAVIGATION).tags[0].tag)
            with open_site(site, cloud) as session:
                endpoint = find_site_registry(session)
                return compare_images(session, endpoint, lists, (NAVIGATION,), 5)

    seen = look_twice()
    assert {image.state.value for image in seen.images} == {"fresh"}, seen.images


def move_tag(lab: LabThread, site: str, tag: str) -> None:
    """Push an image, move a tag to it, and wait until a site has both."""
    registry = lab.world.azure.registry("acrfleetlab")
    new = lab.call(registry.add_image, NAVIGATION, "9.0.0").digest
    registry.repositories[NAVIGATION].tags[tag] = new

    def held() -> dict[str, str]:
        return dict(lab.world.sites[site].edge.repositories[NAVIGATION].tags)

    wait_until(lambda: held().get("9.0.0") == held().get(tag) == new, 60)
