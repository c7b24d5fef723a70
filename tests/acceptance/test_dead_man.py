"""The controller vanishes between a node's new files and their proof: the host heals itself."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fleet.host_errors import DeadManFiredError
from fleet.outcomes import Action
from tests.acceptance.dead_man_traces import is_armed, leftovers, sleepers, timers, told
from tests.acceptance.host import CERTS_D, REGISTRIES, Host
from tests.acceptance.site import Site
from tests.acceptance.world import World

THEIRS = "# theirs\nmirrors:\n  docker.io:\n    endpoint: [https://cache.example]\n"
# Undone after node_ready + 3 * node_step = 9 s without a confirmation.
PATIENCE = {"node_ready": "6s", "node_step": "1s"}
SYSTEMD_RUN = "/usr/bin/systemd-run"


def a_site(world: World, node: Host, /, *, systemd_run: bool = True, **changes: Any) -> Site:
    node.write(REGISTRIES, THEIRS)
    if not systemd_run:
        node.root(f"mv {SYSTEMD_RUN} {SYSTEMD_RUN}.gone")
    given = {"patience": PATIENCE, "host": {"restart": "always"}} | changes
    return world.site(world.fresh_name(), [node], **given)


@contextmanager
def a_run(site: Site) -> Iterator["subprocess.Popen[str]"]:
    """Start a controller as a process of its own; it is gone afterwards in any case."""
    with site.start_configuring() as process:
        try:
            yield process
        finally:
            process.kill()


def hold_k3s(world: World, host: Host) -> None:
    """Keep K3s from getting ready for as long as our mirror is in its file."""
    host.fail_when(world.mirror.address, how="hang")


def until_it_is_in_between(host: Host) -> None:
    """Wait until the new files are there, unproven, and K3s is held on its way up."""
    host.until(lambda: is_armed(host), what="a complete change under a dead-man", patience=120)
    host.until(lambda: host.service().active == "activating", what="K3s to be held")


def until_it_is_healed(host: Host) -> None:
    host.until(lambda: leftovers(host) == [], what="the host to heal itself", patience=60)
    host.until_k3s_runs()


def assert_everything_is_old(host: Host) -> None:
    assert host.read(REGISTRIES) == THEIRS
    assert host.find(f"{REGISTRIES}.*") == []
    assert [path for path in host.find(f"{CERTS_D}/*") if "docker.io" not in path] == []
    assert leftovers(host) == []


def assert_the_next_run_goes_through(site: Site, host: Host) -> None:
    host.stop_failing()
    site.change(patience={"node_ready": "1m"}, host={"restart": "always"})
    assert [outcome.action for outcome in site.configure()] == [Action.CHANGED]
    assert host.read(REGISTRIES).startswith(THEIRS)
    assert site.endpoint.url in host.read(REGISTRIES)
    assert leftovers(host) == []


@pytest.mark.parametrize("systemd_run", [True, False], ids=["systemd-run", "process"])
def test_a_host_whose_controller_is_killed_heals_itself(
    world: World, host: Host, systemd_run: bool
) -> None:
    site = a_site(world, host, systemd_run=systemd_run)
    hold_k3s(world, host)
    before = host.service()
    with a_run(site) as controller:
        until_it_is_in_between(host)
        assert [len(timers(host)), len(sleepers(host))] == ([1, 0] if systemd_run else [0, 1])
        assert world.mirror.address in host.read(REGISTRIES)
        controller.send_signal(signal.SIGKILL)
        controller.wait(5)
    until_it_is_healed(host)
    assert_everything_is_old(host)
    assert host.service().entered > before.entered
    words = told(host)
    assert "armed for 9 s" in words
    assert "nobody confirmed the change within 9 s; going back" in words
    assert f"put the old {REGISTRIES} back" in words
    assert "told k3s to restart" in words
    assert_the_next_run_goes_through(site, host)


@pytest.mark.parametrize("systemd_run", [True, False], ids=["systemd-run", "process"])
def test_a_host_whose_cable_is_pulled_heals_itself_and_the_late_controller_is_told(
    world: World, linked_host: Host, systemd_run: bool
) -> None:
    host, link = linked_host, linked_host.link
    assert link is not None
    site = a_site(world, host, systemd_run=systemd_run)
    hold_k3s(world, host)
    with a_run(site) as controller:
        until_it_is_in_between(host)
        link.blackhole()
        # The API server is beyond the cable: until it is back, K3s waits for it.
        host.until(lambda: leftovers(host) == [], what="the host to heal itself", patience=60)
        runs_containerd = f"{host.flavor.crictl} version"
        host.until(lambda: not host.attempt(runs_containerd).returncode, what="K3s to start")
        assert_everything_is_old(host)
        link.restore()
        host.until_k3s_runs()
        output, _ = controller.communicate(timeout=60)
    assert controller.returncode == 1
    assert re.search(r"DeadManFiredError|had gone back to the old files by itself", output), output
    assert_everything_is_old(host)
    assert_the_next_run_goes_through(site, host)


@pytest.mark.parametrize(("how", "systemd_run"), [("cut_power", True), ("reboot", False)])
def test_a_host_that_boots_again_before_the_proof_heals_itself(
    world: World, host: Host, how: str, systemd_run: bool
) -> None:
    """No controller comes back: what the host boots with is undone by the host alone."""
    site = a_site(world, host, systemd_run=systemd_run)
    hold_k3s(world, host)
    with a_run(site) as controller:
        until_it_is_in_between(host)
        controller.kill()
        getattr(host, how)()
    assert world.mirror.address in host.read(REGISTRIES), "it comes up with the new files"
    assert [len(timers(host)), len(sleepers(host))] == [1, 0]
    until_it_is_healed(host)
    assert_everything_is_old(host)
    assert "nobody confirmed the change within 9 s; going back" in told(host)
    assert_the_next_run_goes_through(site, host)


def test_files_that_needed_no_restart_are_undone_without_one(
    world: World, linked_host: Host
) -> None:
    host, link = linked_host, linked_host.link
    assert link is not None
    site = a_site(world, host, host={"restart": "auto"})
    before = host.service()
    link.delay(150)
    with a_run(site):
        host.until(lambda: is_armed(host), what="a change under a dead-man", patience=120)
        link.blackhole()
        assert world.mirror.address in host.read(REGISTRIES)
        host.until(lambda: leftovers(host) == [], what="the host to heal itself", patience=60)
    assert_everything_is_old(host)
    assert host.service() == before


@pytest.mark.parametrize("systemd_run", [True, False], ids=["systemd-run", "process"])
def test_a_proven_change_leaves_nothing_of_its_dead_man(
    world: World, host: Host, systemd_run: bool
) -> None:
    site = a_site(world, host, systemd_run=systemd_run, patience={"node_ready": "1m"})
    hold_k3s(world, host)
    with site.start_configuring() as controller:
        until_it_is_in_between(host)
        assert [len(timers(host)), len(sleepers(host))] == ([1, 0] if systemd_run else [0, 1])
        host.stop_failing()
        output, _ = controller.communicate(timeout=60)
    assert controller.returncode == 0, output
    assert leftovers(host) == []
    assert host.root("ls -A /var/lib | grep acrfleet || true") == ""
    assert world.mirror.address in host.read(REGISTRIES)
    assert [host.read(path) for path in host.find(f"{REGISTRIES}.acrfleet.*")] == [THEIRS]
    assert "confirmed: the change was proven" in told(host)


# Programs of these names come before the real ones; each ends the SSH session that called it.
_END_SESSION = "kill -9 $(pgrep -f '^sshd: edge')"


def test_a_confirmation_whose_answer_got_lost_is_asked_again(world: World, host: Host) -> None:
    site = a_site(world, host, patience={"node_ready": "1m", "node_step": "10s"})
    once = (
        f'case "$*" in *confirmed*) [ -e /run/cut ] || {{ touch /run/cut; {_END_SESSION}; }};; esac'
    )
    host.write("/usr/local/bin/logger", f'#!/bin/sh\n{once}\nexec /usr/bin/logger "$@"\n', "0755")
    assert [outcome.action for outcome in site.configure()] == [Action.CHANGED]
    assert host.exists("/run/cut")
    assert world.mirror.address in host.read(REGISTRIES)
    assert leftovers(host) == []


def test_a_proven_change_whose_confirmation_never_arrives_is_undone(
    world: World, host: Host
) -> None:
    site = a_site(world, host, patience={"node_ready": "3s", "node_step": "3s"})
    swallow = f'case "$*" in *"confirmed: the change"*) {_END_SESSION};; esac'
    host.write("/usr/local/bin/sudo", f'#!/bin/sh\n{swallow}\nexec /usr/bin/sudo "$@"\n', "0755")
    with a_run(site) as controller:
        output, _ = controller.communicate(timeout=60)
    assert controller.returncode == 1
    assert "ConnectionLostError" in output, output
    until_it_is_healed(host)
    assert_everything_is_old(host)
    assert "going back" in told(host)
    host.root("rm /usr/local/bin/sudo")
    assert_the_next_run_goes_through(site, host)


def test_a_proof_that_comes_too_late_is_told(world: World, host: Host) -> None:
    from tasks.hosts import configure_nodes

    site = a_site(world, host)
    wait = "while [ -e /var/lib/acrfleet ]; do sleep 0.1; done"
    late = f'case "$*" in *"confirmed: the change"*) {wait};; esac'
    host.write("/usr/local/bin/sudo", f'#!/bin/sh\n{late}\nexec /usr/bin/sudo "$@"\n', "0755")
    with site.session() as session, pytest.raises(DeadManFiredError, match="went back"):
        configure_nodes.fn(session, site.endpoint, site.login_server)
    until_it_is_healed(host)
    assert_everything_is_old(host)


def _settle(site: Site) -> None:
    """Do what every run that changes nodes does first."""
    from tasks.hosts import prepare_nodes

    with site.session() as session:
        prepare_nodes.fn(session, site.login_server)
