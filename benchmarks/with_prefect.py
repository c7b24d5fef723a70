"""A runner: onboard the whole fleet as `acrfleet onboard` does, and measure it."""

import sys

from benchmarks.measuring import measure
from fleet.results import SiteResult
from flows.onboard import onboard_fleet
from tasks.progress import collecting_reports


def _onboard(fleet_file: str) -> tuple[SiteResult, ...]:
    with collecting_reports() as reports:
        state = onboard_fleet(fleet_file, return_state=True)
    if not reports:
        state.result()
    return reports[0].results


if __name__ == "__main__":
    measure(lambda: _onboard(sys.argv[1]))
