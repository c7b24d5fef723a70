"""Planning and applying: nothing is written, all is named, and only what was seen is done."""

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.plan_errors import PlanTooLargeError
from fleet.results import Status
from fleet.site_plan import FleetPlan, Part
from lab.thread import LabThread
from tasks.records import read_record
from tests.flows.artifacts import artifacts_of
from tests.flows.lab_runs import change_fleet, module_lab, read_secret, result_of, writes
from tests.flows.plans import Drifts, apply, change_top, plan, shown, site_plan

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("prefect_harness"),
]
SITES = ("oslo", "rotterdam", "singapore")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabThread]:
    with module_lab(tmp_path_factory, sites=3) as lab:
        pulls = {"namespaces": ["default"], "namespace_labels": {"pulls": "northsea"}}
        change_fleet(lab, "singapore", pull_secrets=pulls)
        yield lab


@pytest.fixture(scope="module")
def kept(lab: LabThread) -> Path:
    return lab.folder / "first.plan"


@pytest.fixture(scope="module")
def first(lab: LabThread, prefect_harness: None, kept: Path) -> FleetPlan:
    return plan(lab, out=kept)


@pytest.fixture(scope="module")
def onboarded(lab: LabThread, first: FleetPlan, kept: Path) -> LabThread:
    report = apply(lab, kept)
    assert [one.status for one in report.results] == [Status.DONE] * 3, report
    assert all("not in the plan" not in one.message for one in report.results), report
    return lab


def test_the_plan_of_a_first_onboarding_names_everything_and_writes_nothing(
    lab: LabThread, first: FleetPlan
) -> None:
    assert writes(lab) == []
    assert [read_record("lab", site) for site in SITES] == [None] * 3
    oslo, names = site_plan(first, "oslo"), Drifts(lab, "oslo").site.names
    assert oslo.obstacles == ()
    certs = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d"
    login_server = lab.info["registries"][0]["login_server"]
    assert shown(oslo) == [
        f"scope_maps: scope map {names.sync_scope_map} created",
        f"access: token {names.sync_token} created",
        f"access: connected registry {names.connected_registry} created",
        f"scope_maps: scope map {names.client_scope_map} created",
        f"access: token {names.client_token} created",
        f"access: client token {names.client_token} changed",
        "chart: Namespace connected-registry created",
        f"passwords: sync password {names.sync_token} created",
        "chart: Secret connected-registry-connection created",
        "chart: HelmChart connected-registry created",
        f"nodes: file oslo-server-1:{certs}/{login_server}/hosts.toml created",
        f"nodes: file oslo-server-1:{certs}/known-after-apply:80/hosts.toml created",
        "nodes: file oslo-server-1:/etc/rancher/k3s/registries.yaml created",
        f"passwords: client password {names.client_token} created",
        "pull_secrets: pull secret default/acrfleet-pull created",
        "pull_secrets: service account default/default changed",
    ]
    registries = next(one for one in oslo.changes if one.name.endswith("registries.yaml"))
    assert f"+  {login_server}:" in "\n".join(registries.diff).replace('"', "")
    assert "known-after-apply" in oslo.notes[0]
    assert "known-after-apply" in str(artifacts_of("plan-lab")[-1].data)


def test_after_the_plan_was_applied_there_is_nothing_to_do(onboarded: LabThread) -> None:
    before = len(writes(onboarded))
    made = plan(onboarded)
    assert made.is_empty, made
    assert writes(onboarded)[before:] == []


@pytest.fixture(scope="module")
def drifted(onboarded: LabThread) -> Path:
    """One drift of each kind, spread over three sites, and the plan that mends them."""
    oslo, rotterdam, singapore = (Drifts(onboarded, site) for site in SITES)
    oslo.take_action_away("vessel/crew-portal")
    oslo.add_action("repositories/office/intranet/content/read")
    oslo.change_chart(sync={"chunkSizeInMb": 3})
    rotterdam.remove_mirror("rotterdam-agent-1")
    rotterdam.delete_pull_secret()
    singapore.add_namespace("crew", pulls="northsea")
    singapore.forget_account()
    return onboarded.folder / "drift.plan"


