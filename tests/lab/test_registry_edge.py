"""The edge registry as a Docker client on the site's nodes sees it, and as its parent does."""

import hashlib
import json
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import httpx
import pytest

from lab.audit import AuditLog
from lab.certificates import Authority
from lab.clock import Clock
from lab.faults import Faults
from lab.loops import LoopThread
from lab.registry.edge import EdgeRegistry, Installation
from lab.registry.parent import AlreadyActivatedError, SyncView
from lab.registry.volume import (
    ClientToken,
    Manifest,
    Password,
    Repository,
    Settings,
    hash_password,
)

pytestmark = pytest.mark.lab

GATEWAY = "acr.westeurope.data.azurecr.io"
READ = ("content/read", "metadata/read")
MINUTE = 0.1


def connection_string(password="sync=pass"):
    return (
        f"ConnectedRegistryName=oslo;SyncTokenName=oslo-sync;SyncTokenPassword={password};"
        f"ParentGatewayEndpoint={GATEWAY};ParentEndpointProtocol=https"
    )


def an_image(words):
    blob = words.encode()
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    content = json.dumps({"schemaVersion": 2, "layers": [{"digest": digest}]}).encode()
    return f"sha256:{hashlib.sha256(content).hexdigest()}", content, {digest: blob}


def a_repository(*tags):
    tag_map, manifests, blobs = {}, {}, {}
    for tag in tags:
        digest, content, more = an_image(tag)
        tag_map[tag] = digest
        manifests[digest] = Manifest("application/vnd.oci.image.manifest.v1+json", content)
        blobs |= more
    return Repository(tag_map, manifests, blobs)


def a_password(name, value, expiry=None):
    return Password(name, b"salt", hash_password(b"salt", value), expiry)


def a_token(*passwords, repositories=("vessel/nav",), enabled=True):
    actions = frozenset(f"repositories/{name}/{verb}" for name in repositories for verb in READ)
    return ClientToken("oslo-client", enabled, actions, passwords)


@dataclass
class PaperParent:
    """A cloud registry on paper: the test writes what it says."""

    password: str = "sync=pass"
    settings: Settings = field(default_factory=Settings)
    repositories: dict = field(
        default_factory=lambda: {
            "vessel/nav": a_repository("1.0"),
            "vessel/crew": a_repository("2"),
        }
    )
    token: ClientToken = field(default_factory=lambda: a_token(a_password("password1", "first")))
    active: str | None = None
    reports: list = field(default_factory=list)
    resync: bool = False

    def check_sync_token(self, connected_registry, token, password):
        known = (connected_registry, token) == ("oslo", "oslo-sync")
        return None if known and password == self.password else 'UNAUTHORIZED "Incorrect Password"'

    def activate(self, connected_registry, instance_id):
        if self.active not in (None, instance_id):
            raise AlreadyActivatedError(f"ALREADY_ACTIVATED: {connected_registry}")
        self.active = instance_id

    def is_active(self, connected_registry, instance_id):
        return self.active == instance_id

    def wants_resync(self, connected_registry):
        return self.resync

    def sync_view(self, connected_registry):
        names = tuple(self.repositories)
        return SyncView(self.settings, names, {self.token.name: self.token})

    def content(self, repository):
        return self.repositories[repository]

    def report(self, connected_registry, report):
        self.reports.append(report)

    @property
    def state(self):
        return self.reports[-1].state if self.reports else None


@dataclass
class Bench:
    """One edge registry, its paper parent and a Docker client."""

    edge: EdgeRegistry
    parent: PaperParent
    clock: Clock
    faults: Faults
    audit: AuditLog
    loop: LoopThread
    pod: list = field(default_factory=list)

    def start(self, text=None, claim="pvc-1", http=True):
        text = connection_string() if text is None else text
        installation = Installation(text, "10.43.200.10", 80 if http else 443, http, claim)
        self.loop.call(
            self.edge.start, installation, lambda ready, words: self.pod.append((ready, words))
        )

    def stop(self):
        self.loop.call(self.edge.stop)

    def wait(self, condition, seconds=10):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.edge.state
            time.sleep(0.01)

    def wait_synced(self):
        seen = self.edge.state["last_sync"]
        self.wait(lambda: self.edge.state["last_sync"] not in (None, seen))

    def get(self, path, token=None, method="GET", **more):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.request(
            method, f"http://127.0.0.1:{self.edge.port}{path}", headers=headers, **more
        )

    def login(self, password, scope="repository:vessel/nav:pull"):
        host = f"127.0.0.1:{self.edge.port}"
        return httpx.get(
            f"http://{host}/acr/oauth2/token",
            params={"service": host, "scope": scope},
            auth=("oslo-client", password),
        )

    def token(self, password="first", scope="repository:vessel/nav:pull"):
        return self.login(password, scope).raise_for_status().json()["access_token"]


