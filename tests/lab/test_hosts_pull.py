"""`k3s crictl pull` on a lab host: where it goes, how it logs in, what it says when it fails."""

import base64
import json
import time

import pytest

from lab.certificates import Authority
from tests.lab.host_bench import a_bench
from tests.lab.image_registry import ImageRegistry, dialler, digest_of

pytestmark = [pytest.mark.lab]
IMAGE = "acr.azurecr.io/vessel/nav:1"
SITE = ("10.43.0.9", 80)
CLOUD = ("acr.azurecr.io", 443)
MIRROR = b"""\
mirrors:
  acr.azurecr.io:
    endpoint: ["http://10.43.0.9:80"]
"""


@pytest.fixture
def bench(tmp_path):
    with a_bench(tmp_path) as bench:
        yield bench


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ca")


@pytest.fixture
def registry(bench):
    made = []

    def make(**more):
        made.append(ImageRegistry(**more))
        bench.loop.call(made[-1].start)
        return made[-1]

    yield make
    for one in made:
        bench.loop.call(one.stop)


@pytest.fixture
def host(bench, authority):
    return bench.host(ca_file=authority.ca_file, restart_seconds=0.05)


def with_mirror(bench, host, text=MIRROR):
    login = bench.login(host)
    login.root("cat > /etc/rancher/k3s/registries.yaml", text)
    assert login.root("systemctl restart k3s").status == 0
    return login


def containerd_log(host):
    return (host.root / "var/lib/rancher/k3s/agent/containerd/containerd.log").read_text()


def test_an_image_comes_from_the_mirror(bench, host, registry):
    site = registry()
    host.dial = dialler({SITE: site.port})
    login = with_mirror(bench, host)
    result = login.root(f"k3s crictl pull {IMAGE}")
    assert result.out == f"Image is up to date for {digest_of(site.config)}\n"
    assert host.images[IMAGE].digest == digest_of(site.manifest)
    assert 'endpoint="http://10.43.0.9:80/v2"' in containerd_log(host)
    assert ("HEAD", "/v2/vessel/nav/manifests/1?ns=acr.azurecr.io") in site.requests


def test_the_cloud_serves_what_the_mirror_has_not(bench, host, registry, authority):
    site = registry(repository="other")
    cloud = registry(tls=authority.server_context(["acr.azurecr.io", "127.0.0.1"]))
    host.dial = dialler({SITE: site.port, CLOUD: cloud.port, ("127.0.0.1", cloud.port): cloud.port})
    assert with_mirror(bench, host).root(f"k3s crictl pull {IMAGE}").status == 0
    assert host.images[IMAGE].endpoint == "https://acr.azurecr.io/v2"
    assert 'msg="trying next host"' in containerd_log(host)


def test_the_last_endpoints_failure_is_what_crictl_says(bench, host, registry):
    host.dial = dialler({SITE: registry(repository="other").port})
    result = with_mirror(bench, host).root(f"k3s crictl pull {IMAGE}")
    assert result.status == 1
    assert f'failed to pull and unpack image "{IMAGE}": failed to resolve reference' in result.err
    assert "dial tcp acr.azurecr.io:443: connect: connection refused" in result.err
    assert "FATA[0000] pulling image: rpc error: code = Unknown" in result.err


def test_a_missing_tag_is_not_found(bench, host, registry, authority):
    cloud = registry(repository="o", tls=authority.server_context(["acr.azurecr.io"]))
    host.dial = dialler({CLOUD: cloud.port})
    result = bench.login(host).root(f"k3s crictl pull {IMAGE}")
    assert "code = NotFound" in result.err
    assert f"{IMAGE}: not found" in result.err


def test_a_mirror_counts_only_after_a_restart(bench, host, registry):
    site = registry()
    host.dial = dialler({SITE: site.port})
    login = bench.login(host)
    login.root("cat > /etc/rancher/k3s/registries.yaml", MIRROR)
    assert login.root(f"k3s crictl pull {IMAGE}").status == 1
    login.root("systemctl restart k3s")
    assert login.root(f"k3s crictl pull {IMAGE}").status == 0


def test_a_hosts_file_counts_at_once(bench, host, registry):
    site = registry()
    host.dial = dialler({SITE: site.port})
    folder = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d/acr.azurecr.io"
    login = bench.login(host)
    login.root(f"mkdir {folder}; cat > {folder}/hosts.toml", b'[host."http://10.43.0.9:80"]\n')
    assert login.root(f"k3s crictl pull {IMAGE}").status == 0


