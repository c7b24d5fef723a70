"""Every row of the symptom table, produced in the lab and explained."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from prefect.artifacts import Artifact

from cli.main import main
from fleet.explain import Explanation
from fleet.explain_verdicts import CauseName, Verdict
from fleet.pull_secrets import read_password
from tasks.explain import explain_site
from tasks.pull_secrets import deliver_pull_secrets
from tests.flows.lab_runs import VARIABLES
from tests.tasks.explain_bench import CERTS, IMAGE, Bench
from tests.tasks.explain_scenarios import LAST, SCENARIOS
from tests.tasks.explain_site_scenarios import (
    HTTPS_SCENARIOS,
    SITE_SCENARIOS,
    HttpsSite,
    an_https_site,
)
from tests.tasks.site_bench import REPOSITORIES, LabSites, SiteBench, lab_sites

pytestmark = [
    pytest.mark.lab,
    pytest.mark.flow,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("prefect_harness"),
]
CASES = Path(__file__).parent.parent / "cases/explain/symptoms.yaml"
ROWS: list[dict[str, Any]] = yaml.safe_load(CASES.read_text())
CAUSES = {one["scenario"]: one for row in ROWS for one in row["causes"] if one["shown"] == "lab"}
FILE = "my fleet.yaml"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabSites]:
    with (
        pytest.MonkeyPatch.context() as patch,
        lab_sites(tmp_path_factory.mktemp("explain"), sites=6, minute=0.2) as sites,
    ):
        for variable, key in VARIABLES.items():
            patch.setenv(variable, sites.lab.info["azure"][key])
        yield sites


@pytest.fixture(scope="module")
def bench(sites: LabSites) -> Iterator[Bench]:
    """The first site, onboarded, with a registries file of before, so that there is a backup."""
    sites.handed_out = 0
    with sites.next_site() as site:
        entry = next(one for one in sites.lab.info["sites"] if one["name"] == site.site.name)
        path = Path(entry["nodes"][0]["root"]) / "etc/rancher/k3s/registries.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# nothing yet\n")
        secrets = site.site.pull_secrets.model_copy(update={"expires_after": timedelta(days=1)})
        site.with_site(pull_secrets=secrets)
        endpoint = site.bring_online()
        site.configure(endpoint)
        deliver_pull_secrets.fn(site.session, endpoint, site.login_server, REPOSITORIES)
        sites.handed_out = 2
        held = site.session.cluster.find_secret("default", secrets.name)
        assert held is not None
        password = read_password(held, site.site.names.client_token)
        assert password is not None
        yield Bench(site, endpoint, password)


@pytest.fixture(scope="module")
def https(
    sites: LabSites, bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HttpsSite]:
    with an_https_site(sites, tmp_path_factory.mktemp("https")) as site:
        yield site


def explained(sites: LabSites, bench: SiteBench, image: str | None = IMAGE) -> Explanation:
    return explain_site(sites.fleet, bench.session.site, FILE, image)


def assert_explained(found: Explanation, case: dict[str, Any], bench: SiteBench) -> None:
    site = bench.session.site
    assert found.cause is not None
    assert found.cause.name.value == case["cause"], found
    assert case.get("seen", "") in "\n".join(found.cause.evidence), found.cause.evidence
    wanted = case["command"].replace("FILE", f"'{FILE}'").replace("SITE", site.name)
    wanted = wanted.replace("CONNECTED_REGISTRY", site.names.connected_registry)
    assert wanted in found.cause.command
    assert "canary" not in found.model_dump_json()


def assert_only_pulls(bench: SiteBench) -> None:
    """Nothing was written anywhere, but that images may have come into nodes' caches."""
    written = bench.writes()
    assert [line for line in written if not line.startswith("hosts pull ")] == []


def test_a_pull_that_works_is_said_to_work_and_nothing_is_written(
    sites: LabSites, bench: Bench
) -> None:
    bench.site.writes()
    found = explained(sites, bench.site)
    assert found.works, found
    assert found.warnings == ()
    assert f"{bench.site.login_server}/{IMAGE} pulls at {bench.name}" in found.headline
    assert_only_pulls(bench.site)


def test_onboarding_mends_what_its_command_is_named_for(sites: LabSites, bench: Bench) -> None:
    cluster, name = bench.site.session.cluster, bench.site.site.pull_secrets.name
    cluster.delete_secret("default", name)
    cluster.patch_service_account("default", "default", {"imagePullSecrets": None})
    for host in (bench.endpoint.host, bench.site.login_server):
        path = bench.root / CERTS / host / "hosts.toml"
        path.write_text(f"{path.read_text()}[host]\n")
    broken = explained(sites, bench.site)
    bench.site.configure(bench.endpoint)
    session = bench.site.session
    deliver_pull_secrets.fn(session, bench.endpoint, bench.site.login_server, REPOSITORIES)
    named = {step.cause.name for step in broken.steps if step.cause is not None}
    assert named == {CauseName.SECRET_MISSING, CauseName.HOSTS_FILE}
    assert explained(sites, bench.site).works


