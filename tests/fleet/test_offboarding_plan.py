"""What goes when a site is offboarded, decided without Azure and without a cluster."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from fleet.access_changes import ChangeScopeMap
from fleet.access_plan import ExistingAccess, owner_description
from fleet.azure_errors import AzureBusyError
from fleet.azure_objects import ConnectedRegistryState, PasswordSlot, ScopeMapState, TokenState
from fleet.cluster_objects import ChartView, Meta, SecretView, ServiceAccountView
from fleet.connected_registries import wanted_settings
from fleet.errors import RemovalNotApprovedError, SitesBelowError
from fleet.helm_chart import our_labels
from fleet.helm_release import RELEASE_TYPE, HelmRelease
from fleet.nesting import Descendant, branch_actions
from fleet.offboarding import ExistingCloud, plan_cloud_removal, plan_narrowing
from fleet.offboarding_site import ExistingSite, plan_site_removal, strange_secrets
from fleet.outcomes import Action
from fleet.pull_secrets import TYPE, detaching_patch
from fleet.removals import (
    DeleteNamespace,
    ForgetClientToken,
    Removal,
    UninstallChart,
    as_plan,
    due,
    require_approval,
)
from fleet.scope_maps import client_actions
from fleet.sites import ParentSite, Site
from tests.builders import a_site

HUB = a_site("harbour")
LINK = ParentSite(name="harbour", connected_registry=HUB.names.connected_registry, protocol="http")
OSLO = a_site("oslo", parent="harbour", fed_by=LINK)
FERRY = a_site("ferry", parent="harbour", fed_by=LINK)
NAMES = OSLO.names
PREFIX = "/registries/r"


def a_map(site: Site, role: str, **changes: object) -> ScopeMapState:
    names = site.names
    name = names.client_scope_map if role == "client" else names.sync_scope_map
    actions = client_actions(["a"]) if role == "client" else branch_actions(site, ("a",))
    found = ScopeMapState(name, actions, owner_description(site, role))
    return replace(found, **changes)  # type: ignore[arg-type] # a test's own words


def a_token(role: str, **changes: object) -> TokenState:
    name = NAMES.client_token if role == "client" else NAMES.sync_token
    scope_map = NAMES.client_scope_map if role == "client" else NAMES.sync_scope_map
    slots = {"password1": PasswordSlot(datetime(2026, 1, 1, tzinfo=UTC), None)}
    found = TokenState(name, f"{PREFIX}/scopeMaps/{scope_map}", slots=slots)
    return replace(found, **changes)  # type: ignore[arg-type] # a test's own words


def a_state(site: Site = OSLO, **changes: object) -> ConnectedRegistryState:
    found = ConnectedRegistryState(
        name=site.names.connected_registry,
        mode="ReadOnly",
        settings=wanted_settings(site),
        sync_token_id=f"{PREFIX}/tokens/{site.names.sync_token}",
        client_token_ids=(f"{PREFIX}/tokens/{site.names.client_token}",),
        activation="Active",
    )
    return replace(found, **changes)  # type: ignore[arg-type] # a test's own words


def existing(
    client: ExistingAccess | None = None,
    sync: ExistingAccess | None = None,
    registries: tuple[ConnectedRegistryState, ...] | None = None,
) -> ExistingCloud:
    state = a_state()
    return ExistingCloud(
        ((OSLO, client or ExistingAccess(a_map(OSLO, "client"), a_token("client"), None, state)),),
        sync or ExistingAccess(a_map(OSLO, "sync"), a_token("sync"), None, state),
        (state,) if registries is None else registries,
    )


def keys(plan: tuple[Removal[object], ...]) -> list[str]:
    return [one.key for one in due(plan)]


def test_all_of_a_site_goes_and_what_proves_that_it_is_ours_goes_last() -> None:
    plan = plan_cloud_removal(OSLO, existing())
    assert keys(plan) == [
        f"client tokens of {NAMES.connected_registry}",
        f"token {NAMES.client_token}",
        f"scope map {NAMES.client_scope_map}",
        f"activation of {NAMES.connected_registry}",
        f"connected registry {NAMES.connected_registry}",
        f"token {NAMES.sync_token}",
        f"scope map {NAMES.sync_scope_map}",
    ]
    assert {one.action for one in as_plan(plan)} == {Action.TO_DELETE, Action.TO_CHANGE}


def test_nothing_is_left_to_do_where_nothing_is_left() -> None:
    assert plan_cloud_removal(OSLO, existing(ExistingAccess(), ExistingAccess(), ())) == ()


def test_what_a_removal_that_died_left_behind_still_counts_as_ours() -> None:
    left = existing(ExistingAccess(), ExistingAccess(scope_map=a_map(OSLO, "sync")), ())
    assert keys(plan_cloud_removal(OSLO, left)) == [f"scope map {NAMES.sync_scope_map}"]


def test_every_registry_that_accepts_our_token_forgets_it_and_keeps_those_of_others() -> None:
    ours, other = f"{PREFIX}/tokens/{NAMES.client_token.upper()}", f"{PREFIX}/tokens/other"
    stranger = a_state(HUB, client_token_ids=(other, ours))
    plan = plan_cloud_removal(OSLO, existing(registries=(a_state(), stranger)))
    assert [one.change for one in plan[:2]] == [
        ForgetClientToken(NAMES.connected_registry, NAMES.client_token, ()),
        ForgetClientToken(HUB.names.connected_registry, NAMES.client_token, (other,)),
    ]


def test_tokens_and_registries_that_are_not_ours_are_named_and_left() -> None:
    elsewhere = f"{PREFIX}/scopeMaps/theirs"
    client = ExistingAccess(a_map(OSLO, "client"), a_token("client", scope_map_id=elsewhere))
    state = a_state(sync_token_id=f"{PREFIX}/tokens/theirs")
    sync = ExistingAccess(a_map(OSLO, "sync"), None, None, state)
    plan = plan_cloud_removal(OSLO, existing(client, sync, (state,)))
    assert keys(plan) == [
        f"scope map {NAMES.client_scope_map}",
        f"scope map {NAMES.sync_scope_map}",
    ]
    left = [one.key for one in plan if one.change is None]
    assert left == [
        f"token {NAMES.client_token}",
        f"connected registry {NAMES.connected_registry}",
    ]


def test_other_tokens_that_lose_their_registry_are_named() -> None:
    others = (f"{PREFIX}/tokens/{NAMES.client_token}", f"{PREFIX}/tokens/camera")
    state = a_state(client_token_ids=others)
    sync = ExistingAccess(a_map(OSLO, "sync"), a_token("sync"), None, state)
    plan = plan_cloud_removal(OSLO, existing(sync=sync, registries=(state,)))
    details = {one.key: one.outcome.detail for one in plan}
    assert "camera can't log in" in details[f"connected registry {NAMES.connected_registry}"]


def test_a_registry_that_feeds_others_is_refused_unless_they_go_too() -> None:
    parent = f"{PREFIX}/connectedRegistries/{NAMES.connected_registry.upper()}"
    child = a_state(FERRY, parent_id=parent)
    found = existing(registries=(a_state(), child))
    with pytest.raises(SitesBelowError, match=FERRY.names.connected_registry):
        plan_cloud_removal(OSLO, found)
    assert plan_cloud_removal(OSLO, found, [FERRY.names.connected_registry.upper()])


def test_what_azure_is_deleting_already_is_waited_for() -> None:
    client = ExistingAccess(a_map(OSLO, "client"), a_token("client", provisioning="Deleting"))
    with pytest.raises(AzureBusyError, match="is being deleted"):
        plan_cloud_removal(OSLO, existing(client))


def hub_map(*members: Descendant, more: frozenset[str] = frozenset()) -> ScopeMapState:
    return a_map(HUB, "sync", actions=branch_actions(HUB, ("a",), members) | more)


def narrowed(
    found: ScopeMapState | None, *members: Descendant, gone: tuple[str, ...] = ()
) -> tuple[frozenset[str] | None, str]:
    plan = plan_narrowing(OSLO, HUB, ("a",), members, gone, found)
    assert len(plan) <= 1
    if not plan:
        return None, ""
    change = plan[0].change
    return change.actions if isinstance(change, ChangeScopeMap) else None, plan[0].outcome.detail


OSLO_BELOW = Descendant(OSLO, ("b", "shared"))
FERRY_BELOW = Descendant(FERRY, ("c", "shared"))


def test_an_ancestor_loses_what_only_the_site_needed() -> None:
    actions, detail = narrowed(hub_map(OSLO_BELOW, FERRY_BELOW), OSLO_BELOW, FERRY_BELOW)
    assert actions == branch_actions(HUB, ("a",), [FERRY_BELOW])
    assert NAMES.connected_registry in detail
    assert "repositories/b" in detail


def test_sites_that_go_one_after_the_other_do_not_hold_on_to_each_others_repositories() -> None:
    first = branch_actions(HUB, ("a",), [OSLO_BELOW])
    actions, _ = narrowed(
        a_map(HUB, "sync", actions=first), OSLO_BELOW, FERRY_BELOW, gone=("ferry",)
    )
    assert actions == branch_actions(HUB, ("a",))


def test_an_ancestor_that_has_nothing_of_the_site_is_not_written() -> None:
    assert narrowed(hub_map(FERRY_BELOW), OSLO_BELOW, FERRY_BELOW) == (None, "")
    assert narrowed(None, OSLO_BELOW) == (None, "")


@pytest.mark.parametrize(
    ("members", "more"),
    [
        ((OSLO_BELOW,), frozenset({"gateway/stranger/config/read"})),
        ((OSLO_BELOW, Descendant(FERRY, None)), frozenset()),
    ],
)
def test_where_needs_cannot_be_told_only_the_gateway_goes(
    members: tuple[Descendant, ...], more: frozenset[str]
) -> None:
    found = hub_map(*members, more=more)
    actions, _ = narrowed(found, *members)
    assert actions is not None
    gateway = f"gateway/{NAMES.connected_registry}/"
    assert found.actions - actions == {one for one in found.actions if one.startswith(gateway)}


def test_an_ancestor_made_by_hand_is_left_alone_and_what_to_do_is_said() -> None:
    found = replace(hub_map(OSLO_BELOW), description="by hand")
    actions, detail = narrowed(found, OSLO_BELOW)
    assert actions is None
    assert f"take the gateway actions of {NAMES.connected_registry} out" in detail


def test_more_than_was_approved_is_refused_by_name() -> None:
    plan = plan_cloud_removal(OSLO, existing())
    require_approval("oslo", plan, keys(plan))
    require_approval("oslo", plan, ["*"])
    with pytest.raises(RemovalNotApprovedError, match=f"token {NAMES.sync_token}"):
        require_approval("oslo", plan, [key for key in keys(plan) if NAMES.sync_token not in key])


def meta(name: str, namespace: str = "default", **labels: str) -> Meta:
    return Meta(name=name, namespace=namespace, version="7", labels={**our_labels(OSLO), **labels})


def a_secret(name: str, kind: str = "Opaque", namespace: str = "connected-registry") -> SecretView:
    return SecretView(meta=meta(name, namespace), type=kind, data={})


def an_account(name: str, *secrets: str, namespace: str = "default") -> ServiceAccountView:
    return ServiceAccountView(meta=Meta(name=name, namespace=namespace), pull_secrets=secrets)


def test_a_cluster_loses_what_carries_our_labels_and_the_chart_before_its_secrets() -> None:
    found = ExistingSite(
        secrets=(
            a_secret("connected-registry-connection"),
            a_secret("acrfleet-pull", TYPE, "default"),
            a_secret("sh.helm.release.v1.connected-registry.v1", RELEASE_TYPE),
        ),
        accounts=(an_account("default", "theirs", "acrfleet-pull"), an_account("bare", "theirs")),
        chart=ChartView(meta=meta("connected-registry", "connected-registry"), spec={}),
        namespace=meta("connected-registry", ""),
        claims=("connected-registry-pvc",),
    )
    plan = plan_site_removal(OSLO, found)
    assert keys(plan) == [
        "service account default/default",
        "pull secret default/acrfleet-pull",
        "HelmChart connected-registry/connected-registry",
        "Secret connected-registry/connected-registry-connection",
        "Namespace connected-registry",
    ]
    assert "connected-registry-pvc" in plan[-1].outcome.detail


def test_a_pull_secret_that_holds_logins_of_others_stays_and_names_them() -> None:
    def pulls(*users: str) -> ExistingSite:
        auths = {f"{n}.example": {"username": u, "password": "x"} for n, u in enumerate(users)}
        data = {".dockerconfigjson": SecretStr(json.dumps({"auths": auths}))}
        secret = SecretView(meta=meta("regcred"), type=TYPE, data=data)
        return ExistingSite(secrets=(secret,), accounts=(an_account("default", "regcred"),))

    plan = plan_site_removal(OSLO, pulls(NAMES.client_token, "somebody"))
    assert keys(plan) == []
    assert "logins of others, too: somebody" in plan[0].outcome.detail
    further = f"{NAMES.connected_registry}-crew"
    assert keys(plan_site_removal(OSLO, pulls(NAMES.client_token, further))) == [
        "service account default/default",
        "pull secret default/regcred",
    ]


def test_the_chart_of_a_site_that_has_another_name_now_stays() -> None:
    labels = our_labels(FERRY)
    chart = ChartView(meta=Meta(name="connected-registry", labels=labels), spec={})
    plan = plan_site_removal(OSLO, ExistingSite(chart=chart))
    assert [(one.outcome.kind, one.change) for one in plan] == [("HelmChart", None)]


def test_secrets_in_the_chart_s_namespace_are_told_from_what_goes_with_it() -> None:
    def secret(name: str, kind: str = "Opaque", **labels: str) -> SecretView:
        return SecretView(meta=Meta(name=name, labels=labels), type=kind, data={})

    found = [
        secret("registry-tls", "kubernetes.io/tls"),
        secret("sh.helm.release.v1.connected-registry.v1", RELEASE_TYPE),
        secret("default-token", "kubernetes.io/service-account-token"),
        secret("chart-values", **{"helmcharts.helm.cattle.io/chart": "connected-registry"}),
        secret("made-by-the-chart", **{"app.kubernetes.io/instance": "connected-registry"}),
        secret("ours", **our_labels(OSLO)),
        secret("the-ferry-s", **our_labels(FERRY)),
    ]
    assert strange_secrets(OSLO, found) == ("registry-tls", "the-ferry-s")


def test_a_chart_and_a_namespace_of_somebody_else_stay() -> None:
    found = ExistingSite(
        chart=ChartView(meta=Meta(name="connected-registry"), spec={}),
        namespace=Meta(name="connected-registry"),
        claims=("connected-registry-pvc",),
    )
    plan = plan_site_removal(OSLO, found)
    assert keys(plan) == []
    assert [one.outcome.kind for one in plan] == ["HelmChart", "volume claim"]


def test_the_namespace_of_another_site_stays() -> None:
    found = ExistingSite(namespace=Meta(name="x", labels=our_labels(FERRY)))
    assert plan_site_removal(OSLO, found) == ()


@pytest.mark.parametrize(("status", "goes"), [("deployed", True), ("uninstalled", False)])
def test_a_release_that_we_installed_with_helm_is_uninstalled_with_helm(
    status: str, goes: bool
) -> None:
    release = HelmRelease(
        meta=meta("sh.helm.release.v1.connected-registry.v3", "connected-registry"),
        name="connected-registry",
        revision=3,
        status=status,
        chart_name="chart",
        chart_version="0.4.0",
        values=SecretStr("{}"),
    )
    plan = plan_site_removal(OSLO, ExistingSite(release=release))
    change = UninstallChart("connected-registry", "connected-registry", by_helm=True)
    assert [one.change for one in plan] == ([change] if goes else [])


def test_an_empty_namespace_of_ours_goes() -> None:
    plan = plan_site_removal(OSLO, ExistingSite(namespace=meta("connected-registry", "")))
    assert [one.change for one in plan] == [DeleteNamespace("connected-registry")]


def test_a_service_account_keeps_the_pull_secrets_of_others_in_their_order() -> None:
    account = an_account("default", "one", "acrfleet-pull", "two")
    change = detaching_patch("acrfleet-pull", account)
    assert change is not None
    assert change["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert detaching_patch("acrfleet-pull", an_account("default", "one")) is None