@pytest.mark.parametrize("allows_post", [True, False])
@pytest.mark.parametrize("form", ["environment", "option"])
def test_credentials_are_used(bench, host, registry, allows_post, form):
    site = registry(user="token", allows_post=allows_post)
    host.dial = dialler({SITE: site.port, ("127.0.0.1", site.port): site.port})
    login = with_mirror(bench, host)
    if form == "option":
        result = login.root(f"k3s crictl pull --creds token:right {IMAGE}")
    else:
        secret = base64.b64encode(b"token:right") + b"\n"
        script = f"IFS= read -r CRICTL_AUTH; export CRICTL_AUTH; exec k3s crictl pull {IMAGE}"
        result = login.root(script, secret)
    assert result.status == 0, result.err


def test_a_wrong_password_is_named(bench, host, registry):
    site = registry(user="token")
    host.dial = dialler({SITE: site.port, ("127.0.0.1", site.port): site.port})
    result = with_mirror(bench, host).root(f"k3s crictl pull --creds token:wrong {IMAGE}")
    assert "wrong" not in result.err
    text = containerd_log(host)
    assert "failed to authorize: failed to fetch oauth token: unexpected status" in text
    assert "401 Unauthorized" in text
    assert "wrong" not in text


def test_no_credentials_mean_an_anonymous_token(bench, host, registry):
    site = registry(user="token")
    host.dial = dialler({SITE: site.port, ("127.0.0.1", site.port): site.port})
    with_mirror(bench, host).root(f"k3s crictl pull {IMAGE}")
    assert "failed to fetch anonymous token" in containerd_log(host)


def test_credentials_of_registries_yaml_belong_to_the_endpoint(bench, host, registry):
    site = registry(user="token")
    host.dial = dialler({SITE: site.port, ("127.0.0.1", site.port): site.port})
    auth = b'configs: {"10.43.0.9:80": {auth: {username: token, password: right}}}\n'
    login = with_mirror(bench, host, MIRROR + auth)
    assert login.root(f"k3s crictl pull {IMAGE}").status == 0


def test_a_certificate_of_a_stranger_is_refused(bench, host, registry, tmp_path):
    stranger = Authority(tmp_path / "stranger").server_context(["acr.azurecr.io"])
    host.dial = dialler({CLOUD: registry(tls=stranger).port})
    result = bench.login(host).root(f"k3s crictl pull {IMAGE}")
    assert "x509: certificate signed by unknown authority" in result.err


def test_https_to_a_plain_registry_is_named(bench, host, registry):
    host.dial = dialler({CLOUD: registry().port})
    result = bench.login(host).root(f"k3s crictl pull {IMAGE}")
    assert "http: server gave HTTP response to HTTPS client" in result.err


def test_a_damaged_blob_is_refused(bench, host, registry):
    site = registry(damaged=True)
    host.dial = dialler({SITE: site.port})
    assert with_mirror(bench, host).root(f"k3s crictl pull {IMAGE}").status == 1
    assert f"expected {digest_of(site.config)}: failed precondition" in containerd_log(host)
    assert host.images == {}


def test_another_manifest_than_the_digest_asked_for_is_refused(bench, host, registry):
    site = registry()
    host.dial = dialler({SITE: site.port})
    other = digest_of(b"another")
    login = with_mirror(bench, host)
    assert login.root(f"k3s crictl pull acr.azurecr.io/vessel/nav@{other}").status == 1
    assert f"expected {other}: failed precondition" in containerd_log(host)


def test_a_rewrite_changes_the_repository(bench, host, registry):
    site = registry(repository="copies/nav")
    host.dial = dialler({SITE: site.port})
    rewrite = b'    rewrite: {"^vessel/(.*)": "copies/$1"}\n'
    assert with_mirror(bench, host, MIRROR + rewrite).root(f"k3s crictl pull {IMAGE}").status == 0


def test_a_new_image_is_reported_once(bench, host, registry):
    host.dial = dialler({SITE: registry().port})
    login = with_mirror(bench, host)
    login.root(f"k3s crictl pull {IMAGE}; k3s crictl pull {IMAGE}")
    assert [target for action, target in bench.actions() if action == "pull"] == [IMAGE]


