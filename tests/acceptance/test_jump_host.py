"""Many sites behind one jump host whose sshd is as Debian ships it (MaxStartups 10:30:100)."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from fleet.host_errors import ForwardingRefusedError
from fleet.sites import Site as FleetSite
from tasks.fleet_files import read_fleet
from tasks.hosts import check_nodes
from tasks.sessions import RegistrySession, open_registry_session, open_site
from tests.acceptance.host import Host
from tests.acceptance.machine import run
from tests.acceptance.site import Site
from tests.acceptance.world import World

SITES = 50
PORT = 2222
START = """
mkdir -p /etc/ssh/sites
grep -v HostKey /etc/ssh/sshd_config > /etc/ssh/sites/config
for n in $(seq {sites}); do
  ssh-keygen -q -t ed25519 -N '' -C '' -f /etc/ssh/sites/$n
  /usr/sbin/sshd -f /etc/ssh/sites/config -o HostKey=/etc/ssh/sites/$n -o PidFile=none \
    -o ListenAddress=198.18.250.$n -p {port}
  echo "[198.18.250.$n]:{port} $(cat /etc/ssh/sites/$n.pub)"
done
"""


@pytest.fixture(scope="module")
def jump(world: World) -> Iterator[Host]:
    host = world.host("pier")
    assert "maxstartups 10:30:100" in host.root("sshd -T")
    yield host
    world.discard(host)


@pytest.fixture(scope="module")
def islands(world: World, jump: Host) -> Iterator[Site]:
    """Fifty sites, each an sshd with an address and a key of its own, on one machine with K3s."""
    machine = world.host("islands")
    for number in range(1, SITES + 1):
        run("ip", "-n", machine.name, "address", "add", f"198.18.250.{number}/16", "dev", "eth0")
    known_hosts = machine.root(START.format(sites=SITES, port=PORT), timeout=60)
    site = world.site("islands", [machine])
    site.known_hosts.write_text(known_hosts + jump.known_hosts.read_text())
    content = yaml.safe_load(site.fleet_file.read_text())
    content["sites"] = [an_island(content["sites"][0], jump, n) for n in range(1, SITES + 1)]
    site.fleet_file.write_text(yaml.safe_dump(content))
    yield site
    world.discard(machine)


def an_island(entry: dict[str, Any], jump: Host, number: int) -> dict[str, Any]:
    way = {"jump": {"address": jump.address}, "address": f"198.18.250.{number}", "port": PORT}
    return {**entry, "name": f"island{number}", "nodes": [{**entry["nodes"][0], **way}]}


def test_the_jump_host_drops_logins_when_many_come_at_once(jump: Host) -> None:
    with ExitStack() as stack:
        greetings = []
        for _ in range(SITES):
            one = stack.enter_context(socket.create_connection((jump.address, 22), 10))
            greetings.append(one.recv(4))
    assert b"Exce" in greetings


def test_fifty_sites_behind_it_all_get_through_at_once(jump: Host, islands: Site) -> None:
    (machine,), fleet = islands.hosts, read_fleet(str(islands.fleet_file))
    assert len({site.nodes[0].address for site in fleet.sites}) == SITES
    before = logins(jump), logins(machine)
    cloud = open_registry_session(fleet.registries["cloud"])
    with ThreadPoolExecutor(SITES) as pool:
        found = list(pool.map(lambda site: look(site, cloud), fleet.sites))
    cloud.close()
    assert found == ["k3s"] * SITES
    assert (logins(jump), logins(machine)) == (before[0] + SITES, before[1] + SITES)


def test_a_jump_host_that_forwards_nothing_is_told_what_to_set(
    world: World, host: Host, jump: Host
) -> None:
    closed = host
    closed.root("sed -i '1i AllowTcpForwarding no' /etc/ssh/sshd_config && systemctl restart ssh")
    way = {"name": jump.name, "address": jump.address, "jump": {"address": closed.address}}
    site = world.site(world.fresh_name(), [jump, closed], nodes=[way])
    with pytest.raises(ForwardingRefusedError, match=f"jump host {closed.address}.*AllowTcpForw"):
        site.configure()


def look(site: FleetSite, cloud: RegistrySession) -> str | None:
    with open_site(site, cloud) as session:
        return check_nodes.fn(session)[0].distribution


def logins(host: Host) -> int:
    return host.journal("", lines=20_000).count("Accepted publickey")
