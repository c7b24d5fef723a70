"""A client's view of the emulated cloud, for the tests of lab/azure."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import httpx
from azure.containerregistry import ContainerRegistryClient
from azure.identity import ClientSecretCredential
from azure.mgmt.containerregistry import ContainerRegistryManagementClient

from lab.audit import AuditLog
from lab.azure import AzureLab
from lab.azure.signing import EntraKey
from lab.certificates import Authority
from lab.clock import Clock
from lab.faults import Faults
from lab.loops import LoopThread

VERSION = "2025-11-01"
PREVIEW = "2026-09-01-preview"
GROUP, REGISTRY = "edge", "acrfleet"
GATEWAY_VERBS = ("config/read", "config/write", "message/read", "message/write")
TENANT_KEY = EntraKey()  # making an RSA key for each test would double their time
REPOSITORIES = {"vessel/nav": ["1.0", "1.1"], "vessel/crew": ["2.0"], "shore/mail": ["3.0"]}


class AzureClient:
    """A lab and the clients that speak to it."""

    def __init__(self, folder: Path, stack: ExitStack, minute: float, options: dict):
        self.stack = stack
        self.thread = LoopThread("azure")
        stack.callback(self.thread.close)
        self.audit, self.faults, self.clock = AuditLog(folder / "audit"), Faults(), Clock(minute)
        self.lab = AzureLab(
            self.audit, self.faults, self.clock, Authority(folder / "ca"), **options
        )
        self.lab.entra.key = TENANT_KEY
        self.call(self.lab.start())
        stack.callback(lambda: self.call(self.lab.stop()))
        self.registry = self.add_registry(REGISTRY)

    def call(self, work, *args, **named):
        return self.thread.call(work, *args, **named)

    def add_registry(self, name, **options):
        return self.call(
            self.lab.add_registry(name, GROUP, **{"repositories": REPOSITORIES} | options)
        )

    @cached_property
    def credential(self):
        return self.stack.enter_context(
            ClientSecretCredential(
                self.lab.tenant_id,
                self.lab.client_id,
                self.lab.client_secret,
                authority=self.lab.authority_url,
                disable_instance_discovery=True,
                connection_verify=str(self.lab.ca_file),
            )
        )

    @cached_property
    def arm(self):
        return self.management()

    def management(self, **options):
        """Return the public management client."""
        return self.stack.enter_context(
            ContainerRegistryManagementClient(
                self.credential,
                self.lab.subscription_id,
                base_url=self.lab.resource_manager,
                credential_scopes=[f"{self.lab.resource_manager}/.default"],
                connection_verify=str(self.lab.ca_file),
                polling_interval=0.02,
                **options,
            )
        )

    @cached_property
    def tls(self):
        return ssl.create_default_context(cafile=str(self.lab.ca_file))

    @cached_property
    def anonymous(self):
        return self.stack.enter_context(httpx.Client(verify=self.tls, timeout=5))

    @cached_property
    def token(self):
        scope = f"{self.lab.resource_manager}/.default"
        return self.log_in(scope=scope).json()["access_token"]

    def log_in(self, tenant=None, **form):
        form = {
            "grant_type": "client_credentials",
            "client_id": self.lab.client_id,
            "client_secret": self.lab.client_secret,
        } | form
        url = f"{self.lab.authority_url}/{tenant or self.lab.tenant_id}/oauth2/v2.0/token"
        return self.anonymous.post(url, data={k: v for k, v in form.items() if v is not None})

    @property
    def registry_path(self):
        group = f"/subscriptions/{self.lab.subscription_id}/resourceGroups/{GROUP}"
        return f"{group}/providers/Microsoft.ContainerRegistry/registries/{REGISTRY}"

    def send(self, method, path, body=None, *, version=VERSION, headers=None, **query):
        """Send to ARM; a path that does not start with / is below the registry."""
        if not path.startswith(("/", "https://")):
            path = f"{self.registry_path}/{path}" if path else self.registry_path
        if path.startswith("/"):
            path = self.lab.resource_manager + path
            query |= {"api-version": version} if version else {}
        headers = {"Authorization": f"Bearer {self.token}"} | (headers or {})
        return self.anonymous.request(
            method, path, json=body, params=query or None, headers=headers
        )

    def catalog(self, registry=None):
        """Return the public data-plane client."""
        registry = registry or self.registry
        return self.stack.enter_context(
            ContainerRegistryClient(
                f"https://{registry.login_server}",
                self.credential,
                audience="https://containerregistry.azure.net",
                connection_verify=str(self.lab.ca_file),
            )
        )

    def pull_token(self, user, password, scope="repository:vessel/nav:pull"):
        """Ask the cloud registry for an access token with a token's password."""
        server = self.registry.login_server
        return self.anonymous.get(
            f"https://{server}/oauth2/token",
            params={"service": server, "scope": scope},
            auth=(user, password),
        )

    def catalog_token(self, registry=None):
        """Exchange an Entra token for a refresh token and that for an access token."""
        server = (registry or self.registry).login_server
        form = {"grant_type": "access_token", "service": server, "access_token": self.token}
        exchange = self.anonymous.post(f"https://{server}/oauth2/exchange", data=form)
        form = {"grant_type": "refresh_token", "service": server, "scope": "registry:catalog:*"}
        form["refresh_token"] = exchange.json()["refresh_token"]
        answer = self.anonymous.post(f"https://{server}/oauth2/token", data=form)
        return answer.json()["access_token"]

    def data(self, path, token=None, method="GET", **headers):
        """Send to the registry's data plane."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = f"https://{self.registry.login_server}{path}"
        return self.anonymous.request(method, url, headers=headers)

    def add_scope_map(self, name, *actions):
        actions = actions or ("repositories/vessel/*/content/read",)
        body = {"properties": {"actions": list(actions)}}
        return self.send("PUT", f"scopeMaps/{name}", body).json()["id"]

    def add_token(self, name, *actions):
        """Make a scope map and a token of one name and return the token's id once it is active."""
        body = {"properties": {"scopeMapId": self.add_scope_map(name, *actions)}}
        created = self.send("PUT", f"tokens/{name}", body).json()["id"]
        self.registry.state.tokens[name].settles = None
        return created

    def add_connected(self, name, token_id=None, **properties):
        """Make a connected registry, and its sync token unless one is given."""
        gateway = [f"gateway/{name}/{verb}" for verb in GATEWAY_VERBS]
        actions = ["repositories/vessel/*/content/read", *gateway]
        token_id = token_id or self.add_token(name, *actions)
        return self.send("PUT", f"connectedRegistries/{name}", connected(token_id, **properties))

    def generate(self, token_id, slot=None, **more):
        body = {"tokenId": token_id} | ({"name": slot} if slot else {}) | more
        return self.send("POST", "generateCredentials", body)

    def password(self, token_id, slot="password1"):
        """Return the value of a new password."""
        answer = self.generate(token_id, slot).json()
        return next(each["value"] for each in answer["passwords"] if each["name"] == slot)

    def changes(self):
        """Return action and end of the target of each audit line."""
        return [(line["action"], line["target"].rpartition("/")[2]) for line in self.audit.read()]


def connected(token_id, *, parent=None, **properties):
    """Return the body that creates a connected registry."""
    sync = {"tokenId": token_id, "messageTtl": "P2D"}
    for key in ("schedule", "syncWindow", "messageTtl", "authType"):
        if key in properties:
            sync[key] = properties.pop(key)
    above = {"id": parent} if parent else {}
    body = {"mode": "ReadOnly", "parent": above | {"syncProperties": sync}} | properties
    return {"properties": {key: value for key, value in body.items() if value is not None}}


def code_of(response):
    """Return the code in the provider's envelope."""
    body = response.json()
    assert body["status"] == "Failed"
    assert body["error"]["message"]
    return body["error"]["code"]


@contextmanager
def azure_on(folder: Path, *, minute: float = 0.2, **options) -> Iterator[AzureClient]:
    """Run the emulated cloud in a thread."""
    with ExitStack() as stack:
        yield AzureClient(folder, stack, minute, options)
