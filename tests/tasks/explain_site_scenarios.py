"""Rows of the symptom table that need a lab site of their own, or one that speaks https."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleet.chart_progress import is_registry_pod
from fleet.outcomes import SiteEndpoint
from fleet.sites import Service, Tls
from lab.certificates import Authority
from tasks.charts import deliver_connection_string, install_chart
from tasks.hosts import configure_nodes
from tasks.pull_secrets import deliver_pull_secrets
from tests.flows.lab_runs import delete_registry_pods, write_certificate_secret
from tests.tasks.explain_bench import CERTS, IMAGE, root_of, wait_until
from tests.tasks.site_bench import REPOSITORIES, LabSites, SiteBench

ADDRESS, TLS_SECRET = "10.43.200.80", "registry-tls"


@dataclass
class HttpsSite:
    """An onboarded site whose registry has a certificate by a CA that no host knows."""

    bench: SiteBench
    endpoint: SiteEndpoint
    authority: Authority


SiteScenario = Callable[[LabSites], AbstractContextManager[tuple[SiteBench, str]]]
HttpsScenario = Callable[[HttpsSite], AbstractContextManager[str]]
SITE_SCENARIOS: dict[str, SiteScenario] = {}
HTTPS_SCENARIOS: dict[str, HttpsScenario] = {}


def site_scenario(
    name: str,
) -> Callable[[Callable[[LabSites], Iterator[tuple[SiteBench, str]]]], SiteScenario]:
    """Register a scenario that takes the next site."""

    def register(function: Callable[[LabSites], Iterator[tuple[SiteBench, str]]]) -> SiteScenario:
        SITE_SCENARIOS[name] = contextmanager(function)
        return SITE_SCENARIOS[name]

    return register


def https_scenario(
    name: str,
) -> Callable[[Callable[[HttpsSite], Iterator[str]]], HttpsScenario]:
    """Register a scenario of the https site."""

    def register(function: Callable[[HttpsSite], Iterator[str]]) -> HttpsScenario:
        HTTPS_SCENARIOS[name] = contextmanager(function)
        return HTTPS_SCENARIOS[name]

    return register


@site_scenario("another installation is active")
def _activated(sites: LabSites) -> Iterator[tuple[SiteBench, str]]:
    with sites.next_site() as bench:
        deliver_connection_string.fn(bench.session)
        name = bench.site.names.connected_registry
        registry = bench.lab.world.azure.registry(bench.cloud.registry.name)
        bench.lab.call(registry.activate, name, "another-installation")
        install_chart.fn(bench.session)
        wait_until(lambda: "ALREADY_ACTIVATED" in _registry_log(bench))
        yield bench, IMAGE


@site_scenario("the sync password was renewed")
def _renewed(sites: LabSites) -> Iterator[tuple[SiteBench, str]]:
    with sites.next_site() as bench:
        deliver_connection_string.fn(bench.session)
        bench.cloud.access.renew_password(bench.site.names.sync_token, "password1", None)
        install_chart.fn(bench.session)
        wait_until(lambda: "Incorrect Password" in _registry_log(bench))
        yield bench, IMAGE


@site_scenario("the chart's job retries")
def _retrying(sites: LabSites) -> Iterator[tuple[SiteBench, str]]:
    """The chart wants an address that the Kubernetes API's Service has."""
    with sites.next_site() as bench:
        chart = bench.site.chart.model_copy(update={"service": Service(cluster_ip="10.43.0.1")})
        session = bench.with_site(chart=chart)
        deliver_connection_string.fn(session)
        install_chart.fn(session)
        namespace = chart.namespace
        wait_until(lambda: any(pod.restarts for pod in session.cluster.list_pods(namespace)))
        yield bench, IMAGE


def _registry_log(bench: SiteBench) -> str:
    chart, cluster = bench.site.chart, bench.session.cluster
    pods = [pod for pod in cluster.list_pods(chart.namespace) if is_registry_pod(chart, pod)]
    return "".join(cluster.read_pod_log(chart.namespace, pod.meta.name, lines=20) for pod in pods)


@https_scenario("a node lacks the CA")
def _no_ca(site: HttpsSite) -> Iterator[str]:
    certs = root_of(site.bench) / CERTS
    hosts = (site.bench.login_server, site.endpoint.host)
    paths = [certs / host / "hosts.toml" for host in hosts]
    before = {path: path.read_text() for path in paths}
    for path, text in before.items():
        lines = text.splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.lstrip().startswith("ca = ")))
    yield IMAGE
    for path, text in before.items():
        path.write_text(text)


@https_scenario("the certificate does not name the address")
def _other_name(site: HttpsSite) -> Iterator[str]:
    lab, name = site.bench.lab, site.bench.site.name
    pair = site.authority.issue("registry", names=("10.43.99.99",))
    write_certificate_secret(lab, name, TLS_SECRET, pair)
    delete_registry_pods(lab, name)
    wait_until(lambda: _shows_another(site))
    yield IMAGE


def _shows_another(site: HttpsSite) -> bool:
    port = site.bench.lab.world.sites[site.bench.site.name].edge.port
    context = ssl.create_default_context(cafile=str(site.authority.ca_file))
    context.check_hostname = False
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain) as secure,
    ):
        names = (secure.getpeercert() or {}).get("subjectAltName", ())
    return ("IP Address", "10.43.99.99") in names


@contextmanager
def an_https_site(sites: LabSites, folder: Path) -> Iterator[HttpsSite]:
    """Onboard a site whose registry speaks https with a certificate by a CA of its own."""
    with sites.next_site() as bench:
        authority = Authority(folder / f"{bench.site.name}-ca", "site CA")
        pair = authority.issue("registry", names=(ADDRESS,))
        write_certificate_secret(bench.lab, bench.site.name, TLS_SECRET, pair)
        chart = bench.site.chart.model_copy(
            update={
                "http_enabled": False,
                "tls": Tls(secret=TLS_SECRET, ca_file=str(authority.ca_file)),
                "service": Service(cluster_ip=ADDRESS),
            }
        )
        session = bench.with_site(chart=chart)
        endpoint = bench.bring_online()
        configure_nodes.fn(session, endpoint, bench.login_server, (), authority.ca_file.read_text())
        deliver_pull_secrets.fn(session, endpoint, bench.login_server, REPOSITORIES)
        yield HttpsSite(bench, endpoint, authority)
