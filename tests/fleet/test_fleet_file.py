"""The fleet file, from tests/cases/fleet_files: text in, problems or a fleet out."""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from fleet.errors import FleetFileError
from fleet.fleet_file import parse_fleet
from fleet.fleet_file_merge import merge_site
from fleet.fleet_file_problems import problems_of
from fleet.fleet_file_yaml import Document
from fleet.sites import AcrRegistry, Cloud, Fleet, Mode, Strict, Sync

CASES = Path(__file__).parents[1] / "cases" / "fleet_files"
EXAMPLE = Path(__file__).parents[2] / "deployments" / "fleet.example.yaml"
BASE = """\
version: 1
fleet: northsea
registries:
  northsea:
    subscription_id: 00000000-0000-0000-0000-000000000000
    resource_group: rg
    name: northsea
defaults:
  repositories: {include: [vessel/*]}
  chart: {version: 0.4.0}
sites:
- name: oslo
"""
NODES = "  nodes: [{address: 10.0.0.1}]\n"


def cases() -> list[Any]:
    """Return the cases: `file` is a whole file, `site` what a site in an otherwise good file says.

    The first line of `site` is line 13. `nodes: false` leaves the site's nodes to the case.
    """
    found = []
    for path in sorted(CASES.glob("*.yaml")):
        for case in yaml.safe_load(path.read_text(encoding="utf-8")):
            text = case.get("file")
            if text is None:
                lines = case["site"].splitlines()
                nodes = NODES if case.get("nodes", True) else ""
                text = BASE + "".join(f"  {line}\n" for line in lines) + nodes
            found.append(pytest.param(text, case["problems"], id=f"{path.stem}: {case['name']}"))
    return found


def problems_in(text: str) -> list[str]:
    try:
        parse_fleet(text, "f")
    except FleetFileError as error:
        return [problem.removeprefix("f:") for problem in error.problems]
    return []


def parse_example() -> Fleet:
    return parse_fleet(EXAMPLE.read_text(encoding="utf-8"), "fleet.example.yaml")


def oslo(lines: str = "") -> Any:
    return parse_fleet(BASE + NODES + lines, "f").sites[0]


@pytest.mark.parametrize(("text", "expected"), cases())
def test_all_problems_are_shown_with_their_lines(text: str, expected: list[str]) -> None:
    assert problems_in(text) == expected


def test_the_example_is_valid_and_shows_defaults_and_overrides() -> None:
    fleet = parse_example()
    oslo, rotterdam, singapore = fleet.sites
    assert fleet.name == "northsea"
    assert [site.name for site in fleet.sites] == ["oslo", "rotterdam", "singapore"]
    assert oslo.connected_registry.sync == Sync()
    assert rotterdam.connected_registry.sync == Sync(
        schedule="0 1 * * *", window=timedelta(hours=4), message_ttl=timedelta(days=7)
    )
    assert rotterdam.chart.storage.class_name == oslo.chart.storage.class_name
    assert rotterdam.chart.storage.size != oslo.chart.storage.size
    assert rotterdam.chart.service.cluster_ip == ip_address("10.43.0.80")
    assert [len(rotterdam.servers()), len(rotterdam.agents())] == [1, 2]
    assert singapore.nodes[0].jump is not None
    assert fleet.registries["northsea"].key == "northsea"


def test_a_fleet_survives_json_as_prefect_sends_it() -> None:
    fleet = parse_example()
    assert Fleet.model_validate_json(fleet.model_dump_json()) == fleet


def test_a_site_needs_no_registry_where_there_is_one_only() -> None:
    assert oslo().registry == "northsea"


def test_a_node_is_called_by_its_address_unless_it_has_a_name() -> None:
    assert [node.name for node in oslo().nodes] == ["10.0.0.1"]


def test_lists_of_a_site_replace_the_defaults_and_mappings_are_merged() -> None:
    site = oslo("  repositories: {include: [crew/*]}\n  chart: {extra_values: {a: {b: 1}}}\n")
    assert site.repositories.include == ("crew/*",)
    assert site.chart.version == "0.4.0"
    assert site.chart.extra_values == {"a": {"b": 1}}


def test_yaml_anchors_and_merge_keys_work() -> None:
    text = (BASE + NODES).replace(
        "- name: oslo\n", "- &one\n  name: oslo\n  tags: [a]\n  host: &host {sudo: false}\n"
    )
    text += "- <<: *one\n  name: bergen\n  nodes: [{address: 10.0.0.2}]\n"
    text += "- {<<: [*one], name: bodo, nodes: [{address: 10.0.0.3}], host: *host, tags: [b]}\n"
    sites = parse_fleet(text, "f").sites
    assert [(site.name, site.tags, site.host.sudo) for site in sites] == [
        ("oslo", ("a",), False),
        ("bergen", ("a",), False),
        ("bodo", ("b",), False),
    ]


