import pytest

from fleet.distributions import DISTRIBUTIONS, UNITS, detect
from fleet.restarts import ServiceState


def services(**states: str) -> dict[str, ServiceState]:
    """Make units from `name=running`, `enabled`, `spare` (installed alone) or `restarting`."""
    made = {}
    for name, state in states.items():
        unit = name.replace("_", "-")
        active = {"running": "active", "restarting": "activating"}.get(state, "inactive")
        enabled = "disabled" if state == "spare" else "enabled"
        made[unit] = ServiceState(unit=unit, load="loaded", active=active, enabled=enabled)
    return {unit: made.get(unit, ServiceState(unit=unit)) for unit in UNITS}


@pytest.mark.parametrize(
    ("programs", "units", "found"),
    [
        (["k3s"], {"k3s": "running"}, "k3s"),
        (["k3s"], {"k3s_agent": "running"}, "k3s"),
        (["rke2"], {"rke2_server": "spare", "rke2_agent": "running"}, "rke2"),
        (["containerd"], {"containerd": "running"}, "containerd"),
        (["k3s", "containerd"], {"k3s": "running", "containerd": "running"}, "k3s"),
        (["k3s", "containerd"], {"k3s": "restarting", "containerd": "running"}, "k3s"),
        (["k3s", "rke2"], {"k3s": "spare", "rke2_agent": "running"}, "rke2"),
        (["k3s", "rke2"], {"k3s": "running", "rke2_server": "spare"}, "k3s"),
        (["k3s"], {}, "k3s"),
        (["containerd"], {}, None),
        ([], {}, None),
        (["k0s"], {}, None),
    ],
)
def test_a_distribution_is_detected(
    programs: list[str], units: dict[str, str], found: str | None
) -> None:
    assert detect(dict.fromkeys(programs, "v1.31.4"), services(**units)) == found


def test_each_role_has_its_unit() -> None:
    assert DISTRIBUTIONS["k3s"].unit_of("server") == "k3s"
    assert DISTRIBUTIONS["rke2"].unit_of("agent") == "rke2-agent"
    assert DISTRIBUTIONS["rke2"].other_unit("agent") == "rke2-server"
    assert DISTRIBUTIONS["containerd"].other_unit("agent") is None


def test_paths_follow_the_data_folder_unless_they_are_absolute() -> None:
    k3s, containerd = DISTRIBUTIONS["k3s"], DISTRIBUTIONS["containerd"]
    assert k3s.below("/data", k3s.certs_d) == "/data/agent/etc/containerd/certs.d"
    assert containerd.below("/data", containerd.certs_d) == "/etc/containerd/certs.d"
