"""Clients that know nothing but lab.json: what any outsider could write against the lab."""

import base64
import ssl
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import paramiko
import yaml

API = {"api-version": "2025-11-01"}
SITE_ACTIONS = ("config/read", "config/write", "message/read", "message/write")
READ = ("content/read", "metadata/read")


def wait(condition, seconds=30, why="it never happened"):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, why
        time.sleep(0.05)
    return value


@contextmanager
def arm(info, registry=0):
    """Open Resource Manager at one registry."""
    client = Arm(info, registry)
    try:
        yield client
    finally:
        client.http.close()


class Arm:
    """Resource Manager, logged in with the lab's service principal."""

    def __init__(self, info, registry=0):
        azure, chosen = info["azure"], info["registries"][registry]
        self.http = httpx.Client(verify=ssl.create_default_context(cafile=azure["ca_file"]))
        answer = self.http.post(
            f"{azure['authority']}/{azure['tenant_id']}/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": azure["client_id"],
                "client_secret": azure["client_secret"],
                "scope": f"{azure['audience']}/.default",
            },
        ).raise_for_status()
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        self.id = (
            f"/subscriptions/{azure['subscription_id']}/resourceGroups/{chosen['resource_group']}"
            f"/providers/Microsoft.ContainerRegistry/registries/{chosen['name']}"
        )
        self.url = f"{azure['resource_manager']}{self.id}"

    def call(self, method, path, **body):
        answer = self.http.request(method, f"{self.url}/{path}", params=API, json=body or None)
        answer.raise_for_status()
        return answer.json() if answer.content else {}

    def token(self, name, actions):
        self.call("PUT", f"scopeMaps/{name}-map", properties={"actions": list(actions)})
        properties = {"scopeMapId": f"{self.id}/scopeMaps/{name}-map", "status": "enabled"}
        self.call("PUT", f"tokens/{name}", properties=properties)
        wait(
            lambda: (
                self.call("GET", f"tokens/{name}")["properties"]["provisioningState"] == "Succeeded"
            )
        )

    def password(self, token, slot="password1"):
        answer = self.call(
            "POST", "generateCredentials", tokenId=f"{self.id}/tokens/{token}", name=slot
        )
        return next(one["value"] for one in answer["passwords"] if one["name"] == slot)

    def connected_registry(self, name, repositories, mode="ReadOnly"):
        """Make sync token, client token and connected registry; return its connection string."""
        verbs = READ if mode == "ReadOnly" else (*READ, "content/write")
        actions = [f"repositories/{one}/{verb}" for one in repositories for verb in verbs]
        self.token(f"{name}-sync", [*actions, *(f"gateway/{name}/{a}" for a in SITE_ACTIONS)])
        self.token(f"{name}-client", actions)
        sync = {"tokenId": f"{self.id}/tokens/{name}-sync", "messageTtl": "P2D"}
        properties = {
            "mode": mode,
            "parent": {"syncProperties": sync},
            "clientTokenIds": [f"{self.id}/tokens/{name}-client"],
        }
        self.call("PUT", f"connectedRegistries/{name}", properties=properties)
        return self.connection_string(name)

    def connection_string(self, name, slot="password1"):
        gateway = self.read(name)["parent"]["syncProperties"]["gatewayEndpoint"]
        return (
            f"ConnectedRegistryName={name};SyncTokenName={name}-sync;"
            f"SyncTokenPassword={self.password(f'{name}-sync', slot)};"
            f"ParentGatewayEndpoint={gateway};ParentEndpointProtocol=https"
        )

    def read(self, name):
        return self.call("GET", f"connectedRegistries/{name}")["properties"]


@contextmanager
def kubernetes(site):
    """Open a site's Kubernetes API with its kubeconfig."""
    config = yaml.safe_load(Path(site["kubeconfig"]).read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(
        cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
    )
    with tempfile.NamedTemporaryFile() as file:
        file.write(base64.b64decode(user["client-certificate-data"]))
        file.write(base64.b64decode(user["client-key-data"]))
        file.flush()
        context.load_cert_chain(file.name)
    with httpx.Client(base_url=cluster["server"], verify=context) as client:
        yield client


NAMESPACE = "connected-registry"
VESSEL = ("vessel/navigation", "vessel/crew-portal")


def install_chart(api, connection_string, **values):
    """Put the chart's objects on a cluster, as K3s' helm-controller wants them."""
    _create(api, "/api/v1/namespaces", "v1", "Namespace", NAMESPACE)
    secret = base64.b64encode(yaml.safe_dump({"connectionString": connection_string}).encode())
    _create(
        api,
        f"/api/v1/namespaces/{NAMESPACE}/secrets",
        "v1",
        "Secret",
        "connection",
        data={"values.yaml": secret.decode()},
    )
    content = {
        "httpEnabled": True,
        "pvc": {"storageClassName": "local-path", "storageRequest": "1Gi"},
        "service": {"type": "ClusterIP"},
        "trustDistribution": {"enabled": False},
        "cert-manager": {"enabled": False, "install": False},
        **values,
    }
    spec = {
        "chart": "oci://mcr.microsoft.com/acr/connected-registry/chart",
        "version": "0.4.0",
        "targetNamespace": NAMESPACE,
        "valuesContent": yaml.safe_dump(content),
        "valuesSecrets": [{"name": "connection", "keys": ["values.yaml"]}],
        "failurePolicy": "abort",
    }
    path = f"/apis/helm.cattle.io/v1/namespaces/{NAMESPACE}/helmcharts"
    _create(api, path, "helm.cattle.io/v1", "HelmChart", "connected-registry", spec=spec)


def _create(api, path, version, kind, name, **more):
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **more}
    answer = api.post(path, json=body)
    if answer.status_code == 409:
        merge = {"Content-Type": "application/merge-patch+json"}
        answer = api.patch(f"{path}/{name}", json=body, headers=merge)
    assert answer.status_code in (200, 201), answer.text


def docker_token(endpoint, user, password, scope):
    """Log in as Docker does; return the answer of the token endpoint."""
    challenge = httpx.get(f"{endpoint}/v2/").headers["www-authenticate"]
    parts = dict(part.split("=", 1) for part in challenge.removeprefix("Bearer ").split(","))
    realm, service = parts["realm"].strip('"'), parts["service"].strip('"')
    return httpx.get(realm, params={"service": service, "scope": scope}, auth=(user, password))


def site_of(lab, name="oslo"):
    return next(site for site in lab.info["sites"] if site["name"] == name)


def log_in(node, through=None):
    client = paramiko.SSHClient()
    client.load_host_keys(node["known_hosts"])
    client.connect(
        node["host"],
        node["port"],
        node["user"],
        key_filename=node["key_file"],
        allow_agent=False,
        look_for_keys=False,
        timeout=10,
        sock=through,
    )
    return client


def run(client, command):
    _, out, err = client.exec_command(command, timeout=20)
    output = out.read().decode(), err.read().decode()
    return out.channel.recv_exit_status(), *output


def onboard(lab, name="oslo", password="password1"):
    """Do by hand what the product does: returns the client password."""
    with arm(lab.info) as azure, kubernetes(site_of(lab, name)) as api:
        install_chart(api, azure.connected_registry(f"{name}01", VESSEL))
        client = azure.password(f"{name}01-client", password)
        wait(
            lambda: azure.read(f"{name}01")["connectionState"] == "Online",
            why=str(lab.world.sites[name].state),
        )
    wait(lambda: lab.world.sites[name].edge.state["last_sync"])
    return client
