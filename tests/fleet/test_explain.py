"""One cause and one command for each way in which a pull fails, over recorded facts."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.explain import explain
from fleet.explain_facts import AzureSeen, Pull, RegistrySeen, Unread
from fleet.explain_image import ImageNameError, parse_image
from fleet.explain_verdicts import CauseName, Verdict
from fleet.explain_words import cause_lines, explanation_page, ladder_rows
from fleet.sites import ClusterAccess, Jump
from tests.fleet.explain_cases import FACTS
from tests.fleet.explain_makers import (
    DIGEST,
    IMAGE,
    SITE,
    a_node,
    an_azure,
    files,
    healthy,
    hosts_toml,
    stuck,
)
from tests.node_output import ENDPOINT_HOST, LOGIN_SERVER

CASES = Path(__file__).parent.parent / "cases/explain"
ROWS: list[dict[str, Any]] = yaml.safe_load((CASES / "symptoms.yaml").read_text())
TABLE = [one for row in ROWS for one in row["causes"]]
MORE: list[dict[str, Any]] = yaml.safe_load((CASES / "more_causes.yaml").read_text())
BY_FACTS = [*(one for one in TABLE if one["shown"] == "facts"), *MORE]
SYMPTOMS = 13
"""Rows of the table in facts/edge-hosts.md §6.2b."""


@pytest.mark.parametrize("case", BY_FACTS, ids=lambda case: case["scenario"])
def test_the_cause_and_what_mends_it_are_named(case: dict[str, Any]) -> None:
    found = explain(FACTS[case["scenario"]])
    assert found.cause is not None
    assert found.cause.name.value == case["cause"], found
    assert case.get("seen", "") in "\n".join(found.cause.evidence)
    wanted = case["command"].replace("FILE", "fleet.yaml").replace("SITE", "oslo")
    assert wanted in found.cause.command
    assert not found.works
    assert shlex.split(found.cause.command)
    assert "canary" not in found.model_dump_json()


def test_every_row_of_the_table_has_a_scenario_and_those_by_facts_alone_say_why() -> None:
    assert len(ROWS) == SYMPTOMS
    assert all(row["causes"] for row in ROWS)
    assert all(one["shown"] in ("lab", "facts") for one in TABLE)
    assert all(("why" in one) == (one["shown"] == "facts") for one in TABLE)
    assert {one["scenario"] for one in BY_FACTS} == set(FACTS)


def test_every_cause_that_can_be_named_is_named_by_some_case() -> None:
    shown = {one["cause"] for one in (*TABLE, *MORE)}
    assert shown == {name.value for name in CauseName}


def test_a_pull_that_works_has_no_cause() -> None:
    found = explain(healthy())
    assert found.works, found.cause
    assert found.headline == f"{LOGIN_SERVER}/{IMAGE} pulls at oslo from its own registry."
    assert {step.verdict for step in found.steps} == {Verdict.PASSED}


def test_what_azure_lacks_is_a_warning_where_the_site_serves_the_image_all_the_same() -> None:
    found = explain(healthy(azure=an_azure(sync_map=None, client_token=None)))
    assert found.works
    assert len(found.warnings) == 2
    assert all("oslo serves it all the same" in words for words in found.warnings)


def test_an_older_digest_at_the_site_is_a_warning() -> None:
    found = explain(healthy(azure=an_azure(image=f"sha256:{'b' * 64}")))
    assert found.works
    assert found.warnings == (f"the site serves an older one: {DIGEST}, Azure sha256:{'b' * 64}",)


def test_without_a_pull_nothing_is_said_to_work() -> None:
    found = explain(healthy(nodes=(a_node(by_cloud=None, by_site=None),)))
    assert found.cause is not None
    assert found.cause.name is CauseName.NOT_SEEN
    assert found.cause.evidence == ("no pull was tried",)


def test_what_a_failed_rung_brings_about_is_not_judged_on_its_own() -> None:
    found = explain(
        healthy(
            answers=RegistrySeen(let_in=True, may_pull=True),
            azure=an_azure(image=None),
            nodes=(a_node(**stuck("not found")),),
        )
    )
    failed = [step.rung for step in found.steps if step.verdict is Verdict.FAILED]
    assert failed == ["image in Azure"]
    hidden = {step.words for step in found.steps if step.verdict is Verdict.UNKNOWN}
    assert hidden == {"fails too, and `image in Azure` comes first"}


def test_azure_that_cannot_be_asked_hides_its_rungs_and_no_others() -> None:
    found = explain(healthy(azure=Unread(why="no route")))
    assert found.works
    unknown = [step.rung for step in found.steps if step.verdict is Verdict.UNKNOWN]
    assert "client token in Azure" in unknown
    assert not any("pull" in rung for rung in unknown if rung != "clients may pull it")


@pytest.mark.parametrize(
    ("text", "host", "reference"),
    [
        ("vessel/navigation:1.4.0", "", "1.4.0"),
        ("vessel/navigation", "", "latest"),
        (f"vessel/navigation@{DIGEST}", "", DIGEST),
        (f"vessel/navigation:1@{DIGEST}", "", DIGEST),
        ("MyAcr.azurecr.io/vessel/navigation:1.4.0", "myacr.azurecr.io", "1.4.0"),
        ("10.43.0.9:80/vessel/navigation:1.4.0", "10.43.0.9:80", "1.4.0"),
        ("app:2", "", "2"),
    ],
)
def test_an_image_is_read_in_every_usual_spelling(text: str, host: str, reference: str) -> None:
    image = parse_image(text)
    assert (image.host, image.reference) == (host, reference)


@pytest.mark.parametrize("text", ["", "Vessel/Nav:1", "a:b:c", "a@sha256:12", "-x/y", "a//b:1"])
def test_what_is_no_image_name_is_refused(text: str) -> None:
    with pytest.raises(ImageNameError, match="Write REPOSITORY:TAG"):
        parse_image(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("app:1", "cloud"),
        (f"{LOGIN_SERVER}/app:1", "cloud"),
        (f"{ENDPOINT_HOST}/app:1", "site"),
        ("10.43.0.9/app:1", "site"),
        ("10.43.0.9:8080/app:1", "other"),
        ("docker.io/library/app:1", "other"),
    ],
)
def test_a_name_leads_to_the_cloud_to_the_site_or_elsewhere(text: str, kind: str) -> None:
    assert parse_image(text).kind(LOGIN_SERVER, ENDPOINT_HOST) == kind


def test_commands_carry_the_site_s_way_in_quoted() -> None:
    node = SITE.nodes[0].model_copy(
        update={"port": 2222, "jump": Jump(address="jump.example", user="me", port=23)}
    )
    ssh = SITE.ssh.model_copy(update={"key_file": "/keys/my key", "known_hosts": "/keys/hosts"})
    site = SITE.model_copy(update={"nodes": (node,), "ssh": ssh})
    seen = FACTS["the registry's volume is not bound"].model_copy(update={"site": site})
    found = explain(seen)
    assert found.cause is not None
    words = shlex.split(found.cause.command)
    assert words[:10] == [
        *("ssh", "-p", "2222", "-i", "/keys/my key", "-o", "UserKnownHostsFile=/keys/hosts"),
        *("-J", "me@jump.example:23", "edge@192.0.2.1"),
    ]
    assert words[10] == "sudo k3s kubectl -n connected-registry describe pvc the-pvc"


def test_kubectl_goes_straight_where_the_fleet_file_has_a_kubeconfig() -> None:
    site = SITE.model_copy(update={"cluster": ClusterAccess(kubeconfig="/k/oslo.yaml")})
    seen = FACTS["the registry's volume is not bound"].model_copy(update={"site": site})
    cause = explain(seen).cause
    assert cause is not None
    assert cause.command.startswith("kubectl --kubeconfig /k/oslo.yaml -n connected-registry")


def test_the_words_begin_with_the_cause_and_the_page_holds_the_ladder() -> None:
    found = explain(FACTS["the port is closed to the node"])
    lines = list(cause_lines(found))
    assert lines[0] == f"oslo-1 does not reach the site's registry at {ENDPOINT_HOST}."
    assert lines[-1].strip() == found.cause.command if found.cause else False
    marks = [mark for mark, *_ in ladder_rows(found)]
    assert marks.count("FAILED") == 1
    page = explanation_page(found)
    assert page.startswith(f"# oslo: {LOGIN_SERVER}/{IMAGE}\n")
    assert "| FAILED | port reached from the node | oslo-1 |" in page
    assert list(cause_lines(explain(healthy()))) == [explain(healthy()).headline]


def test_a_dead_endpoint_behind_the_site_s_registry_is_no_cause() -> None:
    behind = hosts_toml(LOGIN_SERVER) + '\n[host."http://192.0.2.7:5000/v2"]\n'
    hosts = {LOGIN_SERVER: behind, ENDPOINT_HOST: hosts_toml(ENDPOINT_HOST)}
    node = a_node(hosts=hosts, dead={"http://192.0.2.7:5000/v2": "timed out"})
    assert explain(healthy(nodes=(node,))).works


def test_a_seen_azure_is_shown_without_its_secrets() -> None:
    seen = healthy()
    assert isinstance(seen.azure, AzureSeen)
    assert "canary" not in repr(seen)


def test_a_login_in_the_url_of_an_endpoint_is_masked() -> None:
    """As registries.yaml allows it to stand there, and K3s writes it into hosts.toml."""
    url = "http://somebody:canary-login@mirror.default.svc:5000/v2"
    hosts = files(**{LOGIN_SERVER: hosts_toml(LOGIN_SERVER, url)})
    pull = Pull(name=IMAGE, ok=False, words="lookup mirror.default.svc: no such host")
    found = explain(healthy(nodes=(a_node(hosts=hosts, by_cloud=pull),)))
    assert found.cause is not None
    assert found.cause.name is CauseName.CLUSTER_NAME
    assert "mirror.default.svc:5000" in found.cause.sentence
    assert "********@mirror.default.svc" in "".join(found.cause.evidence)
    assert "canary" not in found.model_dump_json()
    assert "canary" not in explanation_page(found)
