"""What a restart of a node waits for at a site whose registry runs, against the lab."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from fleet.holds import NodeBusyError
from fleet.sites import Host
from tasks.sessions import SiteSession
from tasks.waiting import wait_for
from tests.tasks.site_bench import SiteBench, lab_sites

pytestmark = [pytest.mark.lab, pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]
RESTART = "hosts restart"


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteBench]:
    """A site with one node, which restarts for every change."""
    with (
        lab_sites(tmp_path_factory.mktemp("gate"), sites=1) as sites,
        sites.next_site() as bench,
    ):
        yield bench


def test_no_node_restarts_while_the_registry_synchronises_for_the_first_time(
    bench: SiteBench,
) -> None:
    bench.lab.faults.add(part="registry", match="sync", kind="skip", site=bench.site.name)
    endpoint = bench.bring_online()
    patience = bench.site.patience.model_copy(update={"quiet": timedelta(seconds=1)})
    session = bench.with_site(host=Host(restart="always"), patience=patience)
    bench.writes()
    bench.configure(endpoint)
    (held,) = session.held.values()
    assert isinstance(held, NodeBusyError)
    assert "the site's registry synchronises for the first time" in str(held)
    assert not any(RESTART in line for line in bench.writes())

    bench.lab.call(bench.lab.world.clear_faults)
    wait_for(lambda: _last_sync(session), patience=timedelta(seconds=20), every=0.1)
    bench.configure(endpoint)
    assert session.held == {}
    assert any(RESTART in line for line in bench.writes())


def _last_sync(session: SiteSession) -> tuple[bool | None, str]:
    name = session.site.names.connected_registry
    state = session.cloud.access.read_connected_registry(name)
    return (state is not None and state.last_sync is not None) or None, "no sync yet"
