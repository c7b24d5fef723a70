"""Which certificates a node would accept, with certificates made for each test."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleet.outcomes import SiteEndpoint
from fleet.pull_errors import SiteAuthorityError
from fleet.site_certificates import (
    Certificate,
    explain_refusal,
    find_end_warning,
    find_name_problem,
    read_authorities,
    read_certificate,
)
from lab.certificates import Authority

NOW = datetime.now(UTC)
ENDPOINT = SiteEndpoint(address="10.43.0.80", port=443, scheme="https")
DAY = timedelta(days=1)


def until(end: datetime) -> timedelta:
    """Return the life that ends then: these tests run through midnight, too."""
    return end - datetime.now(UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca", "site CA")


def shown(authority: Authority, *names: str, life: timedelta = 400 * DAY) -> Certificate:
    certificate, _ = authority.issue("registry", names=names, life=life)
    found = read_certificate(certificate)
    assert found is not None
    return found


def read(text: str) -> str:
    return read_authorities(text, "the CA file ca.pem", NOW).text


def test_a_ca_goes_on_without_what_surrounds_it(authority: Authority) -> None:
    pem = authority.pem.decode()
    found = read_authorities(f"# our CA\r\n{pem}\n\n", "ca.pem", NOW)
    assert found.text == pem
    assert [one.subject for one in found.certificates] == ["CN=site CA"]
    assert found.warnings == ()


def test_a_bundle_keeps_its_order_so_that_an_unchanged_file_is_an_unchanged_node(
    authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", "next CA")
    bundle = other.pem.decode() + authority.pem.decode()
    assert read(bundle) == bundle
    assert read(bundle) == read(read(bundle))


@pytest.mark.parametrize("text", ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_without_a_certificate_is_refused_by_name(text: str) -> None:
    with pytest.raises(SiteAuthorityError, match=r"^the CA file ca\.pem holds no readable PEM"):
        read(text)


def test_a_key_is_refused_before_it_reaches_a_node(authority: Authority) -> None:
    _, key = authority.issue("registry")
    with pytest.raises(SiteAuthorityError, match="holds a private key") as raised:
        read(authority.pem.decode() + key.decode())
    assert key.decode().splitlines()[1] not in str(raised.value)


def test_a_servers_certificate_is_no_ca_and_its_issuer_is_named(authority: Authority) -> None:
    certificate, _ = authority.issue("registry", names=["10.43.0.80"])
    text = r"certificate 2 \(CN=registry\) is not a CA's: .* that issued it \(CN=site CA\)"
    with pytest.raises(SiteAuthorityError, match=text):
        read(authority.pem.decode() + certificate.decode())


def test_an_expired_ca_is_refused_with_its_day(tmp_path: Path) -> None:
    old = Authority(tmp_path, "old CA", life=until(NOW - 2 * DAY))
    with pytest.raises(SiteAuthorityError, match=f"expired on {NOW - 2 * DAY:%Y-%m-%d}"):
        read(old.pem.decode())


def test_an_expired_ca_beside_a_valid_one_is_a_warning(
    authority: Authority, tmp_path: Path
) -> None:
    old = Authority(tmp_path / "old", "old CA", life=-2 * DAY)
    bundle = authority.pem.decode() + old.pem.decode()
    (warning,) = read_authorities(bundle, "ca.pem", NOW).warnings
    assert warning.startswith("ca.pem: CN=old CA: it expired on ")


def test_a_ca_that_ends_soon_is_a_warning(tmp_path: Path) -> None:
    ending = Authority(tmp_path, "tired CA", life=until(NOW + 10 * DAY))
    (warning,) = read_authorities(ending.pem.decode(), "ca.pem", NOW).warnings
    assert f"the CA CN=tired CA expires on {NOW + 10 * DAY:%Y-%m-%d}" in warning


def test_a_certificate_covers_addresses_and_names_but_not_its_common_name(
    authority: Authority,
) -> None:
    found = shown(authority, "10.43.0.80", "fd00::0:1", "Registry.local")
    for address in ("10.43.0.80", "fd00:0::1", "registry.LOCAL"):
        assert find_name_problem(found, address) == ""
    assert find_name_problem(found, "10.43.0.81") == (
        "it does not name 10.43.0.81: its subject alternative names are DNS:registry.local, "
        "IP:10.43.0.80, IP:fd00::1; issue it again with IP:10.43.0.81 among them"
    )
    assert "alternative names are none" in find_name_problem(shown(authority), "registry")


def test_a_certificate_is_worth_a_warning_in_its_last_month(authority: Authority) -> None:
    assert find_end_warning(shown(authority, life=31 * DAY), NOW) == ""
    assert "in 28 days" in find_end_warning(shown(authority, life=28.5 * DAY), NOW)


def explained(certificate: Certificate | None, *known: Certificate, words: str = "") -> str:
    return str(explain_refusal(ENDPOINT, certificate, known, words, NOW))


def test_a_refusal_names_everything_that_is_wrong(authority: Authority, tmp_path: Path) -> None:
    other = read_authorities(Authority(tmp_path, "other CA").pem.decode(), "x", NOW)
    text = explained(shown(authority, "edge.local", life=until(NOW - DAY)), *other.certificates)
    assert "https://10.43.0.80:443 (CN=registry) is refused: it does not name 10.43.0.80" in text
    assert f"it expired on {NOW - DAY:%Y-%m-%d}" in text
    assert "issued by CN=site CA, but the CA of chart.tls is CN=other CA" in text


def test_a_refusal_by_this_machines_own_cas_asks_for_the_right_one(authority: Authority) -> None:
    error = explain_refusal(ENDPOINT, shown(authority, "10.43.0.80"), None, "unable to get", NOW)
    assert "issued by CN=site CA; if this machine does not know that CA, give its" in str(error)


def test_a_refusal_without_a_known_reason_says_what_the_library_said(
    authority: Authority,
) -> None:
    ca = read_authorities(authority.pem.decode(), "x", NOW)
    text = explained(shown(authority, "10.43.0.80"), *ca.certificates, words="CA md too weak")
    assert "is refused: CA md too weak; look at it with `openssl s_client`" in text
    assert "is refused: no certificate" in explained(None, words="no certificate")


def test_what_is_no_certificate_is_not_read() -> None:
    assert read_certificate(b"\x30\x00") is None
    assert read_certificate(b"-----BEGIN CERTIFICATE-----\n") is None
