"""All units that a host's systemd knows: its services, what `systemd-run` made, and a few more."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from lab.hosts.node_service import NodeService
from lab.hosts.systemd_run import TransientUnits
from lab.hosts.transient_unit import TransientUnit
from lab.hosts.unit_file import is_enabled, read_command, unit_path
from lab.hosts.unit_state import UnitState

_ALWAYS_RUNNING = ("ssh.service", "sshd.service", "systemd-journald.service", "dbus.service")
_TRANSIENT = "/run/systemd/transient"


@dataclass(frozen=True)
class UnitView:
    """What there is to say of a unit. `state` is None for units that only have a file."""

    name: str
    description: str
    active: str
    sub: str
    state: UnitState | None
    type: str
    fragment: str
    file_state: str
    command: tuple[str, ...]
    restart: str = "no"
    next_elapse: int = 0


class Units:
    """Finds units by name, and starts and stops them."""

    def __init__(
        self, root: Path, services: Mapping[str, NodeService], transient: TransientUnits
    ) -> None:
        """Know one host's services by name, and its transient units."""
        self._root = root
        self._services = services
        self._transient = transient

    def loaded(self) -> list[str]:
        """Return the names of all units that are loaded."""
        made = [
            name
            for unit in self._transient.loaded.values()
            for name in (unit.timer_name, unit.service_name)
            if self._transient.find(name)
        ]
        return [*_ALWAYS_RUNNING, *self._services, *made]

    def expand(self, names: list[str]) -> list[str]:
        """Return full names; a pattern stands for the loaded units that it matches."""
        found: list[str] = []
        for name in names:
            if set(name) & set("*?["):
                pattern = name if "." in name else f"{name}*"
                found += [unit for unit in self.loaded() if fnmatchcase(unit, pattern)]
            else:
                found.append(full_name(name))
        return found

    def find(self, name: str) -> UnitView | None:
        """Return a unit; None when the host has none of that name."""
        transient = self._transient.find(name)
        if transient:
            return _view_transient(name, transient)
        fragment = unit_path(self._root, name)
        service = self._services.get(name)
        command = tuple(read_command(self._root, name))
        if service and fragment:
            state = service.state
            return UnitView(
                name, service.kind.description, state.active, state.sub, state,
                service.kind.type, fragment, self._file_state(name), command, "always",
            )  # fmt: skip
        if name in _ALWAYS_RUNNING:
            file_state = "enabled"
            return UnitView(
                name, name, "active", "running", None, "simple", "", file_state, command
            )
        if fragment:
            file_state = self._file_state(name)
            return UnitView(
                name, name, "inactive", "dead", None, "simple", fragment, file_state, command
            )
        return None

    async def run_job(self, action: str, name: str) -> bool:
        """Start, stop or restart a unit; return whether the job succeeded."""
        service = self._services.get(name)
        if service:
            if action == "stop":
                await service.stop()
                return True
            return await (service.start() if action == "start" else service.restart())
        unit = self._transient.find(name)
        return await _run_transient_job(action, name, unit) if unit else True

    def reset_failed(self, name: str) -> bool:
        """Forget a unit's failure; return whether the unit is there."""
        unit = self._transient.find(name)
        if unit:
            unit.reset_failed()
        return unit is not None or self.find(name) is not None

    def _file_state(self, name: str) -> str:
        return "enabled" if is_enabled(self._root, name) else "disabled"


async def _run_transient_job(action: str, name: str, unit: TransientUnit) -> bool:
    if name == unit.timer_name:
        await unit.stop_timer()
        if action != "stop":
            unit.arm()
        return True
    if action != "start":
        await unit.stop_service()
    return True if action == "stop" else await unit.start()


def _view_transient(name: str, unit: TransientUnit) -> UnitView:
    is_timer = name == unit.timer_name
    state = unit.timer if is_timer else unit.service
    return UnitView(
        name,
        unit.order.description,
        state.active,
        state.sub,
        state,
        "" if is_timer else "simple",
        f"{unit.order.folder_of_unit}/{name}",
        "transient" if unit.order.folder_of_unit == _TRANSIENT else "static",
        () if is_timer else unit.order.argv,
        next_elapse=int((unit.deadline or 0) * 1e6) if state.sub == "waiting" else 0,
    )


def full_name(name: str) -> str:
    """Return a unit's name with its ending; `.service` is what goes without saying."""
    return name if name.rpartition(".")[2] in ("service", "target", "timer") else f"{name}.service"
