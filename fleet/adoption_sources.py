"""Where a site's connection string is: the Helm releases of a cluster, and who keeps them.

Every installer leaves a release: helm on somebody's laptop, K3s' helm-controller, Azure Arc's
extension manager. Its values hold the connection string that the registry really got.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import SecretStr

from fleet.cluster_errors import HelmRecordUnreadableError
from fleet.cluster_objects import ChartView, SecretView
from fleet.connection_string import Connection, parse_connection_string
from fleet.helm_release import HelmRelease, read_release, release_connection_string
from fleet.strict import Strict

CONNECTION = "connectionString"
"""The chart value that holds the connection string."""
_ARC_VALUES = "Azure"
Keeper = Literal["helm", "helm-controller", "arc"]


class Installation(Strict):
    """One connected registry that is installed on a cluster.

    `release` is its newest deployed revision, and `written` the latest moment at which its sync
    password can have been made: the connection string was in use by then. `charts` are the
    HelmCharts that install the release.
    """

    release: HelmRelease
    text: SecretStr
    connection: Connection
    keeper: Keeper
    charts: tuple[ChartView, ...] = ()
    written: datetime | None = None

    @property
    def namespace(self) -> str:
        """Return the release's namespace."""
        return self.release.meta.namespace

    def open_values(self) -> dict[str, Any]:
        """Return the user's values without the connection string; others may be secret too."""
        values = _values(self.release)
        return {key: value for key, value in values.items() if key != CONNECTION}


def find_installations(
    secrets: Sequence[SecretView], charts: Sequence[ChartView]
) -> tuple[Installation, ...]:
    """Return the connected registries that are installed on a cluster.

    Args:
        secrets: Helm's Secrets, all revisions that are kept; what is not Helm's is skipped.
        charts: The HelmCharts of all namespaces.
    """
    found = [release for release in map(_read, secrets) if release is not None]
    ranked = sorted(found, key=lambda release: release.revision)
    newest = {_place(one): one for one in ranked if one.status == "deployed"}
    made = [_installation(one, ranked, charts) for one in newest.values()]
    return tuple(one for one in made if one is not None)


def installs(chart: ChartView, release: HelmRelease) -> bool:
    """Return whether a HelmChart is what installs a release."""
    namespace = chart.spec.get("targetNamespace") or chart.meta.namespace
    return (namespace, chart.meta.name) == _place(release)


def _installation(
    newest: HelmRelease, releases: Sequence[HelmRelease], charts: Sequence[ChartView]
) -> Installation | None:
    text = release_connection_string(newest)
    connection = parse_connection_string(text) if text else None
    if text is None or connection is None:
        return None
    mine = tuple(chart for chart in charts if installs(chart, newest))
    times = [
        one.deployed
        for one in releases
        if _place(one) == _place(newest)
        and one.deployed is not None
        and release_connection_string(one) == text
    ]
    return Installation(
        release=newest,
        text=text,
        connection=connection,
        keeper=_keeper(newest, mine),
        charts=mine,
        written=min(times, default=None),
    )


def _keeper(release: HelmRelease, charts: tuple[ChartView, ...]) -> Keeper:
    """Return who keeps a release; Arc's extension manager adds values of its own (gk)."""
    if isinstance(_values(release).get(_ARC_VALUES), dict):
        return "arc"
    return "helm-controller" if charts else "helm"


def _place(release: HelmRelease) -> tuple[str, str]:
    return release.meta.namespace, release.name


def _values(release: HelmRelease) -> dict[str, Any]:
    found = json.loads(release.values.get_secret_value())
    return found if isinstance(found, dict) else {}


def _read(secret: SecretView) -> HelmRelease | None:
    try:
        return read_release(secret)
    except HelmRecordUnreadableError:
        return None
