"""Ordered faults and the audit log: what went wrong, and what was written all the same."""

import threading
import time

import httpx
import pytest
from azure.core.exceptions import HttpResponseError

from tests.lab.azure_client import GROUP, REGISTRY, azure_on, code_of

pytestmark = pytest.mark.lab
BODY = {"properties": {"actions": ["repositories/vessel/nav/content/read"]}}


@pytest.fixture
def azure(tmp_path):
    with azure_on(tmp_path) as client:
        yield client


def put(azure, name="harbour"):
    return azure.send("PUT", f"scopeMaps/{name}", BODY)


def exists(azure, name="harbour"):
    return name in azure.registry.state.scope_maps


def order(azure, kind, **more):
    """Order a fault for one PUT of a scope map."""
    azure.faults.add(part="azure", kind=kind, **{"match": "PUT *scopeMaps*", "times": 1} | more)


def test_a_status_is_answered_before_anything_happens(azure):
    order(azure, "status", status=503)

    answer = put(azure)

    assert (answer.status_code, code_of(answer)) == (503, "ServiceUnavailable")
    assert "Retry-After" not in answer.headers
    assert not exists(azure)
    assert put(azure).status_code == 200


def test_a_fault_can_wait_for_the_second_request(azure):
    order(azure, "status", status=503, skip=1)

    assert [put(azure).status_code for _ in range(3)] == [200, 503, 200]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "is_done"), [("hang", False), ("hang-after", True)])
def test_an_answer_that_never_comes_tells_that_somebody_waits_for_it(azure, kind, is_done):
    fault = azure.faults.add(part="azure", kind=kind, match="PUT *scopeMaps*", times=1)

    def ask():
        with pytest.raises(httpx.ReadTimeout):
            put(azure)

    asking = threading.Thread(target=ask)
    asking.start()
    end = time.monotonic() + 5
    while not fault.hanging:
        assert time.monotonic() < end
        time.sleep(0.005)

    assert exists(azure) is is_done
    asking.join()


def test_throttling_asks_to_wait(azure):
    order(azure, "status", status=429, retry_after=17)

    answer = put(azure)

    assert (answer.status_code, code_of(answer)) == (429, "TooManyRequests")
    assert answer.headers["Retry-After"] == "17"


def test_a_status_can_come_after_the_side_effect(azure):
    order(azure, "status-after", status=503)

    assert put(azure).status_code == 503
    assert exists(azure)
    assert azure.changes() == [("PUT", "harbour")]


def test_a_connection_can_drop_before_and_after_the_side_effect(azure):
    order(azure, "drop", match="PUT *scopeMaps/early")
    order(azure, "drop-after", match="PUT *scopeMaps/later")

    for name in ("early", "later"):
        with pytest.raises(httpx.TransportError):
            put(azure, name)

    assert (exists(azure, "early"), exists(azure, "later")) == (False, True)


def test_a_request_can_hang(azure):
    order(azure, "hang")
    url = f"{azure.lab.resource_manager}{azure.registry_path}/scopeMaps/harbour"
    headers = {"Authorization": f"Bearer {azure.token}"}

    with pytest.raises(httpx.ReadTimeout):
        azure.anonymous.put(
            f"{url}?api-version=2025-11-01", json=BODY, headers=headers, timeout=0.3
        )

    assert not exists(azure)


def test_latency_only_delays(azure):
    order(azure, "latency", seconds=0.3)
    started = time.monotonic()

    answer = put(azure)

    assert answer.status_code == 200
    assert time.monotonic() - started >= 0.3


def test_a_400_with_a_string_for_a_body_leaves_the_sdk_without_a_code(azure):
    order(azure, "string-body-400")

    with pytest.raises(HttpResponseError) as refused:
        azure.arm.scope_maps.begin_create(GROUP, REGISTRY, "harbour", BODY)

    assert refused.value.status_code == 400
    assert refused.value.error is None
    assert not exists(azure)


def test_a_fault_can_be_for_one_site(azure):
    token_ids = {name: azure.add_token(f"{name}-client") for name in ("oslo1", "bergen1")}
    azure.add_connected("oslo1")
    azure.add_connected("bergen1")
    azure.faults.add(part="azure", kind="status", status=500, site="oslo1")

    oslo = azure.generate(token_ids["oslo1"], "password1").status_code
    bergen = azure.generate(token_ids["bergen1"], "password1").status_code
    read = azure.send("GET", "connectedRegistries/oslo1").status_code

    assert (oslo, bergen, read) == (500, 200, 500)


