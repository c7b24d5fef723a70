"""`acrfleet metrics`: the fleet's figures for Prometheus."""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.exit_codes import ExitCode
from cli.input_errors import readable
from cli.site_options import Wanted, choosing_sites

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from fleet.metrics import Gauge


@click.command()
@choosing_sites
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write, replaced in one step; NAME.prom for node_exporter. None: the terminal.",
)
def metrics(fleet_file: Path, wanted: Wanted, out: Path | None) -> None:
    r"""Write figures on the fleet of FLEET_FILE as OpenMetrics text, for Prometheus.

    It reads what the runs have recorded and asks nothing outside. node_exporter's textfile
    collector takes the same text. Run it from a timer. Counts are of the chosen sites.

    \b
    Example:
        acrfleet metrics fleet.yaml
        acrfleet metrics fleet.yaml --out /var/lib/node_exporter/textfile/acrfleet.prom
    """
    from clients.fleet_files import read_fleet
    from clients.output_files import replace_file
    from fleet.metrics import fleet_gauges
    from tasks.site_views import read_views

    with readable():
        fleet = read_fleet(fleet_file)
        views = read_views(fleet.name, wanted.choose(fleet))
        text = render(fleet_gauges(fleet.name, views, datetime.now(UTC)))
        if out is None:
            click.echo(text, nl=False)
        else:
            replace_file(out, text)
    sys.exit(ExitCode.OK)


class _Collector:
    """Gives gauges to the library, which knows how to write them."""

    def __init__(self, gauges: "Sequence[Gauge]") -> None:
        self._gauges = gauges

    def collect(self) -> "Iterator[Metric]":
        """Yield the metrics in their order."""
        from prometheus_client.core import GaugeMetricFamily

        for gauge in self._gauges:
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            for values, number in gauge.samples:
                family.add_metric(values, number)
            yield family


def render(gauges: "Sequence[Gauge]") -> str:
    """Return gauges as OpenMetrics text; one that has no value is left out."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.openmetrics.exposition import generate_latest

    registry = CollectorRegistry()
    registry.register(_Collector([gauge for gauge in gauges if gauge.samples]))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]  # the library has no types there
    return text.decode()
