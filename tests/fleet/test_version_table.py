import re

import pytest

from fleet.version_table import TABLE, applies, rows_for
from fleet.yaml_nodes import parse, plain


@pytest.mark.parametrize(
    ("version", "sources"),
    [
        ("v1.26.12+k3s1", ["k3s#8972, k3s#9128"]),
        ("v1.26.13+k3s1", []),
        ("v1.27.9+rke2r1", ["k3s#8972, k3s#9128"]),
        ("v1.27.10+k3s1", ["k3s#9322"]),
        ("v1.27.11+k3s1", ["k3s#9341, k3s#9626, k3s#9694"]),
        ("v1.27.12+k3s1", []),
        ("v1.28.5+k3s1", ["k3s#8972, k3s#9128"]),
        ("v1.28.7+k3s1", ["k3s#9341, k3s#9626, k3s#9694"]),
        ("v1.29.0+k3s1", ["k3s#8972, k3s#9128"]),
        ("v1.29.3+k3s1", ["k3s#9839, k3s#9983"]),
        ("v1.31.4+k3s1", []),
        ("v1.32.2+k3s1", ["k3s#11857", "rke2-docs docs/advanced.md"]),
    ],
)
def test_a_version_falls_under(version: str, sources: list[str]) -> None:
    for distribution in ("k3s", "rke2"):
        assert [row.source for row in rows_for(distribution, version)] == sources
    assert not list(rows_for("containerd", version))


def test_only_versions_from_before_2024_read_no_certs_d() -> None:
    for version, reads in (("v1.25.16", False), ("v1.28.5", False), ("v1.28.6", True)):
        assert all(row.certs_d for row in rows_for("k3s", f"{version}+k3s1")) is reads


def test_what_is_no_version_falls_under_nothing() -> None:
    assert not list(rows_for("k3s", ""))
    assert not list(rows_for("k3s", "2.1.5"))


@pytest.mark.parametrize(
    ("condition", "text", "met"),
    [
        ("default-endpoint", "mirrors: {a: {endpoint: [https://m, https://a]}}", True),
        ("default-endpoint", "mirrors: {a: {endpoint: [http://m:1, m:1/v2]}}", True),
        ("default-endpoint", "mirrors: {a: {endpoint: [https://m]}, b: }", False),
        ("tls-only", "configs: {a: {tls: {ca_file: /x}}}", True),
        ("tls-only", "configs: {a: {tls: {ca_file: /x}}}\nmirrors: {a: {endpoint: [m]}}", False),
        ("tls-only", "configs: {a: {auth: {username: u}}}", False),
        ("wildcard", "mirrors: {'*': {endpoint: [m]}}", True),
        ("wildcard", "", False),
        ("always", "", True),
    ],
)
def test_a_row_counts_where_the_file_meets_its_condition(
    condition: str, text: str, met: bool
) -> None:
    row = next(row for row in TABLE if row.condition == condition)
    assert applies(row, plain(parse(text))) is met


def test_every_row_names_its_source() -> None:
    for row in TABLE:
        assert re.search(r"\w+#\d+|\.(md|go)\b", row.source), row.effect
