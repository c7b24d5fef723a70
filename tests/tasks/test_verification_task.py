"""The proof that images pull, against the lab."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from pydantic import SecretStr

from fleet.errors import NotOnboardedError, WaitingForSiteError
from fleet.outcomes import SiteEndpoint
from fleet.passwords import PasswordMark
from fleet.pull_errors import (
    NodePullFailedError,
    SiteImageMissingError,
    SitePortClosedError,
    SiteTokenRefusedError,
)
from fleet.pull_secrets import docker_config, pull_secret_body
from fleet.verification import RungName
from tasks.pull_secrets import deliver_pull_secrets
from tasks.sessions import SiteSession
from tasks.verification import verify_pulls
from tests.tasks.site_bench import REPOSITORIES, SiteBench, lab_sites

pytestmark = [pytest.mark.lab, pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteBench]:
    """The site with a server and two agents."""
    with lab_sites(tmp_path_factory.mktemp("verify"), sites=2) as sites:
        sites.handed_out = 1
        with sites.next_site() as bench:
            yield bench


@pytest.fixture(scope="module")
def endpoint(bench: SiteBench) -> SiteEndpoint:
    endpoint = bench.bring_online()
    bench.configure(endpoint)
    deliver_pull_secrets.fn(bench.session, endpoint, bench.login_server, REPOSITORIES)
    return endpoint


def test_every_rung_holds_on_every_node_and_only_image_caches_change(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    bench.writes()
    probe = bench.probe()
    evidence = verify_pulls.fn(bench.session, endpoint, bench.login_server, probe)
    climbed = [(rung.name, rung.node) for rung in evidence.rungs]
    nodes = list(bench.session.nodes)
    assert len(nodes) == 3
    for node in nodes:
        assert (RungName.PORT, node) in climbed
        assert (RungName.PULL_SITE, node) in climbed
        assert (RungName.PULL_MIRROR, node) in climbed
    assert (RungName.DIGEST, None) in climbed
    assert [node.name for node in evidence.nodes] == nodes
    assert evidence.image == probe
    assert {line.split(":")[0].rsplit(" ", 1)[0] for line in bench.writes()} == {"hosts pull"}


@contextmanager
def impatient(bench: SiteBench, accepted: timedelta) -> Iterator[SiteSession]:
    """Give a session to the site whose fleet file waits for no more than `accepted`."""
    patience = bench.site.patience.model_copy(update={"accepted": accepted})
    try:
        yield bench.with_site(patience=patience)
    finally:
        bench.with_site()


def test_a_node_that_does_not_reach_the_registry_is_named(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    wrong = endpoint.model_copy(update={"address": "10.43.200.200"})
    with pytest.raises(SitePortClosedError, match=f"{bench.site.name}-server-1 of"):
        verify_pulls.fn(bench.session, wrong, bench.login_server, bench.probe())


def test_an_image_outside_the_sync_scope_is_missing_once_the_site_has_synchronised(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    probe = bench.probe().model_copy(update={"tag": "never-pushed"})
    with (
        impatient(bench, timedelta(seconds=4)) as session,
        pytest.raises(SiteImageMissingError, match="does not have vessel/navigation:never-pushed"),
    ):
        verify_pulls.fn(session, endpoint, bench.login_server, probe)


def test_an_image_of_a_site_that_has_not_synchronised_since_is_waited_for(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    probe = bench.probe().model_copy(update={"tag": "never-pushed"})
    with (
        impatient(bench, timedelta(milliseconds=1)) as session,
        pytest.raises(WaitingForSiteError, match="its last sync was"),
    ):
        verify_pulls.fn(session, endpoint, bench.login_server, probe)


def test_a_wrong_password_in_the_pull_secret_is_found(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    cluster, site = bench.session.cluster, bench.site
    before = cluster.find_secret("default", "acrfleet-pull")
    assert before is not None
    content = docker_config([endpoint.host], site.names.client_token, SecretStr("canary-wrong"))
    mark = PasswordMark(token=site.names.client_token, slot="password1")
    cluster.patch_secret("default", "acrfleet-pull", pull_secret_body(site, content, mark))
    try:
        with pytest.raises(SiteTokenRefusedError) as raised:
            verify_pulls.fn(bench.session, endpoint, bench.login_server, bench.probe())
        assert "canary-wrong" not in str(raised.value)
    finally:
        restored = pull_secret_body(site, before.data[".dockerconfigjson"], mark)
        cluster.patch_secret("default", "acrfleet-pull", restored)


def test_a_site_without_pull_secrets_was_not_onboarded(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    wanted = bench.site.pull_secrets.model_copy(update={"name": "another"})
    session = bench.with_site(pull_secrets=wanted)
    try:
        with pytest.raises(NotOnboardedError, match="Onboard the site first"):
            verify_pulls.fn(session, endpoint, bench.login_server, bench.probe())
    finally:
        bench.with_site()


def test_a_node_that_cannot_pull_is_named_with_its_own_words(
    bench: SiteBench, endpoint: SiteEndpoint
) -> None:
    """The cloud's name is replaced by one for which no node has a mirror."""
    with pytest.raises(NodePullFailedError, match=f"{bench.site.name}-server-1 .*could not pull"):
        verify_pulls.fn(bench.session, endpoint, "registry.invalid", bench.probe())
