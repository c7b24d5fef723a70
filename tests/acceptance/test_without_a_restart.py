"""Nodes whose containerd reads certs.d take the mirror without a restart, and keep it after one."""

import pytest

from fleet.outcomes import Action
from tests.acceptance.host import Host
from tests.acceptance.world import World

IMAGE = "vessel/navigation:1.5.0"


def test_a_pull_fails_before_and_works_after_and_nothing_was_restarted(
    world: World, host: Host
) -> None:
    site = world.site(world.fresh_name(), [host])
    name, before = f"{site.login_server}/{IMAGE}", host.service()
    assert host.pull(name, world.mirror.login).returncode != 0
    site.configure()
    pulled = host.pull(name, world.mirror.login)
    assert pulled.returncode == 0, pulled.stderr
    assert host.service() == before


def test_after_a_restart_k3s_has_rendered_what_was_written(world: World, host: Host) -> None:
    site = world.site(world.fresh_name(), [host])
    site.configure()
    pattern = f"{host.flavor.certs_d}/*/hosts.toml"
    ours = {path: host.read(path) for path in host.find(pattern)}
    assert len(ours) == 2
    host.root("systemctl restart k3s")
    host.until_k3s_runs()
    theirs = {path: host.read(path) for path in host.find(pattern)}
    assert theirs == {path: _without_timeout(text) for path, text in ours.items()}
    assert ours != theirs
    before = site.traces()
    site.configure()
    assert site.traces() == before


@pytest.mark.parametrize("distribution", ["rke2", "containerd"])
def test_other_distributions_take_it_without_a_restart_too(world: World, distribution: str) -> None:
    host = world.host(world.fresh_name(), distribution=distribution)
    site = world.site(world.fresh_name(), [host])
    name, before = f"{site.login_server}/{IMAGE}", host.service()
    assert host.pull(name, world.mirror.login).returncode != 0
    site.configure()
    pulled = host.pull(name, world.mirror.login)
    assert pulled.returncode == 0, pulled.stderr
    assert host.service() == before
    world.discard(host)


def _without_timeout(text: str) -> str:
    """Return our hosts.toml without the line that K3s cannot express."""
    return "".join(line for line in text.splitlines(True) if "dial_timeout" not in line)


def test_a_site_that_restarts_for_every_change_is_at_rest_after_one(
    world: World, host: Host
) -> None:
    """K3s renders hosts.toml when it starts, without the dial timeout that we add elsewhere."""
    site = world.site(world.fresh_name(), [host], host={"restart": "always"})
    assert [one.action for one in site.configure()] == [Action.CREATED]
    before = site.traces()
    assert [one.action for one in site.configure()] == [Action.UNCHANGED]
    assert site.traces() == before
