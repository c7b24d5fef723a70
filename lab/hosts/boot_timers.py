"""The timers that a host's systemd starts when it boots: what timers.target wants.

systemd reads unit files at boot and at `daemon-reload`; a file that was put there since does
nothing until then. Only what the product writes is understood: OnActiveSec and ExecStart.
"""

from pathlib import Path

from lab.hosts.folder import resolve
from lab.hosts.systemd_run import seconds_of
from lab.hosts.transient_unit import Order
from lab.hosts.unit_file import find_unit_file, read_command, read_setting

_UNITS = "/etc/systemd/system"


def wanted_timers(root: Path) -> list[Order]:
    """Return what each timer that timers.target wants is to start, and when."""
    links = sorted(resolve(root, f"{_UNITS}/timers.target.wants").glob("*.timer"))
    orders = (_order(root, link.name.removesuffix(".timer")) for link in links)
    return [order for order in orders if order]


def _order(root: Path, name: str) -> Order | None:
    service = f"{name}.service"
    delay = read_setting(root, f"{name}.timer", "OnActiveSec")
    if delay is None or find_unit_file(root, service) is None:
        return None
    return Order(
        name,
        tuple(read_command(root, service)),
        seconds_of(delay),
        read_setting(root, service, "Description") or service,
        folder_of_unit=_UNITS,
        needs=read_setting(root, service, "ConditionPathExists"),
    )