def test_https_leaves_cert_manager_to_the_operator() -> None:
    chart = "  chart: {http_enabled: false, extra_values: {cert-manager: {crds: false}}}\n"
    assert oslo(chart).chart.extra_values == {"cert-manager": {"crds": False}}


def test_the_name_of_a_secret_is_not_a_secret() -> None:
    values = {"proxy": {"secret": "edge"}, "existingSecret": "x", "token": {"a": 1}, "l": []}
    lines = f"  chart:\n    extra_values: {values}\n"
    assert oslo(lines).chart.extra_values == values


def test_durations_are_read_in_both_spellings() -> None:
    written = ("1h", "PT1H", "60m", "3600s")
    found = {oslo(f"  patience: {{online: {text}}}\n").patience.online for text in written}
    assert found == {timedelta(hours=1)}


def test_a_cloud_may_be_written_as_its_name() -> None:
    text = (BASE + NODES).replace("    name: northsea\n", "    name: northsea\n    cloud: china\n")
    assert parse_fleet(text, "f").registries["northsea"].cloud == Cloud(name="china")


def test_a_registry_may_come_from_a_block() -> None:
    text = """
version: 1
fleet: northsea
registries:
  far: {settings_block: northsea-acr, max_concurrent_calls: 2}
sites:
- {name: oslo, repositories: {include: [a]}, chart: {version: 0.4.0}, nodes: [{address: a.example}]}
"""
    fleet = parse_fleet(text, "f")
    assert fleet.registries == {}
    assert fleet.registry_blocks["far"].settings_block == "northsea-acr"
    acr = AcrRegistry(
        key="far",
        subscription_id="0" * 8 + "-0000-0000-0000-" + "0" * 12,
        resource_group="rg",
        name="northsea",
    )
    resolved = fleet.with_registries({"far": acr})
    assert (resolved.registries, resolved.registry_blocks) == ({"far": acr}, {})
    with pytest.raises(FleetFileError, match="near is the same registry as far"):
        resolved.with_registries({"near": acr})


def test_fifty_sites_fit_on_one_registry_and_fifty_one_do_not() -> None:
    def sites(count: int) -> str:
        return BASE.replace("- name: oslo\n", "") + "".join(
            f"- {{name: site-{n}, nodes: [{{address: 10.0.0.{n}}}]}}\n" for n in range(count)
        )

    assert problems_in(sites(50)) == []
    assert problems_in(sites(51)) == [
        (
            "4: registries.northsea has 51 sites: allowed are 50 connected registries on one Azure"
            " registry; move 1 to another one"
        )
    ]


@pytest.mark.parametrize(("mode", "fitting"), [(Mode.READ_ONLY, 248), (Mode.READ_WRITE, 99)])
def test_too_many_named_repositories_are_counted(mode: Mode, fitting: int) -> None:
    def site(count: int) -> str:
        names = ", ".join(f"app-{n}" for n in range(count))
        extra = "[app-0, old/*, 'app-1[5]']"
        return (
            f"{BASE}{NODES}  connected_registry: {{mode: {mode}}}\n"
            f"  repositories: {{include: ['z/*', {names}], exclude: {extra}}}\n"
        )

    assert problems_in(site(fitting + 2)) == []
    assert problems_in(site(fitting + 3)) == [
        (
            f"15: sites[oslo].repositories.include names {fitting + 1} repositories: allowed are"
            f" {fitting} in {mode} mode (500 actions in one scope map); leave 1 out"
        )
    ]


def test_what_a_default_gets_wrong_is_said_once_for_all_sites() -> None:
    text = (BASE + NODES).replace("version: 0.4.0", "version: latest")
    text += "- {name: bergen, nodes: [{address: 10.0.0.2}]}\n"
    assert problems_in(text) == [
        (
            "10: defaults.chart.version is latest: allowed are exact versions such as 0.4.0;"
            " pin the version, no ranges and no 'latest'"
        )
    ]


def test_an_error_without_words_of_ours_is_shown_in_those_of_pydantic() -> None:
    class Ratio(Strict):
        ratio: float

    data = {"ratio": "half"}
    with pytest.raises(ValidationError) as error:
        Ratio.model_validate(data)
    (problem,) = problems_of(error.value, Ratio, merge_site(Document(), None, data, ("x",)))
    assert problem.text.startswith("x.ratio is half: Input should be a valid number")


def test_no_problem_quotes_a_key() -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\n      canary\n      -----END"
    text = BASE + NODES + f"  ssh:\n    key_file: |\n      {key}\n    password: canary\n"
    found = "\n".join(problems_in(text))
    assert "canary" not in found
    assert "14: " in found or "15: " in found
