import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from fleet.cluster_objects import Meta, SecretView, ServiceAccountView
from fleet.errors import NotOursError
from fleet.outcomes import Action, SiteEndpoint
from fleet.passwords import PasswordMark
from fleet.pull_errors import PullTargetMissingError
from fleet.pull_secrets import (
    compare_pull_secret,
    docker_config,
    pull_hosts,
    pull_secret_body,
    read_hosts,
    read_password,
    read_staged,
    read_users,
    require_ours,
    service_account_patch,
    staging_body,
    target_namespaces,
)
from fleet.sites import PullSecrets
from tests.builders import a_site

SITE = a_site()
USER = SITE.names.client_token
HOSTS = pull_hosts(SiteEndpoint(address="10.43.7.7", port=80), "acrnorthsea.azurecr.io")
CONTENT = docker_config(HOSTS, USER, SecretStr("p=+/"))
MARK = PasswordMark(token=USER, slot="password1", created=datetime(2026, 11, 1, tzinfo=UTC))


def _there(**changes: Any) -> SecretView:
    return SecretView.from_json(pull_secret_body(SITE, CONTENT, MARK)).model_copy(update=changes)


def _foreign(content: str) -> SecretView:
    data = {".dockerconfigjson": SecretStr(content)}
    return _there(meta=Meta(name="acrfleet-pull"), data=data)


def test_the_password_stands_under_both_names_with_the_port() -> None:
    auths = json.loads(CONTENT.get_secret_value())["auths"]
    assert set(auths) == {"acrnorthsea.azurecr.io", "10.43.7.7:80"}
    for entry in auths.values():
        assert base64.b64decode(entry["auth"]).decode() == f"{USER}:p=+/"


def test_a_secret_written_in_another_order_is_unchanged() -> None:
    config = json.loads(CONTENT.get_secret_value())
    turned = {"auths": dict(reversed(config["auths"].items()))}
    data = {".dockerconfigjson": SecretStr(json.dumps(turned, indent=2))}
    found = _there(data=data)
    assert compare_pull_secret(SITE, "default", found, CONTENT, MARK) is Action.UNCHANGED


def test_another_password_or_another_mark_is_a_change() -> None:
    newer = docker_config(HOSTS, USER, SecretStr("other"))
    assert compare_pull_secret(SITE, "default", _there(), newer, MARK) is Action.CHANGED
    mark = MARK.model_copy(update={"slot": "password2"})
    assert compare_pull_secret(SITE, "default", _there(), CONTENT, mark) is Action.CHANGED
    assert compare_pull_secret(SITE, "default", None, CONTENT, MARK) is Action.CREATED


def test_an_expiry_that_is_gone_is_a_change() -> None:
    expiring = MARK.model_copy(update={"expires": datetime(2027, 1, 1, tzinfo=UTC)})
    found = _there()
    annotations = {**found.meta.annotations, "acrfleet/expires": "2027-01-01T00:00:00+00:00"}
    found = _there(meta=found.meta.model_copy(update={"annotations": annotations}))
    assert compare_pull_secret(SITE, "default", found, CONTENT, expiring) is Action.UNCHANGED
    assert compare_pull_secret(SITE, "default", found, CONTENT, MARK) is Action.CHANGED


def test_a_secret_made_by_hand_is_taken_over_only_when_it_is_the_same() -> None:
    same = _foreign(CONTENT.get_secret_value())
    assert compare_pull_secret(SITE, "default", same, CONTENT, MARK) is Action.ADOPTED
    other = _foreign('{"auths": {"quay.io": {"username": "x", "password": "y"}}}')
    with pytest.raises(NotOursError, match=r"default/acrfleet-pull.*not made by acrfleet"):
        compare_pull_secret(SITE, "default", other, CONTENT, MARK)


def test_a_secret_that_cannot_be_written_over_is_refused_before_anything_is_made() -> None:
    with pytest.raises(NotOursError, match="has the type Opaque"):
        require_ours(SITE, "default", _there(type="Opaque"))
    with pytest.raises(NotOursError, match="other credentials"):
        require_ours(SITE, "default", _foreign("{}"))
    require_ours(SITE, "default", _there())
    require_ours(SITE, "default", None)


