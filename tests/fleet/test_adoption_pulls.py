"""Taking over pull secrets: one case per line of tests/cases/adoption_pulls.yaml."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from fleet.adoption import Fate
from fleet.adoption_pulls import HeldPassword, PullFacts, PullPlan, plan_accounts, plan_pull_secrets
from fleet.azure_objects import PasswordSlot, TokenState
from fleet.cluster_objects import Meta, SecretView, ServiceAccountView
from fleet.helm_chart import our_labels
from fleet.outcomes import SiteEndpoint
from fleet.passwords import PasswordMark, mark_annotations
from fleet.pull_secrets import pull_hosts, read_password
from fleet.rotation_notes import fingerprint
from fleet.sites import Site
from tests.builders import a_site

CASES = yaml.safe_load((Path(__file__).parent.parent / "cases/adoption_pulls.yaml").read_text())
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TIMES = {"t1": NOW - timedelta(days=20), "t2": NOW - timedelta(days=1)}
HOSTS = pull_hosts(SiteEndpoint(address="10.43.7.7", port=80), "acrnorthsea.azurecr.io")
USER = "me-oslo"


def the_site() -> Site:
    site = a_site()
    return site.model_copy(update={"names": site.names.model_copy(update={"client_token": USER})})


def a_secret(namespace: str, case: dict[str, Any] | None) -> SecretView | None:
    if case is None:
        return None
    password = case.get("password", "in-use")
    auths = {
        host: {"auth": base64.b64encode(f"{_user(user)}:{password}".encode()).decode()}
        for host, user in case["logins"].items()
    }
    mark = case.get("mark")
    made = PasswordMark(token=USER, slot=mark, created=TIMES["t1"]) if mark else None
    return SecretView(
        meta=Meta(
            name="acrfleet-pull",
            namespace=namespace,
            labels=our_labels(the_site()) if made else {},
            annotations=mark_annotations(made) if made else {},
            written=TIMES.get(case.get("written", "")),
        ),
        type="kubernetes.io/dockerconfigjson",
        data={".dockerconfigjson": SecretStr(json.dumps({"auths": auths}))},
    )


def _user(name: str) -> str:
    return USER if name == "me" else name


def the_plan(case: dict[str, Any]) -> PullPlan:
    slots = {name: PasswordSlot(TIMES[time], None) for name, time in case.get("slots", {}).items()}
    facts = PullFacts(
        hosts=HOSTS,
        token=TokenState(name=USER, scope_map_id=None, slots=slots) if "slots" in case else None,
        targets={name: a_secret(name, one) for name, one in case["targets"].items()},
        accepted={fingerprint(SecretStr(one)): True for one in case.get("accepted", [])},
        now=NOW,
        elsewhere=[
            HeldPassword(where=where, user=USER, value=SecretStr(value))
            for where, value in case.get("elsewhere", {}).items()
        ],
    )
    return plan_pull_secrets(the_site(), facts)


@pytest.mark.parametrize("case", [pytest.param(one, id=one["name"]) for one in CASES])
def test_a_pull_secret_keeps_the_password_that_the_site_accepts(case: dict[str, Any]) -> None:
    plan = the_plan(case)
    told = "\n".join(map(str, plan.findings))
    found = {one.name.partition("/")[0]: one.fate.value for one in plan.findings}
    assert found == case["then"], told
    for words in case.get("says", []):
        assert any(one in told for one in words.replace(" me ", f" {USER} ").split("|")), told
    assert set(plan.bodies) <= set(case["targets"])
    assert "in-use" not in told
    if "slot" in case:
        (body,) = plan.bodies.values()
        assert body["metadata"]["annotations"]["acrfleet/slot"] == case["slot"]
        written = SecretView.from_json({**body, "metadata": {"name": "x"}})
        assert read_password(written, USER) == SecretStr("in-use")
    if "staged" in case:
        assert plan.staging is not None
        assert plan.staging["metadata"]["annotations"]["acrfleet/slot"] == case["staged"]


def test_a_service_account_gains_the_secret_and_a_missing_one_is_in_the_way() -> None:
    accounts = {
        ("default", "default"): ServiceAccountView(meta=Meta(name="default"), pull_secrets=("a",)),
        ("default", "app"): ServiceAccountView(
            meta=Meta(name="app"), pull_secrets=("acrfleet-pull",)
        ),
        ("default", "gone"): None,
    }
    fates = {one.name: one.fate for one in plan_accounts(the_site(), accounts)}
    assert fates == {
        "default/default": Fate.CHANGED,
        "default/app": Fate.KEPT,
        "default/gone": Fate.OBSTACLE,
    }
