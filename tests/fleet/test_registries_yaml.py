from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.host_errors import HostFileInvalidError
from fleet.outcomes import SiteEndpoint
from fleet.registries_yaml import RegistriesPlan, check, merge

CASES = Path(__file__).parent.parent / "cases" / "registries"
PLAN = RegistriesPlan(
    login_server="myacr.azurecr.io", endpoint=SiteEndpoint(address="10.43.0.9", port=80)
)
HTTPS = RegistriesPlan(
    login_server="myacr.azurecr.io",
    endpoint=SiteEndpoint(address="10.43.0.9", port=443, scheme="https"),
    ca="-----BEGIN CERTIFICATE-----",
    ca_file="/etc/rancher/k3s/acrfleet-myacr.azurecr.io-ca.crt",
)


def cases(name: str) -> list[Any]:
    return [
        pytest.param(case, id=case["name"]) for case in yaml.safe_load((CASES / name).read_text())
    ]


@pytest.mark.parametrize("case", cases("merged.yaml"))
def test_a_file_gets_our_mirrors_and_keeps_everything_else(case: dict[str, str]) -> None:
    assert merge(case["before"], PLAN, "oslo") == case["after"]


@pytest.mark.parametrize("case", cases("merged.yaml"))
def test_merging_again_changes_nothing(case: dict[str, str]) -> None:
    assert merge(case["after"], PLAN, "oslo") == case["after"]


@pytest.mark.parametrize("case", cases("merged.yaml"))
def test_every_line_that_is_not_ours_survives_a_change_of_address(case: dict[str, str]) -> None:
    other = SiteEndpoint(address="10.43.99.99", port=5000)
    moved = merge(case["after"], PLAN.model_copy(update={"endpoint": other}), "oslo")
    kept = [line for line in case["after"].splitlines() if "10.43.0.9" not in line]
    assert [line for line in moved.splitlines() if line in kept] == kept
    assert yaml.safe_load(moved.lstrip("\ufeff"))["mirrors"][other.host]["endpoint"] == [other.url]


@pytest.mark.parametrize("case", cases("refused.yaml"))
def test_what_k3s_would_drop_or_die_of_is_refused_with_its_line(case: dict[str, Any]) -> None:
    with pytest.raises(HostFileInvalidError) as refused:
        merge(case["file"], PLAN, "oslo: /etc/registries.yaml")
    assert f"oslo: /etc/registries.yaml:{case['line']}: " in str(refused.value)
    for word in case["words"]:
        assert word in str(refused.value)


def test_all_problems_of_a_file_are_told_at_once() -> None:
    with pytest.raises(HostFileInvalidError) as refused:
        check("mirrros: {}\nconfig: {}\nmirrors: {x: {endpoint: [1, {}], rewrites: {}}}\n", "oslo")
    assert [problem.split(":")[1] for problem in refused.value.problems] == ["1", "2", "3", "3"]


def test_no_secret_of_the_file_gets_into_the_error() -> None:
    secret = "hunter2hunter2"
    for text in (
        f"configs: {{x: {{auth: {{token: {secret}}}}}}}",
        f"configs:\n  x:\n    auth:\n      password: *{secret}\n",
        f"mirrors: {{x: {{endpoint: ['ftp://user:{secret}@y']}}}}",
        f"mirrors: {{'https://user:{secret}@x': {{}}}}",
        f"configs:\n  password: '{secret}\n",
        f"configs: {{x: !{secret} {{}}, x: {{}}}}",
    ):
        with pytest.raises(HostFileInvalidError) as refused:
            check(text, "oslo")
        assert secret not in str(refused.value)


def test_credentials_and_tls_are_not_written() -> None:
    assert set(yaml.safe_load(merge(None, PLAN, "oslo"))) == {"mirrors"}


def test_an_ipv6_address_is_written_in_brackets() -> None:
    plan = PLAN.model_copy(update={"endpoint": SiteEndpoint(address="fd00::9", port=80)})
    mirrors = yaml.safe_load(merge(None, plan, "oslo"))["mirrors"]
    assert mirrors["[fd00::9]:80"]["endpoint"] == ["http://[fd00::9]:80"]


def test_a_layout_that_cannot_be_edited_safely_is_left_alone() -> None:
    with pytest.raises(HostFileInvalidError, match="by hand; the file was left alone"):
        merge("configs: {}\n...\n", PLAN, "oslo")


@pytest.mark.parametrize("case", cases("authority.yaml"))
def test_a_file_names_the_certificate_authority(case: dict[str, str]) -> None:
    assert merge(case["before"], HTTPS, "oslo") == case["after"]
    assert merge(case["after"], HTTPS, "oslo") == case["after"]


@pytest.mark.parametrize("case", cases("authority.yaml"))
def test_the_authority_goes_when_nodes_trust_the_registry_anyway(case: dict[str, str]) -> None:
    trusted = HTTPS.model_copy(update={"ca": None, "ca_file": None})
    after = merge(case["after"], trusted, "oslo")
    configs = yaml.safe_load(after).get("configs") or {}
    ours = {"tls": {"ca_file": HTTPS.ca_file}}
    assert ours not in configs.values()
    before = yaml.safe_load(case["before"] or "") or {}
    kept = {name: one for name, one in (before.get("configs") or {}).items() if one != ours}
    assert kept.keys() <= configs.keys()


def test_a_certificate_authority_of_others_is_not_replaced() -> None:
    text = 'configs:\n  "10.43.0.9:443":\n    tls: {ca_file: /etc/theirs.crt}\n'
    with pytest.raises(HostFileInvalidError) as refused:
        merge(text, HTTPS, "oslo: /etc/r.yaml")
    assert "oslo: /etc/r.yaml:3: configs.10.43.0.9:443.tls.ca_file names another" in str(
        refused.value
    )
    assert "/etc/theirs.crt" not in str(refused.value)
    trusted = HTTPS.model_copy(update={"ca": None, "ca_file": None})
    assert "/etc/theirs.crt" in merge(text, trusted, "oslo")
