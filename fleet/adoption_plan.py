"""The whole adoption of a site, decided before anything is written: what was found in, a plan out.

First the names: which connected registry, tokens and release the cluster really uses. Only when
the fleet file means the same ones is there a plan for the rest; a plan about other objects would
be an onboarding beside a site that works.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fleet.access_changes import Step
from fleet.access_plan import ExistingAccess
from fleet.adoption import Fate, Finding, Place
from fleet.adoption_access import (
    access_findings,
    adopt_client_access,
    adopt_sync_access,
    shared_token,
)
from fleet.adoption_chart import ChartPlan, place_lines, plan_chart
from fleet.adoption_names import UsedNames, compare_names, name_lines
from fleet.adoption_passwords import SyncFacts, plan_connection
from fleet.adoption_pulls import PullFacts, PullPlan, plan_accounts, plan_pull_secrets
from fleet.adoption_sources import Installation
from fleet.azure_objects import ConnectedRegistryState
from fleet.chart_installer import InstallerChoice
from fleet.cluster_objects import SecretView, ServiceAccountView
from fleet.errors import FleetError
from fleet.helm_chart import read_connection_string
from fleet.nesting import Descendant
from fleet.pull_secrets import read_password
from fleet.sites import Site


@dataclass(frozen=True)
class Discovery:
    """Which installation a cluster has, whether the fleet file means it, and what it should say."""

    installation: Installation | None
    findings: tuple[Finding, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """Everything that was read of a site whose names are right."""

    registries: Sequence[ConnectedRegistryState]
    sync: ExistingAccess
    client: ExistingAccess
    facts: SyncFacts
    pulls: PullFacts
    accounts: Mapping[tuple[str, str], ServiceAccountView | None]
    choice: InstallerChoice | FleetError
    nodes: Sequence[Finding] = ()


@dataclass
class AdoptionPlan:
    """What becomes of every object, and the writes that onboarding would refuse to make."""

    findings: list[Finding] = field(default_factory=list)
    sync: tuple[Step, ...] = ()
    client: tuple[Step, ...] = ()
    connection: dict[str, Any] | None = None
    chart: ChartPlan = field(default_factory=ChartPlan)
    pulls: PullPlan = field(default_factory=PullPlan)


def choose_installation(
    site: Site, found: Sequence[Installation]
) -> tuple[Installation | None, Finding | None]:
    """Return the installation that is the site's, or what stands in the way of telling."""
    place = f"{site.chart.namespace}/{site.chart.release}"
    named = [one for one in found if f"{one.namespace}/{one.release.name}" == place]
    if len(named or found) == 1:
        return (named or list(found))[0], None
    detail = (
        "no Helm release on the cluster holds a connection string, so there is nothing to adopt;"
        " use `acrfleet onboard`"
    )
    if found:
        names = ", ".join(f"{one.namespace}/{one.release.name}" for one in found)
        detail = f"the cluster has several ({names}); name one under `chart` in the fleet file"
    missing = Finding(
        place=Place.CLUSTER, kind="Helm release", name=place, fate=Fate.OBSTACLE, detail=detail
    )
    return None, missing


def compare_file(
    site: Site,
    installation: Installation,
    used: UsedNames,
    candidates: Sequence[str],
    secrets: Sequence[SecretView],
) -> Discovery:
    """Return what the fleet file has to say for this installation to be the one it means.

    Args:
        site: The site as the fleet file has it.
        installation: What is on the cluster.
        used: The names in Azure that it uses.
        candidates: The client tokens that could be the site's.
        secrets: The pull secrets of all namespaces.
    """
    findings = [
        *compare_names(site, used),
        *_compare_place(site, installation),
        *_several_tokens(site, used, candidates),
    ]
    lines = (
        *name_lines(site, used),
        *place_lines(site, installation),
        *_pull_lines(site, used, secrets),
    )
    return Discovery(installation, tuple(findings), lines)


