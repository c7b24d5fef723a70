"""What the tests of adoption share: a site set up by script, an adoption, what it said."""

from collections.abc import Callable

from fleet.adoption import Fate
from fleet.results import FleetReport, SiteResult
from tests.flows.scripted_site import ADDRESS, ScriptedSite

CHART = {
    "version": "0.4.0",
    "installer": "helm-controller",
    "service": {"cluster_ip": ADDRESS},
}


def set_up(site: ScriptedSite, install: Callable[[], None] | None = None) -> None:
    site.make_access()
    site.make_passwords()
    (install or site.apply_chart)()
    site.wait_for_state("Online")
    site.make_pull_secret(site.client_passwords["password1"])
    site.write_mirrors()


def adopt(site: ScriptedSite, **options: bool) -> SiteResult:
    from flows.adopt import adopt_site
    from tasks.progress import collecting_reports

    with collecting_reports() as reports:
        adopt_site(str(site.lab.folder / "fleet.yaml"), site.site, return_state=True, **options)
    (result,) = reports[0].results
    return result


def fates(result: SiteResult) -> dict[str, Fate]:
    return {f"{one.kind} {one.name}": one.fate for one in result.findings}


def only(report: FleetReport) -> SiteResult:
    (result,) = report.results
    return result
