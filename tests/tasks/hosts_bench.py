"""Sites of a lab and sessions with them, for tests of the steps on nodes."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from fleet.fleet_file import parse_fleet
from fleet.node_changes import plan_change
from fleet.node_facts import NodeFacts
from fleet.outcomes import Outcome, SiteEndpoint
from fleet.registries_yaml import RegistriesPlan
from fleet.sites import Host, Node, Patience, Ssh
from lab.thread import LabThread
from tasks.hosts import check_nodes, configure_nodes, prepare_nodes
from tasks.sessions import SiteSession, open_site
from tests.builders import a_site
from tests.tasks.site_bench import a_registry_session

FILE = "/etc/rancher/k3s/registries.yaml"
CERTS_D = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d"
ENDPOINT = SiteEndpoint(address="10.43.0.9", port=80)
LOGIN_SERVER = "myacr.azurecr.io"
PLAN = RegistriesPlan(login_server=LOGIN_SERVER, endpoint=ENDPOINT)
ALONE = "oslo-server-1"
SERVER, AGENT_1, AGENT_2 = "rotterdam-server-1", "rotterdam-agent-1", "rotterdam-agent-2"
THEIRS = "# theirs\nmirrors:\n  docker.io:\n    endpoint: [https://cache.example]\n"


class Bench:
    """A site and our session with it: Rotterdam has two agents, Oslo one server alone."""

    def __init__(self, lab: LabThread, session: SiteSession) -> None:
        self.lab, self.session = lab, session
        self.hosts = lab.world.sites[session.site.name].hosts

    def path(self, node: str) -> Path:
        return Path(self.hosts[node].root, FILE.lstrip("/"))

    def put(self, node: str, text: str, *, age: float = 3600) -> None:
        """Write the file as if it had been there before K3s started."""
        self.path(node).write_text(text)
        os.utime(self.path(node), (time.time() - age,) * 2)

    def check(self) -> tuple[NodeFacts, ...]:
        return check_nodes.fn(self.session, LOGIN_SERVER)

    def prepare(self) -> tuple[NodeFacts, ...]:
        return prepare_nodes.fn(self.session, LOGIN_SERVER)

    def configure(self, facts: Sequence[NodeFacts] = ()) -> tuple[Outcome, ...]:
        return configure_nodes.fn(self.session, ENDPOINT, LOGIN_SERVER, facts)

    def abandon(self, node: str) -> None:
        """Write a node's files as a run does that is killed before it has proven anything."""
        described = next(one for one in self.session.site.nodes if one.name == node)
        client = self.session.nodes[node]
        facts = client.read_facts(LOGIN_SERVER, ENDPOINT.host)
        change = plan_change(self.session.site.host, described, facts, PLAN)
        client.apply(
            change.due, unit=change.unit, restart=bool(change.restart), deadman_seconds=600
        )

    def hosts_toml(self, node: str, host: str) -> str | None:
        path = Path(self.hosts[node].root, CERTS_D.lstrip("/"), host, "hosts.toml")
        return path.read_text() if path.exists() else None

    def is_settled(self, node: str) -> bool:
        """Return whether no dead-man is left on a node."""
        return not Path(self.hosts[node].root, "var/lib/acrfleet").exists()

    def changes(self) -> list[tuple[str, str, str]]:
        lines = [line for line in self.lab.audit if line["part"] == "hosts"]
        return [(line["action"], line["target"], line["node"]) for line in lines]

    def restarts(self) -> list[str]:
        return [node for action, _, node in self.changes() if action == "restart"]

    def mirrors(self, node: str) -> Any:
        return yaml.safe_load(self.path(node).read_text())["mirrors"]


@contextmanager
def opened(
    folder: Path, name: str = "oslo", node_ready: float = 20, restart: str = "auto"
) -> Iterator[Bench]:
    with LabThread(folder=folder, sites=2) as lab:
        described = next(site for site in lab.info["sites"] if site["name"] == name)
        nodes = tuple(
            Node(name=n["name"], address=n["host"], port=n["port"], role=n["role"])
            for n in described["nodes"]
        )
        one = described["nodes"][0]
        ssh = Ssh(user=one["user"], key_file=one["key_file"], known_hosts=one["known_hosts"])
        wait = Patience(node_ready=timedelta(seconds=node_ready))
        host = Host.model_validate({"restart": restart})
        site = a_site(name, nodes=nodes, ssh=ssh, patience=wait, host=host)
        fleet = parse_fleet((folder / "fleet.yaml").read_text(), "fleet.yaml")
        registry = fleet.registries[described["registry"]]
        with (
            a_registry_session(lab.info["azure"], registry) as cloud,
            open_site(site, cloud) as session,
        ):
            yield Bench(lab, session)
