"""The acceptance suite: real systemd, OpenSSH, containerd, registry and Kubernetes API.

Run it with `make acceptance` (root, Debian); `python -m tests.acceptance -q -k NAME` runs a part.
Plain pytest skips it: the scenarios need the namespaces that `tests.acceptance` enters first. What
is real here, what stands in and what cannot be shown: docs/reference/acceptance.md.

How to write a scenario:

    def test_a_broken_file_is_left_alone(world: World) -> None:
        host = world.host("bremen")                       # boots in a second; name unique
        host.write(REGISTRIES, "mirrors: [", mode="0644")
        site = world.site("bremen", [host])               # its fleet file; nothing is done yet
        with pytest.raises(HostFileInvalidError):
            site.configure()                              # the step `configure_nodes` alone
        assert host.read(REGISTRIES) == "mirrors: ["

- `world` is shared by all tests of a worker, and so by those of one file: the API server, the
  cloud, `world.mirror` (a registry that has images and one login, on a Service's address). Names of
  hosts and sites are unique in it.
- A fresh host costs less than a second, so take one instead of mending a used one; the fixture
  `host` gives one and takes it away. `world.discard(host)` removes a host and its node.
- On a host: `host.root(command)` past SSH and link, `host.ssh(command)` with OpenSSH's own client,
  `read`, `write`, `stat`, `find`, `service()` (state, NRestarts, ActiveEnterTimestampMonotonic),
  `journal()`, `pull(image, "user:password")` by containerd, `forget_images()`, `until(look, ...)`.
- To break it: `host.fail_when(text)` makes K3s die (or hang) while registries.yaml holds that text;
  everything else is a command away: `host.root("mount -o remount,ro /etc/rancher")`. Users, sudoers
  and sshd_config are the host's own files; `host.root("systemctl restart ssh")` takes them up.
- `world.host(name, emulated=True)` hangs on a cable with faults: `host.link.delay(300, loss=0.02)`
  (each way), `host.link.blackhole()`, `host.link.restore()`.
- `site.configure()` runs the step `configure_nodes` with the shared mirror; `site.session()` opens
  a session for any task: `check_nodes.fn(session)`. Neither needs Azure or a chart.
- `site.onboard()` and `site.verify()` run the whole flows; the test needs `@pytest.mark.flow`. Give
  `world.site` fields of the fleet file to change them, as `host={"restart": "never"}`.
- `site.start()` starts `acrfleet onboard` as a process of its own, for scenarios that kill it.
- `world.host(name, distribution="rke2")`, or "containerd": a host of another kind; its paths, units
  and tools are in `host.flavor`, and the site's fleet file says what it is.
- `site.traces()` before and after tells whether anything was written or restarted.
"""

import os
from collections.abc import Iterator

import pytest

from tests.acceptance import machine
from tests.acceptance.host import Host
from tests.acceptance.world import World


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every scenario; outside of the suite's namespaces skip them with a reason."""
    for item in items:
        if "tests/acceptance" in item.path.as_posix():
            item.add_marker(pytest.mark.acceptance)
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))
            if machine.INSIDE not in os.environ:
                item.add_marker(pytest.mark.skip(reason="run `make acceptance`"))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, prefect_harness: None) -> Iterator[World]:
    """The outside world, started once for all scenarios (3 s).

    Steps ask Prefect for slots. Without the harness each process would start a server for that.
    """
    world = World(tmp_path_factory.mktemp("world"))
    with pytest.MonkeyPatch.context() as patch:
        try:
            world.start()
            for name, value in world.environment().items():
                patch.setenv(name, value)
            yield world
        finally:
            world.stop()


@pytest.fixture
def host(world: World) -> Iterator[Host]:
    """A fresh server for one test, with its own name."""
    host = world.host(world.fresh_name())
    yield host
    world.discard(host)


@pytest.fixture
def linked_host(world: World) -> Iterator[Host]:
    """A fresh server whose cable can be delayed, lossy or dark (`linked_host.link`)."""
    host = world.host(world.fresh_name(), emulated=True)
    yield host
    world.discard(host)
