"""What goes wrong during a rotation, and that no pull ever fails by it."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from fleet.site_lease import LEASE
from fleet.sites import PullSecrets
from tests.flows.nested import connected_registry
from tests.tasks.rotation_runs import Effect
from tests.tasks.rotation_site import WANTED, RotationSite, SharedSites
from tests.tasks.site_bench import lab_sites
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.flow,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("prefect_harness"),
]
GENERATE = {"part": "azure", "match": "POST *generateCredentials"}
PULL_SECRET = "acrfleet-pull"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedSites]:
    folder = tmp_path_factory.mktemp("faults")
    with lab_sites(folder, sites=6, minute=0.2) as lab, ExitStack() as stack:
        yield SharedSites(lab, stack)


@pytest.fixture
def site(sites: SharedSites) -> Iterator[RotationSite]:
    with sites.handed_out() as site:
        yield site


def _done(said: str) -> None:
    assert said.startswith("done"), said


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status-after", "status": 503, "times": 1},
        {"kind": "drop-after", "times": 1},
        {"kind": "drop", "times": 1},
        {"kind": "token-not-active", "times": 1},
        {"kind": "status", "status": 429, "retry_after": 0.2, "times": 3},
    ],
    ids=lambda fault: str(fault["kind"]),
)
def test_a_generation_that_fails_or_loses_its_answer_is_made_good(
    site: RotationSite, fault: dict[str, Any]
) -> None:
    before = site.password()
    site.bench.lab.faults.add(**GENERATE, **fault)
    _done(site.rotations.run(asked=True))
    site.assert_at_rest()
    assert site.password() != before


def test_every_cluster_write_may_lose_its_answer(
    site: RotationSite, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them in one rotation; a run ends well or in an error after which the next one does."""
    effects = [one for one in _effects(site) if one.part == "cluster"]
    before = site.password()
    lost = [site.rotations.hang(effect, "drop-after") for effect in effects]
    said = [""]
    while not said[-1].startswith("done") or site.password() == before:
        assert len(said) <= len(effects), said
        said.append(site.rotations.run(asked=site.password() == before))
        site.assert_every_password_works()
    site.assert_at_rest()
    assert site.password() != before
    assert [fault.times for fault in lost] == [0] * len(effects), "each was met"
    runs = [one.partition(":")[0] for one in said[1:]]
    _tell(capsys, [f"answer lost of {effect}" for effect in effects] + [f"runs: {runs}"])


