"""Links at their worst, all at the same time: each ends in time, and says what it is.

The scenarios run side by side, as sites of one run do, because each of them is mostly waiting; the
tests below look at what came out.
"""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from fleet.errors import FleetError
from fleet.host_errors import ConnectionLostError, SiteUnreachableError
from fleet.results import FleetReport, Status
from tests.acceptance.host import Host
from tests.acceptance.site import Site
from tests.acceptance.world import World

pytestmark = [pytest.mark.flow, pytest.mark.timeout(240)]

IMAGE = "vessel/navigation:1.5.0"
FIRST_RUN, RUN_WITHOUT_CHANGE = 30, 8
DRIPPER = """
import socket, threading, time
def drip(connection):
    while True:
        connection.sendall(b"still booting, please wait\\r\\n")
        time.sleep(0.5)
listener = socket.create_server(("", 22))
while True:
    threading.Thread(target=drip, args=(listener.accept()[0],), daemon=True).start()
"""
# Keeps every change waiting on the host, in the middle of its one command.
HOLD = "systemd-run --quiet --unit=hold flock /var/lib sleep infinity"
LET_GO = "systemctl stop hold"
WAITING = "pgrep -f '[t]rap undo EXIT' || true"


@dataclass
class Scenario:
    """What came out of one site.

    Attributes:
        before: The site's traces before.
        answer: What was returned or raised.
        seconds: How long that took.
    """

    site: Site
    before: dict[str, object]
    answer: Any = None
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> Host:
        return self.site.hosts[0]

    def run(self, step: Callable[[], Any]) -> None:
        started = time.monotonic()
        try:
            self.answer = step()
        except FleetError as error:
            self.answer = error
        self.seconds = time.monotonic() - started


@pytest.fixture(scope="module")
def day(world: World) -> Iterator[dict[str, Scenario]]:
    """Everything that can go wrong at sea, on one day."""
    hosts = {
        name: world.host(name, emulated=name in {"dark", "eclipse", "far"})
        for name in ("good", "near", "drip", "dark", "eclipse", "far")
    }
    changes = {
        "dark": {"patience": {"node_ready": "5s", "node_step": "5s"}},
        "far": {"host": {"restart": "always"}},
    }
    day = {name: a_scenario(world, host, changes.get(name, {})) for name, host in hosts.items()}
    host = hosts["drip"]
    host.write("/root/drip.py", DRIPPER)
    host.root("systemctl stop ssh && systemd-run --quiet python3 /root/drip.py")
    host.until(lambda: host.root("ss -Hltn 'sport = 22'"), what="the dripper to listen")
    with ThreadPoolExecutor() as pool:
        jobs = [
            pool.submit(scenario, day[name])
            for name, scenario in (
                ("good", configure),
                ("drip", configure),
                ("dark", go_dark_for_good),
                ("eclipse", go_dark_for_a_while),
                ("far", configure_far_away),
            )
        ]
        onboard_twice(day["near"])
        for job in jobs:
            job.result()
    yield day
    for host in hosts.values():
        world.discard(host)


def a_scenario(world: World, host: Host, changes: dict[str, Any]) -> Scenario:
    site = world.site(host.name.removeprefix("host-"), [host], **changes)
    return Scenario(site, site.traces())


def configure(scenario: Scenario) -> None:
    scenario.run(scenario.site.configure)


def go_dark_for_good(scenario: Scenario) -> None:
    host = scenario.host
    with in_the_middle_of_a_change(scenario) as done:
        host.link.blackhole()
        host.root(LET_GO)
        host.until(lambda: host.find("/var/lib/acrfleet/*/done"), what="the change")
        scenario.notes["written"] = scenario.site.traces()
        done.result(100)
    host.until(lambda: not host.find("/var/lib/acrfleet"), what="the dead-man", patience=60)


def go_dark_for_a_while(scenario: Scenario) -> None:
    host = scenario.host
    with in_the_middle_of_a_change(scenario) as done:
        host.link.blackhole()
        host.root(LET_GO)
        time.sleep(8)
        host.link.restore()
        done.result(100)


def configure_far_away(scenario: Scenario) -> None:
    host = scenario.host
    host.link.delay(300, loss=0.02)
    configure(scenario)
    host.link.restore()