@contextmanager
def a_bench(tmp_path, sync_seconds=0.01):
    loop = LoopThread("edge")
    clock, faults, audit = Clock(MINUTE), Faults(), AuditLog(tmp_path / "audit.jsonl")
    parent = PaperParent()
    edge = EdgeRegistry(
        audit,
        faults,
        clock,
        {GATEWAY: parent}.get,
        "oslo",
        authority=Authority(tmp_path / "ca"),
        sync_seconds=sync_seconds,
    )
    try:
        yield Bench(edge, parent, clock, faults, audit, loop)
    finally:
        loop.call(edge.close)
        loop.close()


@pytest.fixture
def bench(tmp_path):
    with a_bench(tmp_path) as one:
        yield one


@pytest.fixture
def synced(bench):
    bench.start()
    bench.wait_synced()
    return bench


def test_nothing_listens_before_the_pod_runs_and_after_it_stopped(bench):
    with pytest.raises(httpx.ConnectError):
        bench.get("/v2/")
    bench.start()
    assert bench.get("/v2/").status_code == 401
    bench.stop()
    with pytest.raises(httpx.ConnectError):
        bench.get("/v2/")


def test_a_docker_client_follows_the_challenge_to_a_pull(synced):
    challenge = synced.get("/v2/").headers["www-authenticate"]
    host = f"127.0.0.1:{synced.edge.port}"
    assert challenge == f'Bearer realm="http://{host}/acr/oauth2/token",service="{host}"'
    token = synced.token()
    head = synced.get("/v2/vessel/nav/manifests/1.0", token, "HEAD")
    digest = head.headers["docker-content-digest"]
    assert (head.status_code, head.content) == (200, b"")
    manifest = synced.get(f"/v2/vessel/nav/manifests/{digest}", token)
    assert f"sha256:{hashlib.sha256(manifest.content).hexdigest()}" == digest
    layer = manifest.json()["layers"][0]["digest"]
    assert synced.get(f"/v2/vessel/nav/blobs/{layer}", token).content == b"1.0"
    assert synced.get("/v2/vessel/nav/tags/list", token).json()["tags"] == ["1.0"]


def test_the_challenge_names_the_scope_that_is_needed(synced):
    answer = synced.get("/v2/vessel/nav/manifests/1.0")
    assert answer.status_code == 401
    assert 'scope="repository:vessel/nav:pull"' in answer.headers["www-authenticate"]


def test_the_catalog_shows_what_is_synced_and_readable_only(synced):
    token = synced.token(scope="registry:catalog:*")
    assert synced.get("/v2/_catalog", token).json() == {"repositories": ["vessel/nav"]}


def test_lists_come_in_pages_with_a_link_to_the_next(synced):
    synced.parent.repositories["vessel/nav"] = a_repository("1", "2", "3")
    synced.wait(
        lambda: len(synced.get("/v2/vessel/nav/tags/list", synced.token()).json()["tags"]) == 3
    )
    page = synced.get("/v2/vessel/nav/tags/list?n=2", synced.token())
    assert page.json()["tags"] == ["1", "2"]
    rest = synced.get(page.links["next"]["url"], synced.token())
    assert rest.json()["tags"] == ["3"]
    assert "link" not in rest.headers


def test_bad_credentials_and_scopes_outside_the_map_are_401(synced):
    assert synced.login("wrong").status_code == 401
    refused = synced.login("first", "repository:vessel/crew:pull")
    assert refused.status_code == 401
    assert "Insufficient scopes" in refused.text
    token = synced.token()
    assert synced.get("/v2/vessel/crew/tags/list", token).status_code == 401
    assert synced.get("/v2/vessel/nav/tags/list", token[:-3]).status_code == 401


def test_what_is_allowed_but_not_synced_is_404(synced):
    synced.parent.token = a_token(
        a_password("password1", "first"), repositories=("vessel/nav", "vessel/later")
    )
    synced.wait(lambda: synced.login("first", "repository:vessel/later:pull").status_code == 200)
    token = synced.token(scope="repository:vessel/later:pull")
    assert synced.get("/v2/vessel/later/manifests/1.0", token).status_code == 404
    missing = synced.get("/v2/vessel/nav/manifests/9.9", synced.token())
    assert missing.json()["errors"][0]["message"] == "manifest unknown"


