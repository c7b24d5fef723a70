"""A registry's own certificate, looked at in its Secret."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from fleet.cluster_certificates import find_certificate_problems, find_certificate_warnings
from fleet.cluster_objects import Meta, SecretView, ServicePort, ServiceView
from fleet.sites import Chart, Service, Site, Tls
from lab.certificates import Authority
from tests.builders import a_site

NOW = datetime.now(UTC)
ADDRESS = "10.43.0.80"
DAY = timedelta(days=1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "site CA")


def a_secret(authority: Authority, *names: str, life: timedelta = 400 * DAY) -> SecretView:
    certificate, key = authority.issue("registry", names=names, life=life)
    return holding(**{"tls.crt": certificate.decode(), "tls.key": key.decode()})


def holding(**data: str) -> SecretView:
    values = {name: SecretStr(value) for name, value in data.items()}
    return SecretView(meta=Meta(name="edge"), type="kubernetes.io/tls", data=values)


def an_https_site(address: str | None = ADDRESS, secret: str | None = "edge") -> Site:
    service = Service(cluster_ip=address)
    chart = Chart(version="0.4.0", http_enabled=False, tls=Tls(secret=secret), service=service)
    return a_site(chart=chart)


def problems(site: Site, secret: SecretView | None, *services: ServiceView) -> list[str]:
    return list(find_certificate_problems(site, secret, services, NOW))


def warnings(site: Site, secret: SecretView | None, *services: ServiceView) -> list[str]:
    return list(find_certificate_warnings(site, secret, services, NOW))


def a_service(address: str, **changes: Any) -> ServiceView:
    labels = {"app.kubernetes.io/instance": "connected-registry"}
    meta = Meta(name="cr", namespace="connected-registry", labels=labels)
    ports = (ServicePort(name="https", port=443),)
    return ServiceView(meta=meta, type="ClusterIP", cluster_ip=address, ports=ports)


def test_a_certificate_that_names_the_fixed_address_is_fine(authority: Authority) -> None:
    secret = a_secret(authority, ADDRESS)
    assert problems(an_https_site(), secret) == []
    assert warnings(an_https_site(), secret) == []


def test_a_site_without_a_certificate_of_its_own_has_nothing_to_look_at() -> None:
    assert problems(an_https_site(secret=None), None) == []
    assert problems(a_site(), None) == []
    assert warnings(a_site(), None) == []


def test_a_certificate_that_lacks_the_address_is_found_before_the_chart_goes_in(
    authority: Authority,
) -> None:
    (problem,) = problems(an_https_site(), a_secret(authority, "10.43.0.9"))
    assert "Secret connected-registry/edge will be refused: it does not name 10.43.0.80" in problem
    assert "names are IP:10.43.0.9; issue it again with IP:10.43.0.80" in problem


def test_an_expired_certificate_is_found(authority: Authority) -> None:
    (problem,) = problems(an_https_site(), a_secret(authority, ADDRESS, life=-DAY))
    assert "it expired on" in problem


def test_a_missing_secret_is_a_problem_with_the_command_that_makes_it() -> None:
    (problem,) = problems(an_https_site(), None)
    assert "edge does not exist; create it with `kubectl create secret tls`" in problem


def test_a_secret_without_its_parts_is_a_problem_for_each(authority: Authority) -> None:
    assert problems(an_https_site(), holding()) == [
        "chart.tls.secret: the Secret connected-registry/edge has no tls.crt",
        "chart.tls.secret: the Secret connected-registry/edge has no tls.key",
    ]
    (problem,) = problems(an_https_site(), holding(**{"tls.crt": "?", "tls.key": "?"}))
    assert "tls.crt of the Secret connected-registry/edge is no PEM certificate" in problem


def test_the_address_of_an_earlier_installation_counts_where_none_is_fixed(
    authority: Authority,
) -> None:
    site, secret = an_https_site(address=None), a_secret(authority, ADDRESS)
    assert problems(site, secret, a_service(ADDRESS)) == []
    assert warnings(site, secret, a_service(ADDRESS)) == []
    (problem,) = problems(site, secret, a_service("10.43.9.9"))
    assert "does not name 10.43.9.9" in problem


def test_an_address_that_the_cluster_will_choose_is_a_warning(authority: Authority) -> None:
    site, secret = an_https_site(address=None), a_secret(authority, ADDRESS, "edge.local")
    assert problems(site, secret) == []
    (warning,) = warnings(site, secret)
    assert "(it names the addresses IP:10.43.0.80): set chart.service.cluster_ip" in warning


def test_a_certificate_in_its_last_month_is_a_warning(authority: Authority) -> None:
    (warning,) = warnings(an_https_site(), a_secret(authority, ADDRESS, life=5 * DAY))
    assert "connected-registry/edge at oslo expires on" in warning
