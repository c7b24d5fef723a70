"""The page about the emulated cluster names what the code serves."""

from pathlib import Path

from lab.cluster.helm.charts import VERSIONS
from lab.cluster.kinds import BUILT_IN
from lab.cluster.store import HISTORY

PAGE = (Path(__file__).parents[2] / "docs/reference/lab-cluster.md").read_text()


def test_every_kind_is_on_the_page_beside_its_group() -> None:
    rows = [line.split("|") for line in PAGE.splitlines() if line.startswith("| ")]
    told = {
        (row[1].strip(), name.split(" ")[0])
        for row in rows
        for name in row[2].partition("(stored")[0].partition("(pruning")[0].strip().split(", ")
    }
    served = {(kind.api_version.removeprefix("v1") or "core", kind.name) for kind in BUILT_IN}
    customs = {("helm.cattle.io/v1", name) for name in ("HelmChart", "HelmChartConfig")}
    assert served | customs <= told
    assert {name for group, name in told if "/" in group or group == "core"} == {
        name for _, name in served | customs
    }


def test_the_numbers_on_the_page_are_the_codes() -> None:
    assert f"reaches back {HISTORY} changes" in PAGE
    assert f"versions {VERSIONS[0]} to {VERSIONS[-1]}" in PAGE
