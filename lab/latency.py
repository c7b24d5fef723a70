"""How slow the world is: named profiles, or a YAML file with the same fields."""

from dataclasses import dataclass, fields
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Latency:
    """Delays of one lab.

    Attributes:
        arm_ms: Milliseconds that each answer of Azure takes longer.
        ssh_rtt_ms: Round trip in milliseconds between the operator and a host.
        chart_seconds: From the chart's objects to a running pod.
        restart_seconds: How long K3s takes to start.
        sync_seconds: How long a site takes to copy all its repositories once.
    """

    arm_ms: float = 0.0
    ssh_rtt_ms: float = 0.0
    chart_seconds: float = 0.2
    restart_seconds: float = 0.1
    sync_seconds: float = 0.2


PROFILES = {
    "none": Latency(),
    "lan": Latency(30, 2, 2, 1, 2),
    "satellite": Latency(120, 600, 15, 5, 20),
}


def load_latency(name: str) -> Latency:
    """Return a named profile, or the one in the YAML file `name`.

    Raises:
        ValueError: Neither a profile nor a readable file with known, non-negative numbers.
    """
    if name in PROFILES:
        return PROFILES[name]
    try:
        content = yaml.safe_load(Path(name).read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        known = ", ".join(PROFILES)
        raise ValueError(f"latency {name!r} is neither {known} nor a YAML file: {error}") from error
    known_fields = {field.name for field in fields(Latency)}
    if not isinstance(content, dict) or set(content) - known_fields:
        raise ValueError(f"{name}: only these keys are known: {', '.join(sorted(known_fields))}")
    if any(not isinstance(value, int | float) or value < 0 for value in content.values()):
        raise ValueError(f"{name}: every value is a number that is not negative")
    return Latency(**content)