def test_a_site_that_goes_away_between_two_steps_goes_on_when_it_is_back_a_month_later(
    site: RotationSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lab, name = site.bench.lab, site.bench.site.name
    lines = list[str]()
    for effect in _effects(site)[1:-1]:
        if "default" in effect.operation:
            continue  # the second of two Secrets in one step
        before = site.password()
        fault = site.rotations.hang(effect, "hang")
        run = site.rotations.start(asked=True)
        run.until_hanging(fault)
        lab.call(lab.world.set_offline, name, True)
        said = run.result()
        site.rotations.forget(fault)
        assert said.startswith("WaitingForSiteError") or effect.part == "azure", (effect, said)
        if not lines:
            assert site.rotations.run().startswith("WaitingForSiteError")
        with site.load.turn:  # no pull takes a month
            lab.call(lab.world.clock.jump, timedelta(days=30))
        lab.call(lab.world.set_offline, name, False)
        wait_until(lambda: connected_registry(lab, name)["connectionState"] == "Online")
        site.assert_every_password_works()
        _done(site.rotations.run())
        site.assert_at_rest()
        rolled = "rolled" if site.password() != before else "not begun"
        lines.append(f"away before {effect!s:66} {said.partition(':')[0]}, then {rolled}")
    _tell(capsys, lines)


def _effects(site: RotationSite) -> list[Effect]:
    """Return what a whole rotation writes; the one before it creates the Lease."""
    _done(site.rotations.run(asked=True))
    return site.rotations.effects(lambda: _done(site.rotations.run(asked=True)))


def _tell(capsys: pytest.CaptureFixture[str], lines: list[str]) -> None:
    with capsys.disabled():
        print("", *lines, sep="\n")  # noqa: T201 - the list of points is what the test is for


def test_a_secret_that_was_edited_by_hand_is_not_spread_and_nothing_is_retired(
    site: RotationSite,
) -> None:
    good = site.password("bridge")
    found = site.secret()
    assert found is not None
    edited = found.data[".dockerconfigjson"].get_secret_value().replace(good, "edited")
    # The load pulls with the Secret of `default`, so the other one is edited.
    _write(site, "bridge", edited)
    said = site.rotations.run(asked=True)
    assert said.startswith("PasswordUnmarkedError"), said
    assert "bridge, default hold different passwords" in said
    assert site.password() == good
    assert len(site.slots()) == 1
    site.bench.session.cluster.delete_secret("bridge", PULL_SECRET)
    _done(site.rotations.run(asked=True))


def test_a_secret_that_is_edited_half_way_gets_the_new_password(site: RotationSite) -> None:
    _done(site.rotations.run(asked=True))
    put = f"PATCH /api/v1/namespaces/bridge/secrets/{PULL_SECRET}"
    fault = site.rotations.hang(Effect("cluster", put), "hang")
    run = site.rotations.start(asked=True)
    run.until_hanging(fault)
    run.kill()
    site.rotations.forget(fault)
    found = site.secret()
    assert found is not None
    text = found.data[".dockerconfigjson"].get_secret_value()
    _write(site, "bridge", text.replace(site.password(), "edited"))
    _done(site.rotations.run())
    site.assert_at_rest()


def _write(site: RotationSite, namespace: str, content: str) -> None:
    data = {".dockerconfigjson": b64encode(content.encode()).decode()}
    site.bench.session.cluster.patch_secret(namespace, PULL_SECRET, {"data": data})


@pytest.mark.parametrize("where", ["hang", "hang-after"])
def test_namespaces_and_accounts_that_come_and_go_half_way_are_picked_up(
    site: RotationSite, where: str
) -> None:
    cluster = site.bench.session.cluster
    for name in ("galley", "engine"):
        cluster.create_namespace(name, {"team": "blue"})
    _done(site.rotations.run())
    assert site.password("galley") == site.password("engine") == site.password()
    patch = f"PATCH /api/v1/namespaces/default/secrets/{PULL_SECRET}"
    fault = site.rotations.hang(Effect("cluster", patch, before=1), where)  # the first is its proof
    run = site.rotations.start(asked=True)
    run.until_hanging(fault)
    run.kill()
    site.rotations.forget(fault)
    cluster.create_namespace("brig", {"team": "blue"})
    cluster.delete_namespace("galley")
    wait_until(lambda: cluster.find_namespace("galley") is None)
    wanted = WANTED.model_copy(update={"service_accounts": ("default", "runner")})
    said = site.rotations.run(pull_secrets=wanted)
    assert said.startswith("PullTargetMissingError"), said
    assert "names runner" in said
    assert site.password("brig") == site.password("engine") == site.password()
    assert len(site.slots()) == 1
    account = cluster.find_service_account("brig", "default")
    assert account is not None
    assert account.pull_secrets == (PULL_SECRET,)
    for name in ("brig", "engine"):
        cluster.delete_namespace(name)
    wait_until(lambda: cluster.find_namespace("brig") is cluster.find_namespace("engine") is None)


def test_a_namespace_that_has_left_the_fleet_file_goes_on_pulling(site: RotationSite) -> None:
    before = site.password("bridge")
    wanted = PullSecrets(namespaces=("default",))
    _done(site.rotations.run(asked=True, pull_secrets=wanted))
    assert site.password("bridge") == site.password() != before
    site.assert_at_rest()


def test_a_namespace_of_the_fleet_file_that_vanished_is_named_and_the_old_password_stays(
    site: RotationSite,
) -> None:
    wanted, before = PullSecrets(namespaces=("default", "nowhere")), site.slots()
    said = site.rotations.run(asked=True, pull_secrets=wanted)
    assert said.startswith("PullTargetMissingError"), said
    assert "nowhere" in said
    assert site.slots() == before


def test_the_second_of_two_runs_stops_and_a_dead_ones_lease_is_taken_over(
    site: RotationSite,
) -> None:
    before = site.slots()
    fault = site.bench.lab.faults.add(**GENERATE, kind="hang", times=1)
    first = site.rotations.start(asked=True)
    first.until_hanging(fault)
    second = site.rotations.run(asked=True)
    assert second.startswith("SiteBusyError: another run rolls the passwords"), second
    assert site.slots() == before
    first.kill()
    site.rotations.forget(fault)
    _done(site.rotations.run())
    site.assert_at_rest()


def test_the_lease_of_another_machine_holds_until_it_is_over(site: RotationSite) -> None:
    access, cluster = site.bench.cloud.access, site.bench.session.cluster
    access.read_registry()
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": LEASE},
        "spec": {
            "holderIdentity": "another-ship/boot/1",
            "leaseDurationSeconds": 900,
            "renewTime": f"{access.now():%Y-%m-%dT%H:%M:%S.%fZ}",
        },
    }
    namespace = site.bench.site.chart.namespace
    if cluster.find_lease(namespace, LEASE) is None:
        cluster.create_lease(namespace, body)
    else:
        cluster.patch_lease(namespace, LEASE, body)
    said = site.rotations.run(asked=True)
    assert said.startswith("SiteBusyError"), said
    assert "another-ship" in said
    lab = site.bench.lab
    lab.call(lab.world.clock.jump, timedelta(minutes=16))
    _done(site.rotations.run(asked=True))
    site.assert_at_rest()


def test_tokens_of_others_that_the_registry_accepts_are_left_alone(site: RotationSite) -> None:
    access = site.bench.cloud.access
    name = f"{site.bench.site.name}-theirs"
    mine = access.read_token(site.token)
    assert mine is not None
    assert mine.scope_map_id is not None
    access.create_token(name, mine.scope_map_id.rpartition("/")[2])
    access.renew_password(name, "password1", None)
    before = access.read_token(name)
    _done(site.rotations.run(asked=True))
    site.assert_at_rest()
    assert access.read_token(name) == before


def test_a_new_password_that_the_site_never_learns_of_waits_and_ends_well(
    site: RotationSite,
) -> None:
    lab, name = site.bench.lab, site.bench.site.name
    fault = lab.faults.add(part="registry", match="sync", kind="skip", site=name)
    patience = site.bench.site.patience.model_copy(update={"accepted": timedelta(seconds=1)})
    before = site.password()
    said = site.rotations.run(asked=True, patience=patience)
    assert said.startswith("WaitingForSiteError"), said
    assert site.slots() == {"password1", "password2"}
    assert site.rotations.run(patience=patience).startswith("WaitingForSiteError")
    assert site.password() == before
    lab.faults.active.remove(fault)
    _done(site.rotations.run())
    site.assert_at_rest()
    assert site.password() != before
