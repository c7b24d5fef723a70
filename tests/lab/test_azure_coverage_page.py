"""The page about the emulated Azure names everything that the code can answer."""

import ast
import re
from pathlib import Path

import pytest

from lab.azure.routes import make_routes
from lab.azure.versions import versions_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/lab-azure.md").read_text()
SOURCES = sorted((ROOT / "lab/azure").glob("*.py"))


def made_up_codes():
    """Yield every Emulated code: literals, and what errors.refused puts together."""
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "refused":
                yield f"Emulated{node.args[0].value}"
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from re.findall(r"^Emulated[A-Z]\w+$", node.value)


def test_every_made_up_code_is_on_the_page_and_no_other():
    on_page = set(re.findall(r"`(Emulated\w+)`", PAGE))

    assert on_page == set(made_up_codes())


def test_every_ordered_kind_of_fault_is_on_the_page():
    text = (ROOT / "lab/azure/ordered_faults.py").read_text()
    own = re.findall(r"^    ([a-z0-9]+-[a-z0-9-]+) ", text.split('"""')[1], re.MULTILINE)

    assert len(own) == 4
    assert [kind for kind in own if f"| `{kind}` |" not in PAGE] == []


async def never(_registry):
    raise AssertionError("no registry is served in this test")


@pytest.mark.parametrize("route", make_routes(never, never), ids=lambda route: route.kind)
def test_every_route_is_on_the_page(route):
    words = re.sub(r"\(\?P<\w+>\[\^/\]\+\)", "", route.pattern.pattern).replace("\\", "")
    last = [word for word in words.rstrip("/?").split("/") if word][-1]

    assert last in PAGE


def test_the_api_versions_on_the_page_are_those_that_are_served():
    listed = set(re.findall(r"20\d\d-\d\d-\d\d(?:-preview)?", PAGE.split("### Long-running")[0]))

    assert listed == versions_of("tokens") | versions_of("registries")
