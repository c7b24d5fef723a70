"""A site whose registry speaks https with a CA that no machine knows: real containerd, real TLS."""

import base64
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.outcomes import SiteEndpoint
from fleet.results import SiteResult, Status
from lab.certificates import Authority
from tasks.hosts import configure_nodes
from tests.acceptance.host import Host
from tests.acceptance.mirror import Mirror
from tests.acceptance.site import Site
from tests.acceptance.world import World

pytestmark = pytest.mark.flow

IMAGE = "vessel/navigation:1.5.0"
SECRET = "registry-tls"
_SECRETS = "/api/v1/namespaces/{}/secrets"


class Https:
    """A site with a certificate of its own for a fixed address.

    Attributes:
        ca_file: The CA file that the fleet file names; tests rewrite it.
    """

    def __init__(self, world: World, host: Host, folder: Path, number: int) -> None:
        """Write the fleet file; neither certificate nor CA is there yet."""
        self.world, self.host, self.address = world, host, f"10.43.80.{number}"
        self.name, self.ca_file = world.fresh_name(), folder / "ca.pem"
        chart = {"version": "0.4.0", "namespace": self.namespace, "release": self.namespace}
        chart |= {"http_enabled": False, "service": {"cluster_ip": self.address}}
        chart |= {"tls": {"secret": SECRET, "ca_file": str(self.ca_file)}}
        self.site: Site = world.site(self.name, [host], chart=chart)
        world.request("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})

    @property
    def namespace(self) -> str:
        return f"registry-{self.name}"

    def bring(self, authority: Authority, *names: str) -> None:
        """Put a certificate for these names into the Secret, instead of one that is there."""
        certificate, key = authority.issue("registry", names=names)
        pairs = {"tls.crt": certificate, "tls.key": key}
        data = {name: base64.b64encode(value).decode() for name, value in pairs.items()}
        body = {"metadata": {"name": SECRET}, "type": "kubernetes.io/tls", "data": data}
        path = _SECRETS.format(self.namespace)
        self.world.request("DELETE", f"{path}/{SECRET}", missing_ok=True)
        self.world.request("POST", path, body)

    def restart_registry(self) -> None:
        """Delete its pod; wait until the next one shows another certificate and has logins."""
        before = self.shown()
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        for pod in self.world.request("GET", path)["items"]:
            if "pod-template-hash" in pod["metadata"]["labels"]:
                self.world.request("DELETE", f"{path}/{pod['metadata']['name']}")
        self.host.until(lambda: self.shown() not in ("", before), what="another certificate")
        registry = self.world.controllers.registries[self.namespace, self.namespace]
        self.host.until(lambda: "Synchronised" in " ".join(registry.lines), what="a first sync")

    def shown(self) -> str:
        """Return the certificate that the registry shows, as PEM; none: it does not answer."""
        try:
            return ssl.get_server_certificate((self.address, 443), timeout=5)
        except OSError:
            return ""

    def onboard(self) -> SiteResult:
        (result,) = self.site.onboard().results
        return result

    def pull(self) -> str:
        """Pull by containerd under the site's address; return what it says, nothing if it works."""
        self.host.forget_images()
        pulled = self.host.pull(f"{self.address}:443/{IMAGE}", self.site.pull_login())
        return pulled.stderr if pulled.returncode else ""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca", "site CA")


@pytest.fixture
def mirror(world: World, authority: Authority, tmp_path: Path) -> Iterator[Mirror]:
    """A registry by https without a chart."""
    mirror = Mirror(tmp_path / "mirror", "10.43.80.99", 443)
    cloud_ca, azure = tmp_path / "cloud-ca", world.azure
    cloud_ca.mkdir()
    (cloud_ca / "ca.crt").write_bytes(world.authority.pem)
    world.loop.call(
        mirror.start,
        world.registry.login_server,
        f"{azure.client_id}:{azure.client_secret}",
        cloud_ca,
        [IMAGE],
        authority.server_context([mirror.address]),
    )
    yield mirror
    world.loop.call(mirror.distribution.stop)


def ca_on(host: Host) -> str:
    (path,) = host.find("/etc/rancher/k3s/acrfleet-*-ca.crt")
    return host.read(path)


def hosts_toml(host: Host) -> dict[str, list[str]]:
    """Return what K3s renders, without the line that only we can write."""
    paths = host.find(f"{host.flavor.certs_d}/*/hosts.toml")
    texts = {path: host.read(path).splitlines() for path in paths}
    assert any("ca = [" in line for lines in texts.values() for line in lines)
    return {path: [x for x in lines if "dial_timeout" not in x] for path, lines in texts.items()}


def test_containerd_pulls_over_https_with_the_ca_that_was_brought_and_nothing_was_restarted(
    world: World, host: Host, authority: Authority, tmp_path: Path
) -> None:
    https, before = Https(world, host, tmp_path, 1), host.service()
    https.bring(authority, https.address)
    https.ca_file.write_bytes(authority.pem)
    result = https.onboard()
    assert (result.status, result.error) == (Status.DONE, None), result.message
    assert ca_on(host) == authority.pem.decode()
    assert https.pull() == ""
    host.forget_images()
    pulled = host.pull(f"{https.site.login_server}/{IMAGE}", https.site.pull_login())
    assert pulled.returncode == 0, pulled.stderr
    assert any("/blobs/" in line for line in https.site.registry_log())
    assert host.service() == before

    traces = https.site.traces()
    assert https.onboard().changes == 0
    assert https.site.traces() == traces

    ours = hosts_toml(host)
    host.root("systemctl restart k3s")
    host.until_k3s_runs()
    assert hosts_toml(host) == ours
    assert https.pull() == ""


def test_a_ca_is_replaced_under_a_running_containerd_and_every_pull_between_works(
    world: World, host: Host, authority: Authority, tmp_path: Path
) -> None:
    https = Https(world, host, tmp_path, 2)
    https.bring(authority, https.address)
    https.ca_file.write_bytes(authority.pem)
    assert https.onboard().status is Status.DONE
    before, following = host.service(), Authority(tmp_path / "next", "next CA")

    https.ca_file.write_bytes(following.pem + authority.pem)
    assert https.onboard().changes == 1
    assert https.pull() == ""
    https.bring(following, https.address)
    https.restart_registry()
    assert https.pull() == ""
    https.ca_file.write_bytes(following.pem)
    assert https.onboard().changes == 1
    assert https.pull() == ""
    assert ca_on(host) == following.pem.decode()
    assert host.service() == before


def test_what_is_refused_before_nodes_are_touched_real_containerd_would_refuse_too(
    world: World, host: Host, authority: Authority, tmp_path: Path
) -> None:
    """An onboarded site gets a certificate without its address, then one of another CA."""
    https = Https(world, host, tmp_path, 3)
    https.bring(authority, https.address)
    https.ca_file.write_bytes(authority.pem)
    assert https.onboard().status is Status.DONE

    https.bring(authority, "registry.local")
    https.restart_registry()
    (verified,) = https.site.verify().results
    assert verified.error == "SiteCertificateError"
    assert f"does not name {https.address}: its subject alternative" in verified.message
    assert "names are DNS:registry.local" in verified.message
    assert "because it doesn't contain any IP SANs" in https.pull()

    https.bring(Authority(tmp_path / "other", "other CA"), https.address)
    https.restart_registry()
    (verified,) = https.site.verify().results
    assert verified.error == "SiteCertificateError"
    assert "issued by CN=other CA, but the CA of chart.tls is CN=site CA" in verified.message
    assert "certificate signed by unknown authority" in https.pull()


@pytest.mark.parametrize("distribution", ["k3s", "rke2", "containerd"])
def test_every_kind_of_node_refuses_the_registry_before_and_trusts_it_after_without_a_restart(
    world: World, authority: Authority, mirror: Mirror, distribution: str
) -> None:
    host = world.host(world.fresh_name(), distribution=distribution)
    site, before = world.site(world.fresh_name(), [host]), host.service()
    name = f"{mirror.address}:443/{IMAGE}"
    refused = host.pull(name, mirror.login)
    assert "certificate signed by unknown authority" in refused.stderr
    endpoint = SiteEndpoint(address=mirror.address, port=443, scheme="https")
    ca = authority.pem.decode()
    with site.session() as session:
        configure_nodes.fn(session, endpoint, site.login_server, ca=ca)
        pulled = host.pull(name, mirror.login)
        assert pulled.returncode == 0, pulled.stderr
        again = configure_nodes.fn(session, endpoint, site.login_server, ca=ca)
    assert not any(outcome.is_change for outcome in again)
    assert host.service() == before
    world.discard(host)
