"""Taking the site's registry out of registries.yaml leaves what was there before it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.outcomes import SiteEndpoint
from fleet.registries_removal import remove
from fleet.registries_yaml import RegistriesPlan, merge

CASES = Path(__file__).parent.parent / "cases" / "registries" / "merged.yaml"
PLAN = RegistriesPlan(
    login_server="myacr.azurecr.io", endpoint=SiteEndpoint(address="10.43.0.9", port=80)
)
OTHER = """\
# ours since 2021
mirrors:
  docker.io:
    endpoint:
      - "https://cache.example"  # never remove
  myacr.azurecr.io:
    endpoint: ["https://second.example"]
configs:
  cache.example:
    auth: {username: u, password: p}
"""


def cases() -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in yaml.safe_load(CASES.read_text())]


def data(text: str | None) -> Any:
    """Return what a file says; keys without a value say nothing."""
    found = yaml.load((text or "").removeprefix("\ufeff"), Loader=yaml.BaseLoader) or {}
    return {key: _full(value) for key, value in found.items() if _full(value)}


def _full(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _full(entry) for key, entry in value.items() if _full(entry)}
    return value


def test_a_file_of_ours_alone_goes_as_a_whole() -> None:
    assert remove(merge(None, PLAN, "n"), PLAN, "n") is None


def test_no_file_stays_no_file() -> None:
    assert remove(None, PLAN, "n") is None


def test_a_file_that_says_nothing_of_us_stays_byte_for_byte() -> None:
    for text in ("", "mirrors:\n", OTHER, "\ufeff" + OTHER, "# nothing\n"):
        assert remove(text, PLAN, "n") == text


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_others_wrote_comes_back_byte_for_byte(newline: str) -> None:
    text = OTHER.replace("\n", newline)
    merged = merge(text, PLAN, "n")
    assert merged != text
    assert remove(merged, PLAN, "n") == text
    assert remove(text, PLAN, "n") == text


@pytest.mark.parametrize("case", cases())
def test_what_a_merge_put_in_is_taken_out(case: dict[str, Any]) -> None:
    merged = merge(case["before"], PLAN, "n")
    after = remove(merged, PLAN, "n")
    assert data(after) == _full(_without(data(merged), {"http://10.43.0.9:80", *_marked(merged)}))
    assert "acrfleet" not in (after or "")
    assert remove(after, PLAN, "n") == after


def test_an_address_that_only_the_comment_still_knows_is_found() -> None:
    moved = PLAN.model_copy(update={"endpoint": SiteEndpoint(address="10.43.9.9", port=80)})
    assert remove(merge(OTHER, PLAN, "n"), moved, "n") == OTHER


def test_our_certificate_authority_goes_and_that_of_others_stays() -> None:
    endpoint = SiteEndpoint(address="10.43.0.9", port=443, scheme="https")
    path = "/etc/rancher/k3s/acrfleet-myacr.azurecr.io-ca.crt"
    plan = RegistriesPlan(
        login_server="myacr.azurecr.io", endpoint=endpoint, ca="pem", ca_file=path
    )
    merged = merge(OTHER, plan, "n")
    assert path in merged
    assert remove(merged, plan, "n") == OTHER
    assert remove(merge(None, plan, "n"), plan, "n") is None


def _marked(text: str | None) -> set[str]:
    lines = [line.strip() for line in (text or "").splitlines()]
    return {line.split()[-1] for line in lines if line.startswith("# acrfleet: site registry")}


def _without(found: Any, urls: set[str]) -> Any:
    if isinstance(found, dict):
        return {key: _without(value, urls) for key, value in found.items()}
    if isinstance(found, list):
        return [one for one in found if one not in urls]
    return found