def test_a_secret_is_completed_and_what_it_holds_for_others_stays() -> None:
    hand_made = {"username": USER, "password": "p=+/", "email": "crew@example.com"}
    theirs = {"username": "crew", "password": "canary-theirs"}
    found = _foreign(json.dumps({"auths": {"http://10.43.7.7:80": hand_made, "quay.io": theirs}}))
    content = docker_config(HOSTS, USER, SecretStr("p=+/"), found)
    auths = json.loads(content.get_secret_value())["auths"]
    assert auths["http://10.43.7.7:80"] == hand_made
    assert auths["quay.io"] == theirs
    assert set(auths) == {"http://10.43.7.7:80", "quay.io", *HOSTS}
    again = _foreign(content.get_secret_value())
    assert docker_config(HOSTS, USER, SecretStr("p=+/"), again) == content


def test_a_new_password_reaches_every_entry_of_the_token_and_no_other() -> None:
    config = {"auths": {"alias:80": {"auth": "eDp5"}, HOSTS[0]: {"auth": _auth(USER, "old")}}}
    content = docker_config(HOSTS, USER, SecretStr("new"), _foreign(json.dumps(config)))
    auths = json.loads(content.get_secret_value())["auths"]
    assert auths["alias:80"] == {"auth": "eDp5"}
    assert {auths[host]["password"] for host in HOSTS} == {"new"}


def test_an_entry_that_holds_its_login_as_auth_alone_is_read_too() -> None:
    found = _foreign(json.dumps({"auths": {"http://10.43.7.7:80/": {"auth": _auth(USER, "a:b=")}}}))
    assert read_password(found, USER) == SecretStr("a:b=")
    assert read_users(found) == (USER,)
    assert read_hosts(found, USER) == ("10.43.7.7:80",)


def _auth(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("content", ["", "[]", '{"auths": []}', '{"auths": {"a": 1}}', "{"])
def test_a_broken_secret_holds_no_password(content: str) -> None:
    assert read_password(_foreign(content), USER) is None


def test_the_password_is_read_back_for_its_user_only() -> None:
    password = read_password(_there(), USER)
    assert password is not None
    assert password.get_secret_value() == "p=+/"
    assert read_password(_there(), "another") is None


def test_a_staged_password_comes_back_with_its_mark_and_a_note_without_value() -> None:
    staged = SecretView.from_json(staging_body(SITE, MARK, SecretStr("kept")))
    mark, value = read_staged(staged)
    assert mark == MARK
    assert value == SecretStr("kept")
    note = PasswordMark(token=USER, slot="password2")
    assert read_staged(SecretView.from_json(staging_body(SITE, note, None))) == (note, None)
    assert read_staged(None) == (None, None)


def test_a_service_account_keeps_what_others_put_there() -> None:
    found = ServiceAccountView(
        meta=Meta(name="default", version="41"), pull_secrets=("theirs", "also-theirs")
    )
    assert service_account_patch("acrfleet-pull", found) == {
        "metadata": {"resourceVersion": "41"},
        "imagePullSecrets": [
            {"name": "theirs"},
            {"name": "also-theirs"},
            {"name": "acrfleet-pull"},
        ],
    }
    has_it = found.model_copy(update={"pull_secrets": ("acrfleet-pull",)})
    assert service_account_patch("acrfleet-pull", has_it) is None


def test_namespaces_are_found_by_name_and_by_label_and_a_missing_one_is_named() -> None:
    site = a_site(pull_secrets=PullSecrets(namespaces=("apps", "default")))
    named = [Meta(name="default"), Meta(name="apps")]
    labelled = [Meta(name="team-a"), Meta(name="apps")]
    assert target_namespaces(site, named, labelled) == ("apps", "default", "team-a")
    with pytest.raises(PullTargetMissingError, match="names apps, which"):
        target_namespaces(site, named[:1], [])
