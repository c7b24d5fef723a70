"""Adopting sites whose release a real helm made."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fleet.results import Status
from lab.thread import LabThread
from tests.chart_registry import chart_registry
from tests.flows.adoptions import CHART, adopt, only, set_up
from tests.flows.lab_runs import change_fleet, module_lab, onboard, writes
from tests.flows.scripted_site import PULL_SECRET, ScriptedSite, a_scripted_site
from tests.helm_programs import HELM_3, helm_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("prefect_harness"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabThread]:
    with module_lab(tmp_path_factory, sites=2) as lab:
        yield lab


@pytest.fixture(scope="module")
def unused(lab: LabThread) -> list[str]:
    return [site["name"] for site in lab.info["sites"]]


@pytest.fixture
def with_helm(
    lab: LabThread, unused: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ScriptedSite]:
    """A site whose release a real helm installed, from a chart registry of its own."""
    folder = helm_folder(HELM_3)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SSL_CERT_FILE", str(lab.world.authority.ca_file))
    monkeypatch.setenv("HOME", str(tmp_path))
    context = lab.world.authority.server_context(["127.0.0.1"])
    with (
        chart_registry(context, ("0.4.0",)) as reference,
        a_scripted_site(lab, unused.pop(0)) as site,
    ):
        set_up(site, install=partial(site.install_with_helm, folder / "helm", reference))
        change_fleet(
            lab,
            site.site,
            names=site.names,
            chart={**CHART, "reference": reference, "installer": "auto"},
            pull_secrets={"name": PULL_SECRET, "namespaces": ["default"]},
        )
        yield site


@pytest.mark.parametrize("keeper", ["helm", "helm-controller"])
def test_a_release_that_helm_made_goes_on_under_the_keeper_that_is_named(
    with_helm: ScriptedSite, keeper: str
) -> None:
    undecided = adopt(with_helm, dry_run=True)
    assert [one.kind for one in undecided.findings] == ["chart.installer"]

    with_helm.keep_with(keeper)
    claim, revision = with_helm.claim_uid(), with_helm.revision()
    done = adopt(with_helm)
    assert done.status is Status.DONE, done.message
    assert with_helm.claim_uid() == claim
    assert with_helm.revision() - revision == (0 if keeper == "helm" else 1)
    assert set(with_helm.slots(with_helm.name)) == {"password1"}
    before = len(writes(with_helm.lab))
    again = only(onboard(with_helm.lab, with_helm.site))
    assert again.status is Status.DONE, again.message
    assert writes(with_helm.lab)[before:] == []
