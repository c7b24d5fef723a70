"""Lists that must agree: flows and deployments, errors and their page, files and dependencies."""

import ast
import importlib.util
import inspect
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


@pytest.mark.parametrize("entry", DEPLOYMENTS, ids=lambda e: e["entrypoint"])
def test_a_deployment_loads_its_flow_and_names_its_parameters(entry: dict[str, Any]) -> None:
    from prefect.flows import load_flow_from_entrypoint

    flow = load_flow_from_entrypoint(str(ROOT / entry["entrypoint"]), use_placeholder_flow=False)
    signature = inspect.signature(flow.fn)
    assert set(entry["parameters"]) <= set(signature.parameters)
    required = {n for n, p in signature.parameters.items() if p.default is p.empty}
    assert required <= set(entry["parameters"])


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
