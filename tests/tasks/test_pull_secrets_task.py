"""The step that delivers pull secrets, against the lab."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.errors import NotOursError, TemporaryError, WaitingForSiteError
from fleet.outcomes import Action, SiteEndpoint
from fleet.pull_errors import PasswordSlotsTakenError, PullTargetMissingError
from fleet.sites import PullSecrets
from tasks.pull_secrets import deliver_pull_secrets
from tasks.sessions import SiteSession
from tests.tasks.site_bench import REPOSITORIES, LabSites, SiteBench, lab_sites

pytestmark = [pytest.mark.lab, pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]
NAMESPACE, STAGING = "connected-registry", "acrfleet-client-password"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabSites]:
    with lab_sites(tmp_path_factory.mktemp("pull-secrets"), sites=14) as sites:
        yield sites


@pytest.fixture
def bench(sites: LabSites) -> Iterator[SiteBench]:
    with sites.next_site() as bench:
        yield bench


@pytest.fixture
def endpoint(bench: SiteBench) -> SiteEndpoint:
    endpoint = bench.bring_online()
    bench.writes()
    return endpoint


def _deliver(bench: SiteBench, endpoint: SiteEndpoint, session: SiteSession | None = None) -> Any:
    return deliver_pull_secrets.fn(
        session or bench.session, endpoint, bench.login_server, REPOSITORIES
    )


def _slots(bench: SiteBench) -> set[str]:
    token = bench.cloud.access.read_token(bench.site.names.client_token)
    assert token is not None
    return set(token.slots)


def _impatient(bench: SiteBench, seconds: float = 0.2) -> SiteSession:
    patience = bench.site.patience.model_copy(update={"accepted": timedelta(seconds=seconds)})
    return bench.with_site(patience=patience)


def test_the_secret_serves_both_names_and_a_second_run_writes_nothing(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    outcomes = _deliver(bench, endpoint)
    assert [outcome.action for outcome in outcomes] == [Action.CREATED, Action.CHANGED]
    cluster = bench.session.cluster
    secret = cluster.find_secret("default", "acrfleet-pull")
    assert secret is not None
    assert secret.type == "kubernetes.io/dockerconfigjson"
    config = json.loads(secret.data[".dockerconfigjson"].get_secret_value())
    assert set(config["auths"]) == {bench.login_server, endpoint.host}
    account = cluster.find_service_account("default", "default")
    assert account is not None
    assert account.pull_secrets == ("acrfleet-pull",)
    assert cluster.find_secret(NAMESPACE, STAGING) is None
    assert _slots(bench) == {"password1"}

    bench.writes()
    assert {item.action for item in _deliver(bench, endpoint)} == {Action.UNCHANGED}
    assert bench.writes() == []


def test_a_new_namespace_gets_the_same_password(bench: SiteBench, endpoint: SiteEndpoint) -> None:
    _deliver(bench, endpoint)
    cluster = bench.session.cluster
    cluster.create_namespace("apps", {"team": "blue"})
    bench.writes()
    wanted = PullSecrets(namespace_labels={"team": "blue"})
    session = bench.with_site(pull_secrets=wanted)
    _deliver(bench, endpoint, session)
    assert not any(line.startswith("azure") for line in bench.writes())
    first = cluster.find_secret("default", "acrfleet-pull")
    second = cluster.find_secret("apps", "acrfleet-pull")
    assert first is not None
    assert second is not None
    assert first.data == second.data


def test_a_namespace_that_moved_keeps_the_password_in_use(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    _deliver(bench, endpoint)
    bench.session.cluster.create_namespace("apps", {})
    session = bench.with_site(pull_secrets=PullSecrets(namespaces=("apps",)))
    _deliver(bench, endpoint, session)
    assert _slots(bench) == {"password1"}


def test_an_offline_site_waits_and_the_next_run_uses_the_kept_password(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    bench.lab.call(_stop_syncing, bench, True)
    with pytest.raises(WaitingForSiteError, match="The password is kept at the site"):
        _deliver(bench, endpoint, _impatient(bench))
    cluster = bench.session.cluster
    kept = cluster.find_secret(NAMESPACE, STAGING)
    assert kept is not None
    assert cluster.find_secret("default", "acrfleet-pull") is None
    bench.writes()

    bench.lab.call(_stop_syncing, bench, False)
    _deliver(bench, endpoint, bench.with_site())
    assert not any("generateCredentials" in line for line in bench.writes())
    assert cluster.find_secret(NAMESPACE, STAGING) is None
    assert _slots(bench) == {"password1"}


def _stop_syncing(bench: SiteBench, stop: bool) -> None:
    """Cut the registry off from Azure, and leave SSH to the hosts as it is."""
    bench.lab.world.sites[bench.site.name].edge.has_link = not stop


def test_after_a_crash_right_after_the_generation_the_noted_slot_is_generated_again(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    bench.lab.faults.add(part="azure", kind="status-after", match="*generateCredentials*")
    with pytest.raises(TemporaryError):
        _deliver(bench, endpoint)
    note = bench.session.cluster.find_secret(NAMESPACE, STAGING)
    assert note is not None
    assert "password" not in note.data
    bench.lab.faults.clear()
    _deliver(bench, endpoint)
    assert _slots(bench) == {"password1"}


def test_what_others_put_into_a_service_account_stays(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    cluster = bench.session.cluster
    change = {"imagePullSecrets": [{"name": "theirs"}]}
    cluster.patch_service_account("default", "default", change)
    _deliver(bench, endpoint)
    account = cluster.find_service_account("default", "default")
    assert account is not None
    assert account.pull_secrets == ("theirs", "acrfleet-pull")


def test_the_secret_keeps_its_uid_when_its_password_changes(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    _deliver(bench, endpoint)
    cluster = bench.session.cluster
    before = cluster.find_secret("default", "acrfleet-pull")
    bench.cloud.access.renew_password(bench.site.names.client_token, "password1", None)
    _deliver(bench, endpoint)
    after = cluster.find_secret("default", "acrfleet-pull")
    assert before is not None
    assert after is not None
    assert before.data != after.data
    assert before.meta.uid == after.meta.uid
    assert after.meta.annotations["acrfleet/slot"] == "password2"


def test_an_expiry_goes_to_azure_and_onto_the_secret(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    wanted = PullSecrets(expires_after=timedelta(days=30))
    _deliver(bench, endpoint, bench.with_site(pull_secrets=wanted))
    secret = bench.session.cluster.find_secret("default", "acrfleet-pull")
    assert secret is not None
    expires = datetime.fromisoformat(secret.meta.annotations["acrfleet/expires"])
    left = expires - datetime.now(UTC)
    assert timedelta(days=29) < left < timedelta(days=31)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (PullSecrets(namespaces=("nowhere",)), "names nowhere, which the cluster"),
        (PullSecrets(service_accounts=("nobody",)), "names nobody, which the namespace default"),
    ],
)
def test_a_missing_target_is_an_error_before_any_password_is_made(
    bench: SiteBench, endpoint: SiteEndpoint, wanted: PullSecrets, words: str
) -> None:
    with pytest.raises(PullTargetMissingError, match=words):
        _deliver(bench, endpoint, bench.with_site(pull_secrets=wanted))
    assert bench.writes() == []


def test_passwords_that_somebody_else_made_are_never_renewed(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    token = bench.site.names.client_token
    for slot in ("password1", "password2"):
        bench.cloud.access.renew_password(token, slot, None)
    bench.writes()
    with pytest.raises(PasswordSlotsTakenError, match="az acr token credential delete"):
        _deliver(bench, endpoint)
    assert bench.writes() == []


def test_a_secret_made_by_hand_is_left_alone(bench: SiteBench, endpoint: SiteEndpoint) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "acrfleet-pull"}}
    bench.session.cluster.create_secret("default", body)
    bench.writes()
    with pytest.raises(NotOursError, match="default/acrfleet-pull"):
        _deliver(bench, endpoint)
    assert bench.writes() == []