def test_azure_that_is_away_hides_what_it_knows_and_nothing_else(
    sites: LabSites, bench: Bench
) -> None:
    bench.site.lab.faults.add(part="azure", kind="status", status=403)
    try:
        found = explained(sites, bench.site)
    finally:
        bench.site.lab.call(bench.site.lab.world.clear_faults)
    verdicts = {step.rung: step.verdict for step in found.steps}
    assert verdicts["image in Azure"] is Verdict.UNKNOWN
    assert verdicts["image at the site"] is Verdict.PASSED


def test_a_site_that_ssh_does_not_reach_is_explained_by_azure(
    sites: LabSites, bench: Bench
) -> None:
    with bench.faults(part="hosts", kind="refuse", match="connect"):
        found = explained(sites, bench.site, "vessel/engine-monitor:2.1.0")
    assert found.cause is not None
    assert found.cause.name is CauseName.SYNC_SCOPE
    blind = {step.rung for step in found.steps if step.verdict is Verdict.UNKNOWN}
    assert {"node reached", "cluster answers", "pull secret", "image at the site"} <= blind


def test_images_are_named_by_digest_and_by_the_site_s_address(
    sites: LabSites, bench: Bench
) -> None:
    digest = bench.site.probe().digest
    repository = REPOSITORIES[0]
    for name in (f"{repository}@{digest}", f"{bench.endpoint.host}/{IMAGE}"):
        found = explain_site(sites.fleet, bench.site.session.site, FILE, name, pull=False)
        assert {step.verdict for step in found.steps} <= {Verdict.PASSED, Verdict.UNKNOWN}, found
    elsewhere = explained(sites, bench.site, "ghcr.io/vessel/navigation:1")
    assert elsewhere.cause is not None
    assert elsewhere.cause.name is CauseName.IMAGE_ELSEWHERE


def test_the_command_prints_the_cause_first_and_ends_with_1(sites: LabSites, bench: Bench) -> None:
    file = str(bench.site.lab.folder / "fleet.yaml")
    with bench.faults(part="registry", kind="skip", match="sync"):
        image = bench.push("1.7.0")
        result = CliRunner().invoke(main, ["explain", file, bench.name, image])
    assert result.exit_code == 1, result.output
    assert result.output.startswith(f"The registry of {bench.name} does not have it: {image}")
    assert f"    acrfleet verify {file} --site {bench.name}\n" in result.output
    assert "FAILED" in result.output


def test_the_command_prints_json_and_ends_with_0_where_the_pull_works(
    sites: LabSites, bench: Bench
) -> None:
    file = str(bench.site.lab.folder / "fleet.yaml")
    result = CliRunner().invoke(main, ["explain", file, bench.name, IMAGE, "--json"])
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert (shown["works"], shown["cause"], shown["site"]) == (True, None, bench.name)
    refused = CliRunner().invoke(main, ["explain", file, bench.name, "Not:An:Image"])
    assert refused.exit_code == 2
    assert "REPOSITORY:TAG" in refused.output


def test_the_flow_fails_with_the_cause_and_shows_its_page(sites: LabSites, bench: Bench) -> None:
    from flows.explain import explain_site_pull

    file = str(bench.site.lab.folder / "fleet.yaml")
    name = "office/payroll:3.3"
    state = explain_site_pull(file, bench.name, name, pull=False, return_state=True)
    assert state.is_failed()
    assert state.message == f"The fleet file does not have {bench.name} mirror office/payroll."
    found = Artifact.get(f"explain-{sites.fleet.name}-{bench.name}")
    assert found is not None
    assert str(state.message) in str(found.data)


@pytest.mark.parametrize("name", sorted(SCENARIOS, key=lambda name: name in LAST))
def test_a_row_is_explained(sites: LabSites, bench: Bench, name: str) -> None:
    with SCENARIOS[name](bench) as image:
        bench.site.writes()
        found = explained(sites, bench.site, image)
        assert_only_pulls(bench.site)
    assert_explained(found, CAUSES[name], bench.site)
    assert bench.password.get_secret_value() not in found.model_dump_json()


@pytest.mark.parametrize("name", sorted(SITE_SCENARIOS))
def test_a_row_about_a_site_of_its_own_is_explained(
    sites: LabSites, bench: Bench, name: str
) -> None:
    with SITE_SCENARIOS[name](sites) as (site, image):
        site.writes()
        found = explained(sites, site, image)
        assert_only_pulls(site)
    assert_explained(found, CAUSES[name], site)


@pytest.mark.parametrize("name", HTTPS_SCENARIOS)
def test_a_row_about_an_https_site_is_explained(
    sites: LabSites, https: HttpsSite, name: str
) -> None:
    with HTTPS_SCENARIOS[name](https) as image:
        https.bench.writes()
        found = explained(sites, https.bench, image)
        assert_only_pulls(https.bench)
    assert_explained(found, CAUSES[name], https.bench)


def test_every_row_that_the_lab_shows_has_a_scenario() -> None:
    assert set(CAUSES) == {*SCENARIOS, *SITE_SCENARIOS, *HTTPS_SCENARIOS}
