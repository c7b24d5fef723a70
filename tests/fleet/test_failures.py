"""Failures by cause, from tests/cases/failure_groups.yaml: what people read when a run ends."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet import azure_errors, cluster_errors, errors, host_errors, pull_errors
from fleet.failures import (
    cause_of,
    failure_lines,
    group_failures,
    result_of_error,
    what_to_do,
)
from fleet.results import FleetReport, SiteResult, Status
from fleet.sites import Node, Site
from tests.builders import a_site
from tests.errors_page import error_classes

CASES = yaml.safe_load(
    (Path(__file__).parents[1] / "cases" / "failure_groups.yaml").read_text(encoding="utf-8")
)
MODULES = (errors, azure_errors, cluster_errors, host_errors, pull_errors)


def class_of(name: str) -> type[Exception]:
    found = [vars(module)[name] for module in MODULES if name in vars(module)]
    return found[0] if found else ValueError


def error_of(name: str, message: str) -> Exception:
    kind = class_of(name)
    error = kind.__new__(kind)  # whatever a class wants to know, its text is the case's
    Exception.__init__(error, message)
    error.args = (message,)
    return error


def result_of(site: Site, told: list[str]) -> SiteResult:
    *status, name, message = told
    message = message.format(token=site.names.sync_token)
    if name:
        result = result_of_error("onboard", site, error_of(name, message))
        assert result.status is Status(status[0] if status else "failed")
        return result
    return SiteResult(site=site.name, verb="onboard", status=Status(status[0]), message=message)


def site_called(name: str) -> Site:
    nodes = (
        Node(name=f"{name}-1", address="192.0.2.1"),
        Node(name=f"{name}-2", address="192.0.2.2"),
    )
    return a_site(name, nodes=nodes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_failures_come_first_and_by_cause(case: dict[str, Any]) -> None:
    sites = [site_called(name) for name in case["results"]]
    results = [result_of(site, case["results"][site.name]) for site in sites]
    report = FleetReport.of("onboard", "northsea", results)
    wanted = [line.format(token=site_called("c").names.sync_token) for line in case["lines"]]
    assert failure_lines(group_failures(report.results)) == wanted


def test_what_to_do_is_what_the_page_on_errors_says() -> None:
    page = error_classes()
    told = {
        kind.__name__: what_to_do(kind.__new__(kind))
        for module in MODULES
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert told == {name: page[name] for name in told}


def test_an_ipv6_address_with_a_port_is_an_address() -> None:
    assert cause_of("[fd00::12]:22 and fd00::1 are away", a_site()) == (
        "<address> and <address> are away"
    )


def test_a_version_and_a_line_number_stay() -> None:
    text = "k3s v1.34.1+k3s1: /etc/rancher/k3s/registries.yaml:12: exit code 127"
    assert cause_of(text, a_site()) == text
