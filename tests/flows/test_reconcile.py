"""Sites drift away from the fleet file; reconciling reports it, and mends what it may."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from fleet.outcomes import Action
from fleet.results import SiteResult, Status
from flows.reconcile import reconcile_fleet
from lab.thread import LabThread
from tests.flows.lab_runs import (
    change_fleet,
    core_api,
    host_file,
    module_lab,
    onboard,
    result_of,
    run,
    writes,
)

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("prefect_harness"),
]

NODE = "oslo-server-1"
REGISTRIES = "/etc/rancher/k3s/registries.yaml"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabThread]:
    with module_lab(tmp_path_factory, sites=2) as lab:
        yield lab


@pytest.fixture(scope="module", autouse=True)
def _onboarded(lab: LabThread, prefect_harness: None) -> None:
    change_fleet(lab, "oslo", pull_secrets={"expires_after": "90d"})
    assert onboard(lab, "oslo").results[0].status is Status.DONE


def reconcile(lab: LabThread, site: str = "oslo") -> SiteResult:
    return run(reconcile_fleet, lab, [site]).results[0]


def drifted(result: SiteResult) -> set[str]:
    due = (Action.TO_CHANGE, Action.TO_DELETE)
    return {f"{one.kind} {one.name}" for one in result.outcomes if one.action in due}


def let_it_drift(lab: LabThread) -> None:
    """Do what people and other programs do at a site and in Azure in the course of a month."""
    registry = lab.world.azure.registry("acrfleetlab")
    lab.call(registry.add_image, "vessel/ballast", "1.0.0")
    mirrors = host_file(lab, NODE, REGISTRIES)
    content = yaml.safe_load(mirrors.read_text())
    content["mirrors"].pop(registry.login_server)
    mirrors.write_text(yaml.safe_dump(content))
    with core_api(lab, "oslo") as core:
        core.delete_namespaced_secret("acrfleet-pull", "default")
        core.create_node({"metadata": {"name": "oslo-agent-9"}})
    change_fleet(lab, "oslo", chart={"chunk_size_mb": 7})


def test_a_site_as_the_fleet_file_says_has_no_drift_and_is_not_written_to(lab: LabThread) -> None:
    before = len(writes(lab))
    result = reconcile(lab)
    assert (result.status, result.message, result.outcomes) == (Status.DONE, "no drift", ())
    assert writes(lab)[before:] == []


def test_a_site_that_was_never_onboarded_is_not_adrift(lab: LabThread) -> None:
    before = len(writes(lab))
    result = reconcile(lab, "rotterdam")
    assert (result.status, result.message) == (Status.DONE, "not onboarded yet")
    assert writes(lab)[before:] == []


def test_one_that_does_not_even_answer_is_not_adrift_either(lab: LabThread) -> None:
    lab.call(lab.world.set_offline, "rotterdam", True)
    result = reconcile(lab, "rotterdam")
    lab.call(lab.world.set_offline, "rotterdam", False)
    assert result.status is Status.DONE
    assert result.message == "not onboarded yet, and it does not answer"


def test_drift_of_every_kind_is_named_and_mended_only_where_allowed(lab: LabThread) -> None:
    let_it_drift(lab)
    before = len(writes(lab))
    found = reconcile(lab)
    assert found.status is Status.DONE, found.message
    assert {name.split(" oslo")[0] for name in drifted(found)} >= {"scope map", "node"}
    named = " ".join(drifted(found))
    for what in (REGISTRIES, "pull secret", "HelmChart", "oslo-agent-9", "-client-map"):
        assert what in named, named
    assert writes(lab)[before:] == []

    change_fleet(lab, "oslo", reconcile={"mend": ["scope_maps", "pull_secrets", "passwords"]})
    before = len(writes(lab))
    mended = reconcile(lab)
    assert mended.status is Status.DONE, mended.message
    left = " ".join(drifted(mended))
    assert "HelmChart" in left
    assert REGISTRIES in left
    assert "pull secret" not in left
    assert "scope map" not in left
    written = writes(lab)[before:]
    assert {line.split()[0] for line in written} >= {"azure", "cluster"}
    assert not any("helmcharts" in line for line in written)
    # The proof may pull an image to the node; nothing else happens there.
    assert [line for line in written if line.startswith("hosts") and " pull " not in line] == []

    change_fleet(lab, "oslo", reconcile={"mend": ["nodes", "chart"]})
    rest = reconcile(lab)
    assert rest.status is Status.DONE, rest.message
    assert drifted(rest) == {"node oslo/oslo-agent-9"}
    login_server = lab.world.azure.registry("acrfleetlab").login_server
    assert login_server in host_file(lab, NODE, REGISTRIES).read_text()


def test_a_repository_that_went_is_mended_only_where_deletions_are_allowed(lab: LabThread) -> None:
    lab.world.azure.registry("acrfleetlab").repositories.pop("vessel/ballast")
    change_fleet(lab, "oslo", reconcile={"mend": ["scope_maps"]})
    before = len(writes(lab))
    kept = reconcile(lab)
    assert any("scope map" in name for name in drifted(kept)), kept
    assert writes(lab)[before:] == []
    change_fleet(lab, "oslo", reconcile={"mend": ["scope_maps"], "deletions": True})
    gone = reconcile(lab)
    assert gone.status is Status.DONE, gone.message
    assert drifted(gone) == {"node oslo/oslo-agent-9"}


def test_drift_is_reported_though_its_mending_is_off_or_waits_for_the_window(
    lab: LabThread,
) -> None:
    opens = datetime.now(UTC) + timedelta(hours=6)
    window = {"cron": f"0 {opens.hour} * * *", "length": "1h"}
    mends = {"mend": ["chart"]}
    change_fleet(lab, "oslo", maintenance=window, chart={"chunk_size_mb": 9}, reconcile=mends)
    before = len(writes(lab))
    only = run(reconcile_fleet, lab, ["oslo"], mend=False).results[0]
    assert "HelmChart" in " ".join(drifted(only))
    held = reconcile(lab)
    assert (held.status, held.error) == (Status.WAITING, "WindowClosedError")
    assert drifted(held) == {"node oslo/oslo-agent-9"}
    assert [line for line in writes(lab)[before:] if not line.startswith("hosts")] == []
    done = run(reconcile_fleet, lab, ["oslo"], ignore_windows=True).results[0]
    assert done.status is Status.DONE, done.message
    assert drifted(done) == {"node oslo/oslo-agent-9"}


def test_what_is_in_the_way_hides_no_other_drift(lab: LabThread) -> None:
    mirrors = host_file(lab, NODE, REGISTRIES)
    text = mirrors.read_text()
    mirrors.write_text("mirrors: [")
    blocked = reconcile(lab)
    mirrors.write_text(text)
    assert (blocked.status, blocked.error) == (Status.FAILED, "PlanBlockedError")
    assert drifted(blocked) == {"node oslo/oslo-agent-9"}


def test_settings_of_the_synchronisation_and_passwords_that_end_soon_are_reported(
    lab: LabThread,
) -> None:
    settings, rotation = {"log_level": "Debug"}, {"alert_before": "100d"}
    change_fleet(lab, "oslo", connected_registry=settings, rotation=rotation)
    named = " ".join(drifted(reconcile(lab)))
    assert "connected registry " in named
    assert "password of oslo" in named
    change_fleet(lab, "oslo", connected_registry={}, rotation={})


def test_a_mending_run_is_resumed_where_it_failed_and_where_drift_is_left(lab: LabThread) -> None:
    agent = lab.world.sites["rotterdam"].hosts["rotterdam-agent-1"]
    lab.call(agent.set_offline, True)
    report = run(reconcile_fleet, lab, ())
    lab.call(agent.set_offline, False)
    assert result_of(report, "oslo").status is Status.DONE
    assert result_of(report, "rotterdam").status is Status.FAILED
    report = run(reconcile_fleet, lab, (), resume=True)
    assert result_of(report, "oslo").message == "1 drifted: node oslo/oslo-agent-9"
    assert result_of(report, "rotterdam").message == "not onboarded yet"
