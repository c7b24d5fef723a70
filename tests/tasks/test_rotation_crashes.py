"""A rotation that dies before or after any of its effects is taken up, and no pull ever fails."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.tasks.kill_points import kill_at_every_point, killed_around, tell
from tests.tasks.rotation_site import RotationSite, rotation_site
from tests.tasks.site_bench import lab_sites

pytestmark = [
    pytest.mark.lab,
    pytest.mark.flow,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("prefect_harness"),
]


@pytest.fixture
def client_sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RotationSite]]:
    folder = tmp_path_factory.mktemp("crashes")
    with lab_sites(folder, sites=2, minute=0.2) as sites, ExitStack() as stack:
        yield [stack.enter_context(rotation_site(sites)) for _ in range(2)]


def test_killed_before_and_after_every_effect_it_is_taken_up_and_reaches_idle(
    client_sites: list[RotationSite], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = kill_at_every_point(client_sites)
    loads = [site.load for site in client_sites]
    tell(capsys, f"client password, {sum(load.pulls for load in loads)} pulls, none failed", lines)
    assert [load.failures for load in loads] == [[], []]
    assert {"password1", "password2"} <= set().union(*(load.passwords for load in loads))
    for what in ("generateCredentials", "acrfleet-pull", "acrfleet-client-password", "tokens/"):
        assert killed_around(what, lines), what