def test_a_push_to_a_read_only_registry_is_refused_in_its_words(synced):
    token = synced.token(scope="repository:vessel/nav:pull,push")
    answer = synced.get("/v2/vessel/nav/blobs/uploads/", token, "POST")
    assert answer.status_code == 405
    assert (
        answer.json()["errors"][0]["message"] == "This operation is not allowed on this registry."
    )


def test_a_new_password_is_refused_before_the_tick_and_accepted_after(synced):
    hold = synced.faults.add(part="registry", kind="skip", match="sync")
    synced.parent.token = a_token(
        a_password("password1", "first"), a_password("password2", "second")
    )
    time.sleep(5 * MINUTE)
    assert synced.login("second").status_code == 401
    synced.faults.active.remove(hold)
    synced.wait(lambda: synced.login("second").status_code == 200)
    assert synced.login("first").status_code == 200


def test_a_removed_password_works_until_the_tick(synced):
    synced.parent.token = a_token(a_password("password2", "second"))
    synced.wait(lambda: synced.login("first").status_code == 401)
    assert synced.login("second").status_code == 200


def test_an_expired_password_and_an_expired_bearer_are_refused(synced):
    end = synced.clock.now() + timedelta(days=30)
    synced.parent.token = a_token(
        a_password("password1", "first", end), a_password("password2", "second")
    )
    synced.wait_synced()
    token = synced.token()
    synced.clock.jump(timedelta(days=31))
    assert synced.login("first").status_code == 401
    assert synced.login("second").status_code == 200
    assert synced.get("/v2/", token).status_code == 401


def test_a_disabled_token_is_refused_after_the_tick(synced):
    synced.parent.token = replace(synced.parent.token, enabled=False)
    synced.wait(lambda: synced.login("first").status_code == 401)


def test_a_registry_is_online_while_it_runs_and_offline_after_missed_heartbeats(synced):
    assert synced.parent.state == "Online"
    assert any(report.last_sync for report in synced.parent.reports)
    assert synced.parent.reports[-1].host == "10.43.200.10"
    synced.stop()
    assert synced.parent.state == "Online"
    synced.wait(lambda: synced.parent.state == "Offline")


def test_a_site_without_link_serves_what_it_has_and_catches_up_later(synced):
    synced.edge.has_link = False
    synced.parent.token = a_token(a_password("password2", "second"))
    synced.wait(lambda: synced.parent.state == "Offline")
    assert synced.get("/v2/vessel/nav/manifests/1.0", synced.token("first")).status_code == 200
    assert synced.login("second").status_code == 401
    synced.edge.has_link = True
    synced.wait(lambda: synced.login("second").status_code == 200)
    assert synced.parent.state == "Online"


def test_silence_beyond_the_messages_life_ends_in_a_recovery_and_then_a_sync(synced):
    synced.edge.has_link = False
    synced.wait(lambda: synced.parent.state == "Offline")
    synced.parent.token = a_token(a_password("password2", "second"))
    synced.clock.jump(timedelta(days=3))
    synced.edge.has_link = True
    synced.wait(lambda: "recovery service" in " ".join(synced.edge.log))
    assert synced.login("second").status_code == 401
    synced.wait(lambda: synced.login("second").status_code == 200)


def test_a_scheduled_registry_syncs_at_its_time_only(synced):
    synced.parent.settings = Settings(schedule="0 3 1 1 *")
    synced.wait_synced()
    synced.parent.token = a_token(a_password("password2", "second"))
    time.sleep(5 * MINUTE)
    assert synced.login("second").status_code == 401
    assert synced.parent.state == "Online"
    synced.clock.jump(timedelta(days=366))
    synced.wait(lambda: synced.login("second").status_code == 200)


def test_a_resync_that_was_asked_for_does_not_wait_for_the_schedule(synced):
    synced.parent.settings = Settings(schedule="0 3 1 1 *")
    synced.wait_synced()
    synced.parent.token = a_token(a_password("password2", "second"))
    synced.parent.resync = True
    synced.wait(lambda: synced.login("second").status_code == 200)


def test_a_schedule_that_nobody_can_read_is_said_and_the_registry_stays_online(synced):
    synced.parent.settings = Settings(schedule="? ? ? ? ?")
    synced.wait(lambda: "Cannot follow the schedule" in synced.edge.log[-1])
    reports = len(synced.parent.reports)
    synced.wait(lambda: len(synced.parent.reports) > reports)
    assert synced.parent.state == "Online"