def assert_no_password_in(text: str, lab: LabThread) -> None:
    pull = b64decode(read_secret(lab, "oslo")[".dockerconfigjson"]).decode()
    connection = b64decode(
        read_secret(lab, "oslo", "connected-registry-connection", "connected-registry")[
            "values.yaml"
        ]
    ).decode()
    passwords = {entry["password"] for entry in json.loads(pull)["auths"].values()}
    passwords.add(connection.split("SyncTokenPassword=")[1].split(";")[0])
    assert len(passwords) == 2
    assert not any(one in text for one in passwords)


def test_one_drift_of_each_kind_is_named_and_nothing_else(
    onboarded: LabThread, drifted: Path
) -> None:
    before = len(writes(onboarded))
    made = plan(onboarded, out=drifted)
    assert writes(onboarded)[before:] == []
    assert_no_password_in(drifted.read_text(), onboarded)
    names, theirs = Drifts(onboarded, "oslo").site.names, Drifts(onboarded, "rotterdam").site.names
    assert shown(site_plan(made, "oslo")) == [
        f"scope_maps: scope map {names.sync_scope_map} changed",
        f"scope_maps: scope map {names.client_scope_map} changed",
        "chart: HelmChart connected-registry changed",
    ]
    sync, client, chart = site_plan(made, "oslo").changes
    assert set(sync.diff) >= {"+repositories/vessel/crew-portal/content/read"}
    assert not sync.takes_away
    assert client.diff == ("-repositories/office/intranet/content/read",)
    assert client.takes_away
    assert "-    chunkSizeInMb: 3" in chart.diff
    assert shown(site_plan(made, "rotterdam")) == [
        "nodes: file rotterdam-agent-1:/etc/rancher/k3s/registries.yaml changed",
        f"passwords: client password {theirs.client_token} created",
        "pull_secrets: pull secret default/acrfleet-pull created",
    ]
    assert shown(site_plan(made, "singapore")) == [
        "pull_secrets: pull secret crew/acrfleet-pull created",
        "pull_secrets: service account crew/default changed",
        "pull_secrets: service account default/default changed",
    ]


def test_a_plan_that_takes_too_much_away_is_not_begun(onboarded: LabThread, drifted: Path) -> None:
    before = len(writes(onboarded))
    change_top(onboarded, limits={"sites_with_deletions": 0})
    with pytest.raises(PlanTooLargeError, match="--over deletions"):
        apply(onboarded, drifted)
    assert writes(onboarded)[before:] == []


def test_a_site_that_moved_is_left_alone_and_the_others_go_on(
    onboarded: LabThread, drifted: Path
) -> None:
    Drifts(onboarded, "oslo").change_chart(sync={"chunkSizeInMb": 7})
    before = len(writes(onboarded))
    report = apply(onboarded, drifted, over=["deletions"])
    moved = result_of(report, "oslo")
    assert moved.status is Status.FAILED
    assert moved.error == "PlanMovedError"
    assert "HelmChart connected-registry: other lines would be written" in moved.message
    assert "scope map" not in moved.message
    assert [line for line in writes(onboarded)[before:] if "oslo" in line] == []
    for site in ("rotterdam", "singapore"):
        assert result_of(report, site).status is Status.DONE, result_of(report, site)

    again = apply(onboarded, drifted, over=["deletions"])
    assert result_of(again, "oslo").error == "PlanMovedError"
    assert result_of(again, "rotterdam").changes == 0, "a plan that is done is no reason to refuse"


def test_what_is_in_the_way_is_named_and_a_site_that_cannot_be_read_hides_no_other(
    onboarded: LabThread,
) -> None:
    singapore = Drifts(onboarded, "singapore")
    singapore.disable_token()
    change_fleet(onboarded, "rotterdam", ssh={"block": "nobody-made-it"})
    made = plan(onboarded)
    assert [one.error for one in made.unread] == ["BlockNotFoundError"]
    (blocked,) = site_plan(made, "singapore").obstacles
    assert singapore.site.names.client_token in blocked
    assert "disabled" in blocked
    assert [one.part for one in site_plan(made, "oslo").changes].count(Part.CHART) == 1
