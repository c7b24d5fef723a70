"""Lists that must agree: flows and deployments, errors and their page, files and dependencies."""

import ast
import importlib.util
import pkgutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import flows
from tests.blocks_page import blocks_page
from tests.errors_page import errors_page

ROOT = Path(__file__).parent.parent
PACKAGES = ("cli", "flows", "tasks", "blocks", "clients", "fleet", "lab")
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())[
    "deployments"
]


def _name(entry: dict[str, Any]) -> str:
    return f"{entry['entrypoint']}/{entry['name']}"


def flow_functions() -> set[str]:
    """The entry points of all flows, found by reading the files."""
    found = set()
    for module in pkgutil.iter_modules(flows.__path__):
        path = ROOT / "flows" / f"{module.name}.py"
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(d, ast.Call) and getattr(d.func, "id", "") == "flow"
                for d in node.decorator_list
            ):
                found.add(f"flows/{module.name}.py:{node.name}")
    return found


def test_every_flow_has_a_deployment_and_every_deployment_a_flow() -> None:
    assert {entry["entrypoint"] for entry in DEPLOYMENTS} == flow_functions()


def test_every_flow_that_can_be_dispatched_has_a_deployment_for_its_shards() -> None:
    """The run that dispatches asks for `<flow>/shard`."""
    dispatched = {
        f"flows/{path.name}:{node.name}"
        for path in (ROOT / "flows").glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and any(word in ast.unparse(node) for word in ("in_shards=True", "run_shard("))
        and node.name not in {"run_fleet", "run_shard"}
    }
    found = {entry["entrypoint"] for entry in DEPLOYMENTS if entry["name"] == "shard"}
    assert dispatched
    assert found == dispatched


def _schema_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the form of a deployment as the Prefect UI gets it."""
    from prefect.flows import load_flow_from_entrypoint
    from prefect.utilities.callables import parameter_schema

    flow = load_flow_from_entrypoint(str(ROOT / entry["entrypoint"]), use_placeholder_flow=False)
    return parameter_schema(flow).model_dump_for_openapi()


@pytest.mark.parametrize("entry", DEPLOYMENTS, ids=_name)
def test_a_deployment_loads_its_flow_and_its_parameters_fit(entry: dict[str, Any]) -> None:
    from prefect.utilities.schema_tools import validate

    schema = _schema_of(entry)
    assert set(entry["parameters"]) <= set(schema["properties"])
    # What is left for a person to fill in says which sites, and only where no schedule starts it.
    filled = set(schema.get("required", ())) - set(entry["parameters"])
    assert filled <= (set() if "schedules" in entry else {"site", "sites", "plan_file"})
    example = {"site": "oslo", "sites": ["oslo"], "plan_file": "/var/plans/monday.plan"}
    given = {**{name: example[name] for name in filled}, **entry["parameters"]}
    validate(given, schema, raise_on_error=True)


@pytest.mark.parametrize("entry", DEPLOYMENTS, ids=_name)
def test_every_field_of_a_deployment_s_form_says_what_it_is(entry: dict[str, Any]) -> None:
    for name, field in _schema_of(entry)["properties"].items():
        assert field.get("description", "").endswith("."), (name, field)


@pytest.mark.parametrize("entry", DEPLOYMENTS, ids=_name)
def test_a_deployment_has_a_pool_tags_and_a_limit(entry: dict[str, Any]) -> None:
    assert entry["work_pool"]["name"]
    assert entry["tags"][0] == "acrfleet"
    limit = entry["concurrency_limit"]
    assert limit["limit"] >= 1
    # A run that goes on for long must not have a queue of days behind it.
    strategy = "CANCEL_NEW" if "schedules" in entry else "ENQUEUE"
    assert limit["collision_strategy"] == strategy
    assert ("scheduled" in entry["tags"]) == ("schedules" in entry)


@pytest.mark.parametrize(
    "entry",
    [one for one in DEPLOYMENTS if "shard" not in one["tags"]],
    ids=lambda e: e["entrypoint"],
)
def test_a_deployment_and_its_time_stand_in_the_how_to(entry: dict[str, Any]) -> None:
    from prefect.flows import load_flow_from_entrypoint

    flow = load_flow_from_entrypoint(str(ROOT / entry["entrypoint"]), use_placeholder_flow=False)
    lines = (ROOT / "docs/how-to/schedule.md").read_text().splitlines()
    (line,) = [one for one in lines if f"`{flow.name}/{entry['name']}`" in one and one[0] == "|"]
    for schedule in entry.get("schedules", ()):
        minute, hour, *_ = schedule["cron"].split()
        assert f"{int(hour):02}:{int(minute):02} UTC" in line


@pytest.mark.parametrize(
    "entry",
    [one for one in DEPLOYMENTS if one["tags"][1] in ("offboard", "revoke")],
    ids=lambda e: e["tags"][1],
)
def test_an_empty_list_in_the_form_never_means_the_whole_fleet(entry: dict[str, Any]) -> None:
    from prefect.exceptions import ParameterTypeError
    from prefect.flows import load_flow_from_entrypoint

    assert _schema_of(entry)["properties"]["sites"]["minItems"] == 1
    flow = load_flow_from_entrypoint(str(ROOT / entry["entrypoint"]), use_placeholder_flow=False)
    with pytest.raises(ParameterTypeError):
        flow.validate_parameters({**entry["parameters"], "sites": []})


def test_no_file_hides_a_dependency_or_a_standard_module() -> None:
    """Prefect puts an entry point's folder first on the path: flows/kubernetes.py would hide it."""
    ours = {
        path.stem for name in ("flows", "blocks", "tasks") for path in (ROOT / name).glob("*.py")
    }
    ours -= {"__init__"}
    hidden = {
        name
        for name in ours
        if (spec := importlib.util.find_spec(name)) and str(ROOT) not in str(spec.origin)
    }
    assert hidden == set()


def test_the_errors_page_says_what_the_error_classes_say() -> None:
    """`make docs` writes the page anew from the classes."""
    assert (ROOT / "docs/reference/errors.md").read_text() == errors_page()


def test_the_blocks_page_says_what_the_blocks_say() -> None:
    """`make docs` writes the page anew from the classes."""
    assert (ROOT / "docs/reference/blocks.md").read_text() == blocks_page()


def test_a_wheel_holds_every_package() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(wheel) == sorted(PACKAGES)
