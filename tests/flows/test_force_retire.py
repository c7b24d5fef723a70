"""A stolen site: its passwords end in Azure, whether it can be asked for them or not."""

import json
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from fleet.results import FleetReport, SiteResult, Status
from lab.azure.state import Token
from lab.thread import LabThread
from tests.flows.lab_runs import (
    change_fleet,
    delete_registry_pods,
    module_lab,
    onboard,
    read_secret,
    result_of,
    run,
    writes,
)
from tests.flows.nested import cloud_registry, connected_registry, set_link
from tests.flows.processes import environment

pytestmark = [pytest.mark.flow, pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, prefect_harness: None) -> Iterator[LabThread]:
    assert prefect_harness is None
    with module_lab(tmp_path_factory, sites=3) as lab:
        report = onboard(lab)
        assert len(report.having(Status.DONE)) == 3, report
        yield lab


SITES = iter(range(3))


@pytest.fixture
def site(lab: LabThread) -> str:
    return str(lab.info["sites"][next(SITES)]["name"])


def revoke(lab: LabThread, site: str, *, agreed: bool) -> SiteResult:
    from flows.revoke import revoke_sites

    report: FleetReport = run(partial(revoke_sites, agreed=agreed), lab, [site])
    return result_of(report, site)


def tokens(lab: LabThread, site: str) -> list[Token]:
    """Return the site's client token and its sync token, as Azure has them."""
    found = cloud_registry(lab).tokens
    names = sorted(name for name in found if name.startswith(site))
    return [found[name] for name in names]


def cloud_answer(lab: LabThread, site: str) -> int:
    """Ask the cloud's token endpoint with the pull secret's login, as `docker login` does."""
    content = json.loads(b64decode(read_secret(lab, site)[".dockerconfigjson"]))
    login = next(iter(content["auths"].values()))
    server = lab.info["registries"][0]["login_server"]
    answer = httpx.get(
        f"https://{server}/oauth2/token",
        params={"service": server, "scope": "repository:vessel/navigation:pull"},
        auth=(login["username"], login["password"]),
        verify=False,
    )
    return answer.status_code


def azure_writes(lab: LabThread) -> list[str]:
    return [line for line in writes(lab) if line.startswith("azure ")]


def test_a_site_that_answers_is_shut_out_and_its_old_passwords_are_shown_to_be_refused(
    lab: LabThread, site: str
) -> None:
    assert cloud_answer(lab, site) == 200
    before = len(writes(lab))
    plan = revoke(lab, site, agreed=False)
    assert plan.status is Status.DONE, plan
    assert "gets no new images" in plan.message
    assert len(writes(lab)) == before, "the plan writes nothing"
    result = revoke(lab, site, agreed=True)
    assert result.status is Status.DONE, result
    client, sync = tokens(lab, site)
    assert f"Azure refuses the old passwords of {client.name}, {sync.name}" in result.message
    assert f"{client.name} and {sync.name} worked just before" in result.message
    assert {one.status for one in (client, sync)} == {"disabled"}
    assert (client.slots, sync.slots) == ({}, {})
    assert connected_registry(lab, site)["activation"]["status"] == "Inactive"
    assert cloud_answer(lab, site) == 401
    assert all(line.startswith("azure ") for line in writes(lab)[before:]), "nothing at the site"
    again = revoke(lab, site, agreed=True)
    assert (again.status, again.changes) == (Status.DONE, 0)
    assert "refused before already" in again.message


def test_a_revoked_site_stays_shut_until_somebody_enables_its_tokens(lab: LabThread) -> None:
    site = str(lab.info["sites"][0]["name"])
    told = result_of(onboard(lab, site), site)
    assert (told.status, told.error) == (Status.FAILED, "TokenDisabledError")
    assert "disabled on purpose, as `acrfleet revoke` does" in told.message
    assert [one.slots for one in tokens(lab, site)] == [{}, {}]
    for token in tokens(lab, site):
        token.status = "enabled"
    change_fleet(lab, site, patience={"online": "3s"})
    assert result_of(onboard(lab, site), site).status is Status.WAITING
    delete_registry_pods(lab, site)  # an instance that was deactivated does not try again
    change_fleet(lab, site, patience={"online": "1m"})
    back = result_of(onboard(lab, site), site)
    assert back.status is Status.DONE, back
    assert cloud_answer(lab, site) == 200


def test_a_site_that_does_not_answer_is_shut_out_all_the_same_and_that_is_said(
    lab: LabThread, site: str
) -> None:
    password = cloud_answer(lab, site)
    set_link(lab, site, up=False)
    try:
        result = revoke(lab, site, agreed=True)
    finally:
        lab.call(lab.world.set_offline, site, False)
    assert (password, result.status) == (200, Status.DONE), result
    assert result.message.startswith(f"shut out, but not proven: {site} could not be asked")
    assert "its tokens are disabled and have no passwords" in result.message
    assert result.changes == 3
    assert cloud_answer(lab, site) == 401


def acrfleet(lab: LabThread, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        env=environment(lab),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_asks_first_and_tells_what_stops(lab: LabThread, site: str) -> None:
    path, before = str(lab.folder / "fleet.yaml"), azure_writes(lab)
    nobody = acrfleet(lab, "revoke", path, site)
    assert nobody.returncode == 2, nobody.stderr
    assert "nothing was revoked: run it with --yes to revoke" in nobody.stderr
    assert "gets no new images" in nobody.stdout
    assert azure_writes(lab) == before
    done = acrfleet(lab, "revoke", path, site, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads(done.stdout)["results"]
    assert entry["message"].startswith("shut out and proven"), entry
    kept: dict[str, Any] = read_secret(lab, site)
    assert kept, "nothing is taken away at the site"
