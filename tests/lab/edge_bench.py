"""One edge registry with a cloud registry on paper behind it, and a Docker client in front."""

import hashlib
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

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
    takes_pushes: bool = True
    passes_messages: bool = True

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

    def put_image(self, connected_registry, pushed):
        if not self.takes_pushes:
            return "Insufficient scopes to perform the operation"
        known = self.repositories.get(pushed.repository, Repository({}, {}, {}))
        self.repositories[pushed.repository] = Repository(
            {**known.tags, pushed.tag: pushed.digest},
            {**known.manifests, pushed.digest: pushed.manifest},
            {**known.blobs, **pushed.blobs},
        )
        return None

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

    def start(self, text=None, claim="pvc-1", http=True, certificate=None):
        text = connection_string() if text is None else text
        port = 80 if http else 443
        installation = Installation(text, "10.43.200.10", port, http, claim, certificate)
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
        headers = {"Accept": "application/vnd.oci.image.manifest.v1+json, */*"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
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
        lambda identity: parent if identity.gateway == GATEWAY else None,
        "oslo",
        authority=Authority(tmp_path / "ca"),
        sync_seconds=sync_seconds,
    )
    try:
        yield Bench(edge, parent, clock, faults, audit, loop)
    finally:
        loop.call(edge.close)
        loop.close()
