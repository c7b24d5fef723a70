"""What a plan says about a site's chart: its namespace, connection string, version and values."""

import json
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import SecretStr

from fleet.cluster_objects import ChartView
from fleet.helm_chart import ChartSupport, chart_body, chart_differences, compare_chart
from fleet.helm_release import HelmRelease, plan_release, wanted_values
from fleet.masking import mask_values, text_difference
from fleet.plan_draft import Draft
from fleet.site_plan import Part
from fleet.sites import Site

_SECRET_VALUE = "connectionString"  # noqa: S105 - the name of a chart value
_TO_COME = SecretStr("known after apply")


def draft_helm_chart(
    site: Site, support: ChartSupport, found: ChartView | None, draft: Draft
) -> None:
    """Add what becomes of the HelmChart, where the cluster's helm-controller installs.

    Raises:
        NotOursError: Somebody else made it, with other settings.
    """
    body = chart_body(site, support)
    action = compare_chart(site, body, found)
    detail = f"chart {site.chart.version}"
    if found is not None:
        detail = ", ".join(chart_differences(body, found)) or "labels"
    before = {key: found.spec.get(key) for key in body["spec"]} if found else {}
    diff = _difference(_opened(before), _opened(body["spec"]))
    draft.add(Part.CHART, "HelmChart", site.chart.release, action, detail, diff=diff)


def draft_helm_release(
    site: Site, text: SecretStr | None, newest: HelmRelease | None, draft: Draft
) -> None:
    """Add what becomes of the Helm release, where helm runs on this machine.

    Args:
        site: The site.
        text: The connection string; None: it gets a new one.
        newest: The newest revision.
        draft: Is added to.

    Raises:
        NotOursError: Somebody else made the release.
    """
    wanted = wanted_values(site.chart, text or _TO_COME)
    plan = plan_release(site, wanted, newest)
    diff = _difference(_values(newest.values) if newest else {}, _values(wanted))
    draft.add(Part.CHART, "Helm release", site.chart.release, plan.action, plan.detail, diff=diff)


def _values(values: SecretStr) -> dict[str, Any]:
    """Return a release's values without the secret one."""
    found = json.loads(values.get_secret_value())
    return {key: value for key, value in found.items() if key != _SECRET_VALUE}


def _opened(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a HelmChart's spec with its values as values, which are YAML in a string."""
    opened = {key: value for key, value in spec.items() if value is not None}
    if "valuesContent" in opened:
        try:
            opened["valuesContent"] = yaml.safe_load(opened["valuesContent"])
        except yaml.YAMLError:
            opened["valuesContent"] = "not YAML"
    return opened


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> tuple[str, ...]:
    """Return how two specs differ, without what somebody may have put into the one that is there.

    What we want holds no secret: the fleet file has none.
    """
    return text_difference(_text(mask_values(found, wanted)), _text(wanted))


def _text(spec: Any) -> str:
    return yaml.safe_dump(spec, sort_keys=True) if spec else ""
