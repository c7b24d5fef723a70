"""`acrfleet validate` and `acrfleet schema`, as an operator and a script see them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.fleet_file_commands import schema, validate

EXAMPLE = Path(__file__).parents[2] / "deployments" / "fleet.example.yaml"


def run_validate(*arguments: str) -> Result:
    return CliRunner().invoke(validate, list(arguments))


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    text = EXAMPLE.read_text(encoding="utf-8")
    file = tmp_path / "fleet.yaml"
    file.write_text(text.replace("window: 4h", "window: 30m").replace("role: agent", "role: king"))
    return file


def test_a_good_file_is_summed_up() -> None:
    result = run_validate(str(EXAMPLE))
    assert result.exit_code == 0
    assert result.output == (f"{EXAMPLE}: fleet northsea is valid: 3 sites, 5 nodes, 1 registry\n")


def test_a_bad_file_shows_its_problems_and_their_number(broken: Path) -> None:
    result = run_validate(str(broken))
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert [line.partition(" is ")[0].partition(": ")[2] for line in lines[:-1]] == [
        "sites[rotterdam].connected_registry.sync.window",
        "sites[rotterdam].nodes[rotterdam-2].role",
        "sites[rotterdam].nodes[rotterdam-3].role",
    ]
    assert lines[-1] == "3 problems"


def test_scripts_get_json_for_good_and_for_bad_files(broken: Path) -> None:
    good = json.loads(run_validate(str(EXAMPLE), "--json").stdout)
    assert (good["ok"], good["sites"]) == (True, ["oslo", "rotterdam", "singapore"])
    result = run_validate(str(broken), "--json")
    bad = json.loads(result.stdout)
    assert result.exit_code == 2
    assert (bad["ok"], bad["sites"], len(bad["problems"])) == (False, [], 3)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    result = run_validate(str(tmp_path / "none.yaml"))
    assert result.exit_code == 2
    assert (
        result.stderr == f"{tmp_path}/none.yaml: there is no such file; check the path\n1 problem\n"
    )


def test_the_schema_is_printed_as_json() -> None:
    result = CliRunner().invoke(schema)
    assert result.exit_code == 0
    assert set(json.loads(result.output)["properties"]) >= {"fleet", "registries", "sites"}