def onboard_twice(scenario: Scenario) -> None:
    count_round_trips(scenario.host)
    scenario.run(scenario.site.onboard)
    scenario.notes["trips"] = round_trips(scenario.host)
    scenario.notes["again"] = scenario.site.onboard()
    scenario.notes["more trips"] = round_trips(scenario.host) - scenario.notes["trips"]


@contextmanager
def in_the_middle_of_a_change(scenario: Scenario) -> "Iterator[Future[None]]":
    """Start to configure the site, and go on once its host waits within the command."""
    scenario.host.root(HOLD)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(configure, scenario)
        scenario.host.until(lambda: scenario.host.root(WAITING), what="a change in progress")
        yield done


def count_round_trips(host: Host) -> None:
    """Have the host's sshd log each request that it answers."""
    host.root("sed -i '1i LogLevel DEBUG1' /etc/ssh/sshd_config && systemctl restart ssh")


def round_trips(host: Host) -> int:
    """Return for how many requests a client of this host's SSH has waited for an answer."""
    pattern = "server_input_channel_open: ctype|server_input_channel_req: .* reply 1"
    return int(host.root(f"journalctl --no-pager -q -u ssh | grep -cE '{pattern}' || true"))


def test_a_host_that_drips_lines_before_its_banner_is_given_up_in_time(
    day: dict[str, Scenario],
) -> None:
    site = day["drip"]
    assert isinstance(site.answer, SiteUnreachableError), site.answer
    assert re.search("did not finish the SSH handshake within 30 s", str(site.answer))
    assert site.seconds < 40
    assert site.site.traces() == site.before


def test_a_link_that_stays_dark_from_the_middle_of_a_command_ends_the_run_with_an_error(
    day: dict[str, Scenario],
) -> None:
    site = day["dark"]
    assert isinstance(site.answer, ConnectionLostError | SiteUnreachableError), site.answer
    assert site.host.name in str(site.answer)
    assert site.seconds < 60


def test_the_host_behind_it_goes_back_by_itself(day: dict[str, Scenario]) -> None:
    site = day["dark"]
    assert site.notes["written"] != site.before
    told = site.host.root("journalctl --no-pager -q -t acrfleet")
    assert "nobody confirmed the change within 20 s; going back" in told
    assert site.site.traces() == site.before


def test_a_link_that_comes_back_is_waited_for_and_nothing_is_done_twice(
    day: dict[str, Scenario],
) -> None:
    site = day["eclipse"]
    assert [outcome.name for outcome in site.answer] == [f"eclipse/{site.host.name}"]
    assert 8 < site.seconds < 60
    told = site.host.root("journalctl --no-pager -q -t acrfleet")
    assert (told.count("armed for"), told.count("confirmed:"), told.count("going back")) == (
        1,
        1,
        0,
    )
    assert pulls(site)


def test_the_other_sites_do_not_notice(day: dict[str, Scenario]) -> None:
    site = day["good"]
    assert [outcome.name for outcome in site.answer] == [f"good/{site.host.name}"]
    assert site.seconds < 15
    assert pulls(site)


def test_a_host_600_ms_away_with_loss_is_configured_and_restarted(day: dict[str, Scenario]) -> None:
    far = day["far"]
    assert [outcome.name for outcome in far.answer] == [f"far/{far.host.name}"]
    assert "k3s restarted" in far.answer[0].detail
    assert far.seconds < 90
    assert pulls(far)


def test_an_onboarding_and_a_run_without_change_wait_seldom_for_the_host(
    day: dict[str, Scenario],
) -> None:
    near = day["near"]
    for report in (near.answer, near.notes["again"]):
        assert isinstance(report, FleetReport), report
        assert [(result.status, result.error) for result in report.results] == [(Status.DONE, None)]
    assert near.notes["again"].results[0].changes == 0
    assert 0 < near.notes["trips"] <= FIRST_RUN
    assert 0 < near.notes["more trips"] <= RUN_WITHOUT_CHANGE


def pulls(scenario: Scenario) -> bool:
    """Return whether the host pulls through the mirror that it was told of."""
    name, login = f"{scenario.site.login_server}/{IMAGE}", scenario.site.world.mirror.login
    pulled = scenario.host.pull(name, login)
    assert pulled.returncode == 0, pulled.stderr
    return True