def test_a_bad_connection_string_is_the_pods_last_word(bench):
    bench.start("ConnectedRegistryName=oslo")
    assert bench.pod == [(False, "Invalid connection string: SyncTokenName has no value.")]
    assert not bench.edge.is_serving


def test_a_gateway_that_nobody_answers_for_is_a_bad_connection_string(bench):
    bench.start(connection_string().replace(GATEWAY, "elsewhere.data.azurecr.io"))
    assert bench.pod[0][0] is False
    assert "elsewhere.data.azurecr.io" in bench.pod[0][1]


def test_a_wrong_sync_password_is_logged_and_never_online(bench):
    bench.start(connection_string("old=pass"))
    bench.wait(
        lambda: any('401 UNAUTHORIZED "Incorrect Password"' in words for _, words in bench.pod)
    )
    assert bench.parent.reports == []
    assert bench.login("first").status_code == 401
    bench.start()
    bench.wait(lambda: bench.parent.state == "Online")


def test_a_second_instance_is_refused_until_the_first_is_deactivated(synced):
    synced.stop()
    synced.start(claim="pvc-2")
    synced.wait(lambda: any("ALREADY_ACTIVATED" in words for _, words in synced.pod))
    assert synced.edge.state["activated"] is False
    synced.parent.active = None
    synced.wait(lambda: synced.edge.state["activated"])
    synced.wait(lambda: synced.login("first").status_code == 200)


def test_the_same_volume_is_the_same_instance_and_keeps_its_content(synced):
    synced.stop()
    synced.edge.has_link = False
    synced.start()
    assert synced.get("/v2/vessel/nav/manifests/1.0", synced.token()).status_code == 200
    synced.edge.has_link = True
    synced.wait(lambda: synced.parent.state == "Online")


def test_an_instance_that_was_deactivated_stops_syncing(synced):
    synced.parent.active = None
    synced.wait(lambda: "deactivated" in synced.edge.log[-1])
    synced.parent.token = a_token(a_password("password2", "second"))
    time.sleep(3 * MINUTE)
    assert synced.parent.active is None
    assert synced.login("second").status_code == 401


def test_content_becomes_visible_repository_by_repository(tmp_path):
    with a_bench(tmp_path, sync_seconds=1.0) as bench:
        bench.start()
        bench.wait(lambda: bench.edge.state["repositories"] == ["vessel/nav"])
        assert bench.edge.state["last_sync"] is None
        bench.wait_synced()
        assert bench.edge.state["repositories"] == ["vessel/crew", "vessel/nav"]


def test_a_full_disk_is_reported_as_unhealthy(synced):
    synced.faults.add(part="registry", kind="disk-full", match="heartbeat")
    synced.wait(lambda: synced.parent.state == "Unhealthy")
    assert synced.parent.reports[-1].status_details[0]["code"] == "DiskError"


def test_requests_go_wrong_as_ordered(synced):
    synced.faults.add(
        part="registry", kind="status", match="GET /v2/", status=429, retry_after=2, times=1
    )
    answer = synced.get("/v2/")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert synced.get("/v2/").status_code == 401
    synced.faults.add(part="registry", kind="drop", match="GET /acr/*", times=1)
    with pytest.raises(httpx.TransportError):
        synced.login("first")
    synced.faults.add(part="registry", kind="hang", match="GET /v2/", times=1)
    with pytest.raises(httpx.ReadTimeout):
        synced.get("/v2/", timeout=0.2)


def test_https_comes_with_a_certificate_for_the_service_address(bench, tmp_path):
    bench.start(http=False)
    answer = httpx.get(
        f"https://127.0.0.1:{bench.edge.port}/v2/",
        headers={"Host": "10.43.200.10"},
        verify=ssl.create_default_context(cafile=tmp_path / "ca" / "ca.pem"),
    )
    assert answer.headers["www-authenticate"].startswith('Bearer realm="https://10.43.200.10/acr')


def test_the_audit_log_has_starts_stops_and_activations_but_no_syncs(synced):
    synced.wait_synced()
    synced.stop()
    assert [(line["part"], line["site"], line["action"]) for line in synced.audit.read()] == [
        ("registry", "oslo", "start"),
        ("registry", "oslo", "activate"),
        ("registry", "oslo", "stop"),
    ]
