"""Sites whose registry speaks https: its certificate, its CA on the nodes, and their renewal."""

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.results import SiteResult, Status
from fleet.verification import RungName
from lab.certificates import Authority
from lab.thread import LabThread
from tasks.records import read_record
from tests.flows.lab_runs import (
    change_fleet,
    delete_registry_pods,
    host_file,
    onboard,
    result_of,
    running_lab,
    write_certificate_secret,
    writes,
)
from tests.flows.plans import plan

pytestmark = [
    pytest.mark.flow,
    pytest.mark.slow,
    pytest.mark.lab,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("prefect_harness"),
]
ADDRESS = "10.43.200.80"
SECRET = "registry-tls"
REGISTRIES = "/etc/rancher/k3s/registries.yaml"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabThread]:
    with running_lab(tmp_path / "lab", monkeypatch, sites=2) as lab:
        yield lab


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A CA that no host of the lab knows."""
    return Authority(tmp_path / "site-ca", "site CA")


def describe(
    lab: LabThread,
    authority: Authority,
    *names: str,
    address: str | None = ADDRESS,
    site: str = "oslo",
    **tls: Any,
) -> None:
    """Put a certificate for these names into a site's cluster, and https into the fleet file."""
    write_certificate_secret(lab, site, SECRET, authority.issue("registry", names=names))
    tls = {"secret": SECRET, **(tls or {"ca_file": str(authority.ca_file)})}
    service = {"cluster_ip": address} if address else {}
    change_fleet(lab, site, chart={"http_enabled": False, "tls": tls, "service": service})


def run(lab: LabThread, site: str = "oslo") -> tuple[SiteResult, list[str]]:
    """Onboard a site; return its result and what was written."""
    before = len(writes(lab))
    result = result_of(onboard(lab, site), site)
    return result, writes(lab)[before:]


def nodes_of(lab: LabThread, site: str) -> list[str]:
    found = next(entry for entry in lab.info["sites"] if entry["name"] == site)
    return [node["name"] for node in found["nodes"]]


def text_on(lab: LabThread, node: str, path: str) -> str:
    return host_file(lab, node, path).read_text()


def ca_path(lab: LabThread) -> str:
    login_server = lab.info["registries"][0]["login_server"]
    return f"/etc/rancher/k3s/acrfleet-{login_server}-ca.crt"


def assert_pulls_over_https(lab: LabThread, site: str, ca: str, address: str = ADDRESS) -> None:
    host = f"{address}:443"
    for node in nodes_of(lab, site):
        assert text_on(lab, node, ca_path(lab)) == ca
        registries = yaml.safe_load(text_on(lab, node, REGISTRIES))
        assert registries["configs"] == {host: {"tls": {"ca_file": ca_path(lab)}}}
        assert registries["mirrors"][host] == {"endpoint": [f"https://{host}"]}
        log = text_on(lab, node, "/var/lib/rancher/k3s/agent/containerd/containerd.log")
        assert f'endpoint="https://{host}/v2"' in log


def test_a_site_over_https_is_onboarded_and_a_second_run_writes_nothing(
    lab: LabThread, authority: Authority
) -> None:
    describe(lab, authority, ADDRESS, site="rotterdam")
    result, _ = run(lab, "rotterdam")
    assert result.status is Status.DONE, result.message
    assert_pulls_over_https(lab, "rotterdam", authority.pem.decode())
    record = read_record("lab", "rotterdam")
    assert record is not None
    assert record.evidence is not None
    assert RungName.CERTIFICATE in [rung.name for rung in record.evidence.rungs]
    second, written = run(lab, "rotterdam")
    assert (second.status, second.changes, written) == (Status.DONE, 0, [])
    assert plan(lab, "rotterdam").is_empty


def test_a_ca_that_cert_manager_keeps_in_the_cluster_reaches_the_nodes(
    lab: LabThread, authority: Authority
) -> None:
    describe(lab, authority, ADDRESS, ca_secret=SECRET)
    pair = authority.issue("registry", names=[ADDRESS])
    write_certificate_secret(lab, "oslo", SECRET, pair, authority.pem)
    result, _ = run(lab)
    assert result.status is Status.DONE, result.message
    assert_pulls_over_https(lab, "oslo", authority.pem.decode())


def test_a_certificate_without_the_fixed_address_stops_the_site_before_anything_is_written(
    lab: LabThread, authority: Authority
) -> None:
    describe(lab, authority, "10.43.9.9", "registry.local")
    result, written = run(lab)
    assert result.error == "ClusterNotSuitableError"
    assert "does not name 10.43.200.80" in result.message
    assert "names are DNS:registry.local, IP:10.43.9.9" in result.message
    assert written == []


