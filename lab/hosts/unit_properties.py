"""What `systemctl show` prints of a unit, in systemd's own order."""

from datetime import datetime

from lab.hosts.unit_state import UnitState
from lab.hosts.units import UnitView

_TIMES = (
    "ExecMainStart",
    "StateChange",
    "InactiveExit",
    "ActiveEnter",
    "ActiveExit",
    "InactiveEnter",
)


def properties(name: str, unit: UnitView | None, form: str = "pretty") -> dict[str, str]:
    """Return the properties of a unit, or of a name that no unit has.

    Args:
        name: The name that was asked for.
        unit: The unit of that name.
        form: How its times are shown: pretty or unix.
    """
    state = unit.state if unit and unit.state else UnitState()
    first = _timer(unit) if name.endswith(".timer") else _service(unit, state)
    shown = {
        **first,
        "Id": name,
        "Names": name,
        "Description": unit.description if unit else name,
        "LoadState": "loaded" if unit else "not-found",
        "ActiveState": unit.active if unit else "inactive",
        "SubState": unit.sub if unit else "dead",
        "FragmentPath": unit.fragment if unit else "",
        "UnitFileState": unit.file_state if unit else "",
        "Transient": "yes" if unit and unit.file_state == "transient" else "no",
    }
    for moment in _TIMES:
        shown[f"{moment}Timestamp"] = _time(state, moment, form)
        shown[f"{moment}TimestampMonotonic"] = _time(state, moment, "monotonic")
    shown["InvocationID"] = state.invocation
    return shown


def _service(unit: UnitView | None, state: UnitState) -> dict[str, str]:
    always = unit is not None and unit.restart == "always"
    return {
        "Type": unit.type if unit else "simple",
        "Restart": unit.restart if unit else "no",
        "RestartUSec": "5s" if always else "100ms",
        "MainPID": str(state.main_pid),
        "Result": state.result,
        "NRestarts": str(state.restarts),
        "ExecStart": _show_command(unit.command if unit else ()),
        "ExecMainStatus": str(state.exec_main_status),
    }


def _timer(unit: UnitView | None) -> dict[str, str]:
    if unit is None:
        return {"Result": "success"}
    return {
        "Unit": unit.name.removesuffix(".timer") + ".service",
        "NextElapseUSecMonotonic": f"{unit.next_elapse // 1_000_000}s" if unit.next_elapse else "",
        "Result": "success",
    }


def _time(state: UnitState, name: str, form: str) -> str:
    if name not in state.times:
        return "0" if form == "monotonic" else ""
    moment, monotonic = state.times[name]
    if form == "monotonic":
        return str(monotonic)
    return f"@{int(moment.timestamp())}" if form == "unix" else _pretty(moment)


def _pretty(moment: datetime) -> str:
    return f"{moment:%a %Y-%m-%d %H:%M:%S} UTC"


def _show_command(words: tuple[str, ...]) -> str:
    if not words:
        return ""
    line = " ".join(words)
    return (
        f"{{ path={words[0]} ; argv[]={line} ; ignore_errors=no ; start_time=[n/a] ; "
        "stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }"
    )
