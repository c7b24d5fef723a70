from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.distributions import DISTRIBUTIONS
from fleet.hosts_toml import DIAL_TIMEOUT, folder_names, header_of, means_the_same, render
from fleet.registries_endpoints import read_sources
from lab.hosts.registries import parse_registries, render_hosts

CASES = yaml.safe_load((Path(__file__).parent.parent / "cases" / "hosts_toml.yaml").read_text())
HEADER = DISTRIBUTIONS["k3s"].header
OUR_URL = "http://10.43.0.9:80/v2"
OURS = 'server = "https://a/v2"\n[host]\n[host."http://m/v2"]\n  capabilities = ["pull"]\n'


def rendered(case: dict[str, Any], *, trimmed: bool) -> str | None:
    sources = read_sources(case["file"], case["host"], no_default=case.get("no_default", False))
    if sources is None:
        return None
    return render(sources, HEADER, trimmed=trimmed, our_url=case.get("our_url", OUR_URL))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_registries_file_becomes(case: dict[str, Any]) -> None:
    assert rendered(case, trimmed=True) == case["trimmed"]
    if "older" in case:
        assert rendered(case, trimmed=False) == case["older"]


@pytest.mark.parametrize("trimmed", [True, False])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_k3s_of_the_lab_renders_the_same_bytes(case: dict[str, Any], trimmed: bool) -> None:
    registries = parse_registries(case["file"])
    no_default = case.get("no_default", False)
    theirs = render_hosts(registries, no_default=no_default, trimmed=trimmed).get(case["host"])
    ours = rendered(case, trimmed=trimmed)
    assert (ours and ours.replace(f"{DIAL_TIMEOUT}\n", "")) == theirs
    assert means_the_same(ours, theirs)


@pytest.mark.parametrize(
    "other",
    [
        OURS.replace("[host]\n", ""),
        "# a comment\n\n" + OURS.replace('  capabilities = ["pull"]', '\ncapabilities=["pull"]'),
        OURS + '  dial_timeout = "2s"\n',
        OURS + '  server = "http://m/v2"\n',
    ],
)
def test_layout_and_timeouts_do_not_count(other: str) -> None:
    assert means_the_same(OURS, other)


@pytest.mark.parametrize(
    "other",
    [
        None,
        "",
        "no toml at all",
        OURS.replace("//a/", "//b/"),
        OURS + "  skip_verify = true\n",
        OURS + '[host."http://n/v2"]\n',
        'host = "x"\n',
    ],
)
def test_anything_else_does(other: str | None) -> None:
    assert not means_the_same(OURS, other)
    assert not means_the_same(other, OURS)


def test_the_order_of_endpoints_counts() -> None:
    first, second = '[host."http://m/v2"]\n', '[host."http://n/v2"]\n'
    assert not means_the_same(first + second, second + first)


def test_no_file_means_the_same_as_no_file() -> None:
    assert means_the_same(None, None)


def test_the_first_line_says_whose_file_it_is() -> None:
    assert header_of(f"{HEADER}\r\nserver = 1\n") == HEADER
    assert header_of(None) == header_of("") == ""


def test_containerd_looks_under_two_names_for_a_host_with_a_port() -> None:
    assert folder_names("10.43.0.9:80") == ("10.43.0.9_80_", "10.43.0.9:80")
    assert folder_names("[fd00::9]:80") == ("[fd00::9]_80_", "[fd00::9]:80")
    assert folder_names("myacr.azurecr.io") == ("myacr.azurecr.io",)