def test_sites_may_have_other_names_than_their_connected_registries(azure):
    azure.lab.sites.names = ["mv-oslo", "mv-oslo-2"]

    azure.generate(azure.add_token("mvoslo7f3k-client"), "password1")
    azure.add_scope_map("mvoslo27f3k-sync-map")
    azure.add_scope_map("harbour")

    sites = [line["site"] for line in azure.audit.read()]
    assert sites == ["mv-oslo", "mv-oslo", "mv-oslo", "mv-oslo-2", "harbour"]


def test_the_login_service_can_be_out_of_order(azure):
    azure.faults.add(part="azure", kind="status", status=503, match="POST */token", times=1)

    answer = azure.log_in(scope="https://management.azure.com/.default")

    assert answer.status_code == 503
    assert answer.json()["error"] == "temporarily_unavailable"
    assert azure.log_in(scope="https://management.azure.com/.default").status_code == 200


def test_the_data_plane_can_be_out_of_order(azure):
    azure.faults.add(part="azure", kind="status", status=429, match="GET /v2/*", times=1)

    answer = azure.data("/v2/")

    assert answer.status_code == 429
    assert answer.json()["errors"][0]["code"] == "TOOMANYREQUESTS"


def test_a_lost_answer_of_generate_credentials_leaves_a_password_nobody_knows(azure):
    token_id = azure.add_token("oslo-client")
    azure.faults.add(part="azure", kind="drop-after", match="*generateCredentials", times=1)

    with pytest.raises(httpx.TransportError):
        azure.generate(token_id, "password1")

    passwords = azure.send("GET", "tokens/oslo-client").json()["properties"]["credentials"]
    assert [each["name"] for each in passwords["passwords"]] == ["password1"]


def test_every_change_is_one_audit_line_and_no_line_has_a_secret(azure):
    azure.add_connected("oslo1", clientTokenIds=[azure.add_token("oslo-client")])
    value = azure.password(f"{azure.registry_path}/tokens/oslo1")
    azure.send("PATCH", "connectedRegistries/oslo1", {"properties": {}})
    azure.send("POST", "connectedRegistries/oslo1/deactivate")
    azure.send("DELETE", "connectedRegistries/oslo1")

    lines = azure.audit.read()

    assert azure.changes() == [
        ("PUT", "oslo-client"),
        ("PUT", "oslo-client"),
        ("PUT", "oslo1"),
        ("PUT", "oslo1"),
        ("PUT", "oslo1"),
        ("POST", "generateCredentials"),
        ("PATCH", "oslo1"),
        ("POST", "deactivate"),
        ("DELETE", "oslo1"),
    ]
    assert {line["part"] for line in lines} == {"azure"}
    assert {line["site"] for line in lines} == {"oslo-client", "oslo1"}
    assert (lines[5]["token"], lines[5]["slot"]) == ("oslo1", "password1")
    text = azure.audit.path.read_text()
    assert value not in text
    assert azure.lab.client_secret not in text


def test_reads_refusals_and_deletions_of_nothing_are_no_changes(azure):
    azure.send("GET", "tokens")
    azure.data("/v2/")
    azure.send("PUT", "scopeMaps/harbour", {"properties": {"actions": ["nonsense"]}})
    azure.send("PATCH", "tokens/nobody", {"properties": {}})
    assert azure.send("DELETE", "tokens/nobody").status_code == 204

    assert azure.changes() == []


def test_a_write_that_changes_nothing_is_a_write_all_the_same(azure):
    put(azure)
    put(azure)

    assert azure.changes() == [("PUT", "harbour")] * 2


@pytest.mark.slow
def test_a_hundred_sites_are_served_quickly(azure):
    azure.add_registry("harbour")
    azure.token  # noqa: B018 - log in before the threads start
    problems = []

    def onboard(number):
        name = f"site{number:03}"
        answer = put(azure, name)
        body = {"properties": {"scopeMapId": answer.json()["id"]}}
        statuses = [
            azure.send("PUT", f"tokens/{name}", body).status_code,
            azure.send("GET", f"tokens/{name}").status_code,
            azure.send("GET", "connectedRegistries").status_code,
        ]
        if statuses != [201, 200, 200]:
            problems.append(statuses)

    started = time.monotonic()
    threads = [threading.Thread(target=onboard, args=[number]) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []
    assert time.monotonic() - started < 10
