"""Who puts the chart on a site's cluster: K3s' helm-controller, or helm run by us."""

from collections.abc import Mapping
from typing import Any

from fleet.chart_settings import Chart, Installer
from fleet.cluster_errors import ClusterNotSuitableError
from fleet.cluster_objects import ChartView
from fleet.errors import NotOursError
from fleet.helm_chart import ChartSupport, read_chart_support
from fleet.sites import Site
from fleet.strict import Strict


class InstallerChoice(Strict):
    """The installer of one site; `why` is a phrase for people.

    `support` is there where the helm-controller installs, and only there.
    """

    installer: Installer
    why: str
    support: ChartSupport | None = None

    @property
    def is_helm(self) -> bool:
        """Return whether we run helm ourselves."""
        return self.installer == "helm"


def choose_installer(chart: Chart, definition: Mapping[str, Any] | None) -> InstallerChoice:
    """Return who installs the chart, from the fleet file and the cluster's HelmChart definition.

    `auto` takes the helm-controller where it can keep the connection string and the volume safe
    (facts/edge-hosts.md §2.1, §2.3), and helm elsewhere.

    Raises:
        ClusterNotSuitableError: The fleet file wants a helm-controller that is missing or too old.
    """
    if chart.installer == "helm":
        return InstallerChoice(installer="helm", why="the fleet file says so")
    try:
        support = read_chart_support(definition)
    except ClusterNotSuitableError as error:
        if chart.installer == "helm-controller":
            text = f"{error} Or set `chart.installer: helm`, which needs helm on this machine."
            raise ClusterNotSuitableError(text) from None
        return InstallerChoice(installer="helm", why=_shortcoming(definition))
    why = "the cluster has one" if chart.installer == "auto" else "the fleet file says so"
    return InstallerChoice(installer="helm-controller", why=why, support=support)


def refuse_second_installer(site: Site, found: ChartView | None) -> None:
    """Refuse to let helm install what a HelmChart of the cluster installs.

    Raises:
        NotOursError: There is a HelmChart of that name.
    """
    chart = site.chart
    if found is not None:
        raise NotOursError(
            f"The HelmChart {chart.namespace}/{chart.release} at {site.name} installs the "
            "release that helm shall install; the two would undo each other's work. Leave "
            "`chart.installer` at `auto` or `helm-controller`. Do not delete the HelmChart: that "
            "uninstalls the registry with its volume."
        )


def _shortcoming(definition: Mapping[str, Any] | None) -> str:
    if definition is None:
        return "the cluster has no helm-controller"
    return "the cluster's helm-controller is too old to keep a secret value or the volume"