def test_images_are_listed_and_removed(bench, host, registry):
    site = registry()
    host.dial = dialler({SITE: site.port})
    login = with_mirror(bench, host)
    login.root(f"k3s crictl pull {IMAGE}")
    listed = json.loads(login.root("k3s crictl images -o json").out)["images"]
    assert [image["repoTags"] for image in listed] == [[IMAGE]]
    assert listed[0]["repoDigests"] == [f"acr.azurecr.io/vessel/nav@{digest_of(site.manifest)}"]
    assert "acr.azurecr.io/vessel/nav" in login.root("crictl images").out
    assert login.root(f"crictl inspecti {IMAGE}").status == 0
    assert login.root(f"crictl rmi {IMAGE}").status == 0
    assert login.root(f"crictl inspecti {IMAGE}").status == 1


def test_nothing_is_pulled_while_k3s_is_down(bench, host):
    login = bench.login(host)
    login.root("systemctl stop k3s")
    result = login.root(f"k3s crictl pull {IMAGE}")
    assert result.status == 1
    assert "containerd.sock: connect: connection refused" in result.err


def test_what_the_lab_has_not_is_refused_by_name(bench, host):
    login = bench.login(host)
    for command in ("k3s kubectl get pods", "k3s ctr tasks ls", "crictl ps"):
        result = login.root(command)
        assert result.status == 1
        assert "lab's hosts do not have this" in result.err


def test_a_restart_of_k3s_ends_a_pull_under_way(bench, host):
    bench.faults.add(part="hosts", kind="hang", match=f"pull {IMAGE}", times=1)
    one, two = bench.login(host), bench.login(host)
    channel = one.client.get_transport().open_session()
    channel.exec_command(f"sudo -n k3s crictl pull {IMAGE} 2>&1")
    two.run("sleep 0.3")
    two.root("systemctl restart k3s")
    assert b"code = Unavailable desc = error reading from server" in channel.makefile("rb").read()


def test_a_pull_can_be_slow(bench, host, registry):
    host.dial = dialler({SITE: registry().port})
    login = with_mirror(bench, host)
    bench.faults.add(part="hosts", kind="latency", match="pull *", seconds=0.5, times=1)
    started = time.monotonic()
    assert login.root(f"k3s crictl pull {IMAGE}").status == 0
    assert time.monotonic() - started >= 0.5


def test_the_default_endpoint_of_a_registry_on_loopback_is_https(bench, host, registry, authority):
    cloud = registry(tls=authority.server_context(["127.0.0.1"]))
    host.dial = dialler({("127.0.0.1", cloud.port): cloud.port})
    result = bench.login(host).root(f"k3s crictl pull 127.0.0.1:{cloud.port}/vessel/nav:1")
    assert result.status == 0, result.err


@pytest.fixture
def private(bench, host, registry, tmp_path):
    """A registry whose certificate nobody on the host trusts yet, and its authority's PEM."""
    authority = Authority(tmp_path / "private")
    site = registry(tls=authority.server_context(["10.43.0.9"]))
    host.dial = dialler({("10.43.0.9", 8443): site.port})
    return authority.pem


def a_pull_by(login, table):
    folder = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d/acr.azurecr.io"
    login.root(f"mkdir -p {folder}; cat > {folder}/hosts.toml", table.encode())
    return login.root(f"k3s crictl pull {IMAGE}")


def test_a_certificate_authority_of_the_hosts_file_counts_for_its_endpoint(bench, host, private):
    login = bench.login(host)
    table = '[host."https://10.43.0.9:8443"]\n'
    assert a_pull_by(login, table).status == 1
    assert "x509: certificate signed by unknown authority" in containerd_log(host)
    login.root("cat > /etc/site-ca.pem", private)
    assert a_pull_by(login, f'{table}  ca = "/etc/site-ca.pem"\n').status == 0
    assert a_pull_by(login, f"{table}  skip_verify = true\n").status == 0


def test_a_certificate_file_without_a_certificate_fails_the_pull(bench, host, private):
    login = bench.login(host)
    login.root("echo nothing > /etc/site-ca.pem")
    result = a_pull_by(login, '[host."https://10.43.0.9:8443"]\n  ca = "/etc/site-ca.pem"\n')
    assert result.status == 1
    assert "unable to load CA certs" in result.err


def test_an_http_endpoint_with_tls_settings_is_tried_in_tls_first(bench, host, registry, tmp_path):
    site = registry()
    host.dial = dialler({("10.43.0.9", 8080): site.port})
    login = bench.login(host)
    table = '[host."http://10.43.0.9:8080"]\n  skip_verify = true\n'
    assert a_pull_by(login, table).status == 0