def test_a_certificate_without_the_address_that_the_cluster_chose_is_named_and_no_node_is_touched(
    lab: LabThread, authority: Authority
) -> None:
    describe(lab, authority, "registry.local", address=None)
    result, written = run(lab)
    assert result.error == "SiteCertificateError"
    assert "its subject alternative names are DNS:registry.local; issue it again" in result.message
    assert not [line for line in written if line.startswith("hosts ")]


def test_a_certificate_of_another_ca_is_named_and_no_node_is_touched(
    lab: LabThread, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", "other CA")
    describe(lab, authority, ADDRESS, ca_file=str(other.ca_file))
    result, written = run(lab)
    assert result.error == "SiteCertificateError"
    assert "issued by CN=site CA, but the CA of chart.tls is CN=other CA" in result.message
    assert not [line for line in written if line.startswith("hosts ")]


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "can't be read: No such file"), ("no PEM", "holds no readable PEM certificate")],
)
def test_a_ca_file_that_is_none_stops_the_site_before_anything_is_written(
    lab: LabThread, authority: Authority, tmp_path: Path, content: str | None, says: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    describe(lab, authority, ADDRESS, ca_file=str(file))
    result, written = run(lab)
    assert result.error == "SiteAuthorityError"
    assert f"the CA file {file} " in result.message
    assert says in result.message
    assert written == []


@pytest.mark.slow
def test_nodes_of_rke2_get_the_ca_too(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certs_d = "/var/lib/rancher/rke2/agent/etc/containerd/certs.d"
    with running_lab(tmp_path / "lab", monkeypatch, sites=1, distribution="rke2") as lab:
        describe(lab, authority, ADDRESS)
        result, _ = run(lab)
        assert result.status is Status.DONE, result.message
        (node,) = nodes_of(lab, "oslo")
        text = text_on(lab, node, f"{certs_d}/{ADDRESS}:443/hosts.toml")
        path = re.search(r'ca = \["(.*)"\]', text)
        assert path is not None
        assert text_on(lab, node, path[1]) == authority.pem.decode()
        assert run(lab)[1] == []


@pytest.mark.slow
def test_a_ca_is_replaced_by_way_of_a_bundle_and_each_step_is_one_file_per_node(
    lab: LabThread, authority: Authority, tmp_path: Path
) -> None:
    """Old CA; both; the registry's new certificate; new CA: pulls are proven after each step."""
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.pem)
    describe(lab, authority, ADDRESS, ca_file=str(file))
    assert run(lab)[0].status is Status.DONE

    following = Authority(tmp_path / "next", "next CA")
    file.write_bytes(following.pem + authority.pem)
    assert_only_the_ca_changed(lab, *run(lab))
    write_certificate_secret(lab, "oslo", SECRET, following.issue("registry", names=[ADDRESS]))
    restart_registry(lab)
    assert run(lab)[1] == []
    file.write_bytes(following.pem)
    assert_only_the_ca_changed(lab, *run(lab))
    assert_pulls_over_https(lab, "oslo", following.pem.decode())


@pytest.mark.slow
def test_a_site_moves_from_http_to_https_and_nothing_of_http_stays_on_its_nodes(
    lab: LabThread, authority: Authority
) -> None:
    change_fleet(lab, "oslo", chart={"service": {"cluster_ip": ADDRESS}})
    assert run(lab)[0].status is Status.DONE
    describe(lab, authority, ADDRESS)
    result, _ = run(lab)
    assert result.status is Status.DONE, result.message
    assert_pulls_over_https(lab, "oslo", authority.pem.decode())
    assert "http://" not in text_on(lab, nodes_of(lab, "oslo")[0], REGISTRIES)
    assert run(lab)[1] == []


def assert_only_the_ca_changed(lab: LabThread, result: SiteResult, written: Sequence[str]) -> None:
    """Nothing but one file of the node, and what the dead-man left and removed again."""
    assert result.status is Status.DONE, result.message
    assert result.changes == 1
    of_deadman = ("/lib/acrfleet", "deadman", "timers.target.wants")
    lines = [line for line in written if not any(word in line for word in of_deadman)]
    assert lines
    assert [line for line in lines if Path(ca_path(lab)).stem not in line] == []


def restart_registry(lab: LabThread) -> None:
    """Have the registry take its new certificate, as a restart of its pod does."""
    before = starts(lab)
    delete_registry_pods(lab, "oslo")
    end = time.monotonic() + 20
    while starts(lab) == before:
        assert time.monotonic() < end
        time.sleep(0.05)


def starts(lab: LabThread) -> int:
    lines = [line for line in lab.audit if line["part"] == "registry"]
    return len([line for line in lines if line["action"] == "start"])