def plan_adoption(
    site: Site,
    repositories: tuple[str, ...],
    below: tuple[Descendant, ...],
    installation: Installation,
    survey: Survey,
) -> AdoptionPlan:
    """Return the whole plan; nothing in it has been written."""
    plan = AdoptionPlan()
    _plan_access(site, repositories, below, survey, plan)
    connection = plan_connection(site, installation, survey.facts)
    plan.connection = connection.body
    plan.findings.append(connection.finding)
    if isinstance(survey.choice, FleetError):
        plan.findings.append(_in_the_way(site, survey.choice))
    else:
        text = connection.text or _held(survey.facts.secret) or installation.text
        plan.chart = plan_chart(site, installation, survey.choice, text)
        plan.findings += plan.chart.findings
    plan.pulls = plan_pull_secrets(site, survey.pulls)
    plan.findings += plan.pulls.findings
    plan.findings += plan_accounts(site, survey.accounts)
    plan.findings += survey.nodes
    return plan


def _plan_access(
    site: Site,
    repositories: tuple[str, ...],
    below: tuple[Descendant, ...],
    survey: Survey,
    plan: AdoptionPlan,
) -> None:
    sync = partial(adopt_sync_access, site, repositories, survey.sync, below)
    client = partial(adopt_client_access, site, repositories, survey.client)
    name = site.names.connected_registry
    plan.sync, findings = access_findings(sync, "connected registry", name)
    plan.findings += findings
    shared = shared_token(site, survey.registries)
    if shared is not None:
        plan.findings.append(shared)
        return
    plan.client, findings = access_findings(client, "client token", site.names.client_token)
    plan.findings += findings


def _held(secret: SecretView | None) -> Any:
    return read_connection_string(secret) if secret else None


def _in_the_way(site: Site, error: FleetError) -> Finding:
    name = f"{site.chart.namespace}/{site.chart.release}"
    return Finding(
        place=Place.CLUSTER,
        kind="Helm release",
        name=name,
        fate=Fate.OBSTACLE,
        detail=str(error),
    )


def _compare_place(site: Site, installation: Installation) -> Iterable[Finding]:
    chart = site.chart
    asked = [
        ("namespace", chart.namespace, installation.namespace),
        ("release", chart.release, installation.release.name),
    ]
    if installation.keeper == "helm" and chart.installer == "auto":
        asked.append(("installer", "auto", "helm"))
    for field_name, wanted, is_so in asked:
        if wanted != is_so:
            yield Finding(
                place=Place.FILE,
                kind=f"chart.{field_name}",
                name=is_so,
                fate=Fate.OBSTACLE,
                detail=_PLACE[field_name].format(wanted=wanted),
            )


_SAME = "the fleet file says {wanted}; put the lines below into it"
_PLACE = {
    "namespace": _SAME,
    "release": _SAME,
    "installer": (
        "helm installed this release; say who keeps it from now on: `chart.installer: helm`, which"
        " changes nothing and needs helm on the machine that runs acrfleet, or `helm-controller`,"
        " which upgrades it in place"
    ),
}


def _several_tokens(site: Site, used: UsedNames, candidates: Sequence[str]) -> Iterable[Finding]:
    if len(candidates) > 1 and used.client_token is None:
        yield Finding(
            place=Place.FILE,
            kind="names.client_token",
            name=site.names.client_token,
            fate=Fate.OBSTACLE,
            detail=(
                f"the site logs in with several client tokens ({', '.join(candidates)}); name the"
                " one that acrfleet shall keep, the others stay accepted"
            ),
        )


def _pull_lines(site: Site, used: UsedNames, secrets: Sequence[SecretView]) -> tuple[str, ...]:
    """Return the `pull_secrets:` lines under which the Secrets in use are the ones meant."""
    user = used.client_token
    holding = [one for one in secrets if user and read_password(one, user) is not None]
    names = sorted({one.meta.name for one in holding})
    if not holding or site.pull_secrets.name in names:
        return ()
    namespaces = sorted({one.meta.namespace for one in holding if one.meta.name == names[0]})
    wanted = set(site.pull_secrets.namespaces)
    lines = ["pull_secrets:", f"  name: {names[0]}"]
    if not set(namespaces) <= wanted:
        listed = ", ".join(sorted(wanted | set(namespaces)))
        lines.append(f"  namespaces: [{listed}]")
    return tuple(lines)
