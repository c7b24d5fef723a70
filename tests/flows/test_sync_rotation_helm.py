"""Rolling the sync password where helm on this machine installs the chart."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fleet.results import Status
from lab.thread import LabThread
from tests.chart_registry import chart_registry
from tests.flows.lab_runs import change_fleet, onboard, result_of, run, running_lab
from tests.flows.nested import cloud_registry
from tests.flows.pull_load import pulling
from tests.helm_programs import HELM_3, helm_folder

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(150),
    pytest.mark.usefixtures("prefect_harness"),
]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabThread]:
    with running_lab(tmp_path / "lab", monkeypatch, sites=1) as lab:
        context = lab.world.authority.server_context(["127.0.0.1"])
        with chart_registry(context, ("0.4.0",)) as reference:
            chart = {"version": "0.4.0", "reference": reference, "installer": "helm"}
            change_fleet(lab, chart=chart, rotation={"grace": "1s"})
            monkeypatch.setenv("PATH", f"{helm_folder(HELM_3)}:{os.environ['PATH']}")
            monkeypatch.setenv("SSL_CERT_FILE", str(lab.world.authority.ca_file))
            yield lab


def test_helm_brings_the_new_string_to_the_registry_and_no_pull_fails(lab: LabThread) -> None:
    from flows.rotate import rotate_tokens

    site = str(lab.info["sites"][0]["name"])
    assert result_of(onboard(lab, site), site).status is Status.DONE
    with pulling(lab, site) as load:
        result = result_of(run(partial(rotate_tokens, now=True), lab, [site]), site)
    assert result.status is Status.DONE, result
    assert load.failures == []
    kinds = [outcome.kind for outcome in result.outcomes]
    assert kinds.count("Helm release") == 1, kinds
    tokens = cloud_registry(lab).tokens
    (sync,) = (one for name, one in tokens.items() if name.endswith("-sync"))
    assert set(sync.slots) == {"password2"}
