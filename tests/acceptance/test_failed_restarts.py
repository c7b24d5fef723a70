"""K3s that does not come up with our file gets the old one back, and runs again."""

from collections.abc import Iterator

import pytest

from fleet.host_errors import RestartFailedError
from tests.acceptance.dead_man_traces import leftovers
from tests.acceptance.host import REGISTRIES, Host
from tests.acceptance.world import World

THEIRS = "# theirs\nmirrors:\n  docker.io:\n    endpoint: [https://cache.example]\n"
ALWAYS = {"restart": "always"}
WORDS = "starting kubernetes: no luck today"


@pytest.fixture
def agent(world: World, host: Host) -> Iterator[Host]:
    agent = world.host(world.fresh_name(), role="agent", server=host)
    yield agent
    world.discard(agent)


def assert_it_was_healed(node: Host, failed: str) -> None:
    assert f"{node.name}: {node.unit} did not come back after" in failed
    assert f"put the old {REGISTRIES} back" in failed
    first, between, second = failed.partition("Log after going back:")
    assert WORDS in first.partition("Log with the new files:")[2], first
    assert between
    assert f"{node.distribution} is up and running" in second
    assert node.read(REGISTRIES) == THEIRS
    assert node.service().sub == "running"
    assert node.find(f"{REGISTRIES}.*") == []
    assert leftovers(node) == []


def test_a_server_that_does_not_come_up_with_our_file_gets_the_old_one_back(
    world: World, host: Host
) -> None:
    host.write(REGISTRIES, THEIRS)
    host.fail_when(world.mirror.address, words=WORDS)
    site = world.site(world.fresh_name(), [host], host=ALWAYS)
    with pytest.raises(RestartFailedError) as failed:
        site.configure()
    assert_it_was_healed(host, str(failed.value))


def test_a_server_that_never_gets_ready_gets_the_old_file_back(world: World, host: Host) -> None:
    host.write(REGISTRIES, THEIRS)
    host.fail_when(world.mirror.address, how="hang")
    patience = {"node_ready": "5s"}
    site = world.site(world.fresh_name(), [host], host=ALWAYS, patience=patience)
    with pytest.raises(RestartFailedError, match=r"k3s is activating \(start\)"):
        site.configure()
    assert host.read(REGISTRIES) == THEIRS
    assert host.service().sub == "running"
    assert leftovers(host) == []


def test_an_agent_whose_restart_returns_0_and_loops_gets_the_old_file_back(
    world: World, host: Host, agent: Host
) -> None:
    agent.write(REGISTRIES, THEIRS)
    agent.fail_when(world.mirror.address, words=WORDS)
    site = world.site(world.fresh_name(), [host, agent], host=ALWAYS)
    with pytest.raises(RestartFailedError) as failed:
        site.configure()
    assert_it_was_healed(agent, str(failed.value))


def test_after_a_failed_agent_the_server_stays_new_and_the_next_agent_untouched(
    world: World, host: Host, agent: Host
) -> None:
    second = world.host(world.fresh_name(), role="agent", server=host)
    for node in (host, agent, second):
        node.write(REGISTRIES, THEIRS)
    agent.fail_when(world.mirror.address, words=WORDS)
    site = world.site(world.fresh_name(), [host, agent, second], host=ALWAYS)
    before = site.traces()
    with pytest.raises(RestartFailedError) as failed:
        site.configure()
    assert world.mirror.address in host.read(REGISTRIES)
    assert host.service().sub == "running"
    assert_it_was_healed(agent, str(failed.value))
    assert site.traces()[second.name] == before[second.name]
    assert f"{host.name} has the new files; {second.name} was not touched" in str(failed.value)
    agent.stop_failing()
    site.configure()
    assert all(world.mirror.address in node.read(REGISTRIES) for node in (host, agent, second))
    world.discard(second)
