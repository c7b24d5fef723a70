import gzip
import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from fleet.cluster_errors import HelmRecordUnreadableError
from fleet.cluster_objects import SecretView
from fleet.errors import NotOursError
from fleet.helm_release import (
    HelmRelease,
    close_unfinished,
    plan_release,
    read_release,
    release_connection_string,
    release_labels,
    wanted_values,
)
from fleet.sites import Chart
from tests.builders import a_site

CASES = yaml.safe_load((Path(__file__).parent.parent / "cases/helm_releases.yaml").read_text())
SITE = a_site()
WANTED = wanted_values(SITE.chart, SecretStr("wanted"))


def _secret(changes: dict[str, Any]) -> SecretView:
    values = {**json.loads(WANTED.get_secret_value()), **changes.get("values", {})}
    labels = {**release_labels(SITE), "status": "deployed", **changes.get("labels", {})}
    metadata = {"name": "connected-registry", "version": changes.get("chart_version", "0.4.0")}
    body = {
        "name": "connected-registry",
        "version": 4,
        "namespace": "connected-registry",
        "info": {"status": changes.get("status", "deployed"), "first_deployed": "then"},
        "chart": {"metadata": metadata},
        "config": values,
        "manifest": "---\n# Source: x\n",
    }
    return _packed(json.dumps(body).encode(), {k: v for k, v in labels.items() if v is not None})


def _packed(content: bytes, labels: dict[str, str] | None = None) -> SecretView:
    inner = b64encode(gzip.compress(content))
    metadata = {"name": "r", "namespace": "n", "resourceVersion": "77", "labels": labels or {}}
    return SecretView.from_json(
        {"metadata": metadata, "data": {"release": b64encode(inner).decode()}}
    )


def _release(changes: dict[str, Any] | None) -> HelmRelease | None:
    return read_release(_secret(changes)) if changes is not None else None


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_a_release_is_left_alone_changed_or_refused(case: dict[str, Any]) -> None:
    then, found = case["then"], _release(case["release"])
    if "error" in then:
        with pytest.raises(NotOursError, match=then["error"]) as raised:
            plan_release(SITE, WANTED, found)
        assert "theirs" not in str(raised.value).replace("not made by", "")
        return
    plan = plan_release(SITE, WANTED, found)
    assert plan.model_dump() == {"unfinished": False, **then}


def test_the_values_of_a_release_are_secret_and_its_connection_string_can_be_had() -> None:
    release = _release({"values": {"connectionString": "canary"}})
    assert release is not None
    assert "canary" not in repr(release)
    text = release_connection_string(release)
    assert text is not None
    assert text.get_secret_value() == "canary"
    without = _release({"values": {"connectionString": None}})
    assert without is not None
    assert release_connection_string(without) is None


def test_closing_an_unfinished_release_changes_its_status_and_nothing_else() -> None:
    secret = _secret({"status": "pending-install"})
    change = close_unfinished(secret)
    assert change["metadata"] == {"resourceVersion": "77", "labels": {"status": "failed"}}
    before, after = (_unpacked(data) for data in (secret.data["release"], change["data"]))
    assert after["info"].pop("status") == "failed"
    assert "acrfleet found it unfinished" in after["info"].pop("description")
    assert before["info"].pop("status") == "pending-install"
    assert after == before


def _unpacked(data: Any) -> dict[str, Any]:
    text = data.get_secret_value() if isinstance(data, SecretStr) else b64decode(data["release"])
    body: dict[str, Any] = json.loads(gzip.decompress(b64decode(text)))
    return body


@pytest.mark.parametrize(
    "content",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"info": {"status": "deployed"}}',
        b'{"info": {}, "chart": {"metadata": {}}}',
        b'{"info": {"status": 1}, "chart": null, "name": "x", "version": 1}',
    ],
)
def test_a_record_that_helm_did_not_write_is_named(content: bytes) -> None:
    with pytest.raises(HelmRecordUnreadableError, match=r"Secret n/r .* never uninstall"):
        read_release(_packed(content))


def test_a_secret_without_a_record_or_with_a_broken_one_is_named() -> None:
    for data in ({}, {"release": "Zm9v"}, {"release": b64encode(b64encode(b"x")).decode()}):
        with pytest.raises(HelmRecordUnreadableError):
            read_release(SecretView.from_json({"metadata": {"name": "r"}, "data": data}))


def test_labels_are_what_kubernetes_takes_and_tell_references_apart() -> None:
    other = a_site(chart=Chart(version="0.4.0", reference="oci://registry.example/chart"))
    labels = release_labels(SITE)
    assert labels != release_labels(other)
    assert all(len(value) <= 63 for value in labels.values())
