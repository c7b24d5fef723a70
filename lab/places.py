"""Which sites, nodes, registries and repositories a lab has. All of it is made up."""

from collections.abc import Mapping
from dataclasses import dataclass

REGISTRY_NAME = "acrfleetlab"
RESOURCE_GROUP = "fleet-lab"
SITES_PER_REGISTRY = 50
DISTRIBUTION = "k3s"
REPOSITORIES = {
    "vessel/navigation": ["1.4.0", "1.5.0"],
    "vessel/engine-monitor": ["2.0.1", "2.1.0"],
    "vessel/engine-monitor-debug": ["2.1.0"],
    "vessel/crew-portal": ["0.9.2", "1.0.0"],
    "office/intranet": ["7.2"],
    "office/payroll": ["3.3"],
}
_AGENTS = {"rotterdam": 2}
_PORT_CITIES = """
oslo rotterdam singapore santos valparaiso busan durban bergen gdansk piraeus halifax yokohama
callao tema dakar colombo cebu darwin nelson fremantle aarhus turku riga klaipeda varna izmir
haifa aqaba muscat karachi chennai penang manta colon tampico mobile tacoma juneau reykjavik
torshavn cork leith cardiff nantes bilbao vigo setubal cadiz genoa trieste rijeka split durres
valletta tunis oran agadir nouadhibou banjul freetown abidjan lome cotonou douala libreville
luanda walvis maputo beira mombasa djibouti massawa jeddah doha sohar mumbai kochi chittagong
yangon phuket haiphong kaohsiung incheon niigata vladivostok magadan nome seward
"""
_NAMES = tuple(_PORT_CITIES.split())


@dataclass(frozen=True)
class NodePlan:
    """A node to be: its Kubernetes name and role (server or agent)."""

    name: str
    role: str


@dataclass(frozen=True)
class SitePlan:
    """A site to be, and which registry is its parent."""

    name: str
    nodes: tuple[NodePlan, ...]
    registry: str
    distribution: str = DISTRIBUTION


def plan_sites(count: int, distribution: str | Mapping[str, str] = DISTRIBUTION) -> list[SitePlan]:
    """Return `count` sites with distinct names, at most 50 per registry as Azure allows.

    Args:
        count: How many.
        distribution: What runs on the hosts of all sites, `k3s`, `rke2` or `containerd`, also in a
            version (`k3s@v1.28.5+k3s1`); or a mapping from sites' names, K3s being the rest.
    """
    return [
        _site(_name(index), registry_name(index // SITES_PER_REGISTRY), distribution)
        for index in range(count)
    ]


def parse_distributions(text: str) -> str | dict[str, str]:
    """Read `rke2`, or `oslo=rke2,rotterdam=containerd@1.7.24` for some sites."""
    if "=" not in text:
        return text
    return dict(part.partition("=")[::2] for part in text.split(","))


def registry_name(index: int) -> str:
    """Return the name of the first, second, ... registry."""
    return REGISTRY_NAME if index == 0 else f"{REGISTRY_NAME}{index + 1}"


def _name(index: int) -> str:
    return _NAMES[index] if index < len(_NAMES) else f"port-{index + 1:03}"


def _site(name: str, registry: str, distribution: str | Mapping[str, str]) -> SitePlan:
    agents = range(1, _AGENTS.get(name, 0) + 1)
    nodes = [NodePlan(f"{name}-server-1", "server")]
    nodes += [NodePlan(f"{name}-agent-{number}", "agent") for number in agents]
    if not isinstance(distribution, str):
        distribution = distribution.get(name, DISTRIBUTION)
    return SitePlan(name, tuple(nodes), registry, distribution)
