"""How Azure's answers become the program's errors: by status and code, without any secret."""

import json
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError

from clients.azure_errors import Request, translate, translated
from fleet.azure_errors import (
    AccessDeniedError,
    AzureBusyError,
    AzureRefusedError,
    LoginFailedError,
    RegistryNotFoundError,
)
from fleet.errors import FleetError, TemporaryError, is_worth_retrying

SCOPE = "/subscriptions/s/resourceGroups/g/providers/x/registries/acr"
PLAIN = Request("create token oslo1 in acr", "acr", SCOPE)
SECRET = Request("make password1 of token oslo1 in acr", "acr", SCOPE, secret=True)
REGISTRY = Request("read the registry in acr", "acr", SCOPE, is_registry=True)


class Answer:
    """An HTTP answer as azure-core's errors look at one."""

    def __init__(self, status: int, body: str) -> None:
        self.status_code = status
        self.reason = "Reason"
        self.headers: dict[str, str] = {}
        self._body = body

    def text(self) -> str:
        return self._body

    def body(self) -> bytes:
        return self._body.encode()


def refusal(status: int, code: str | None = None, body: Any = None) -> HttpResponseError:
    envelope = {"error": {"code": code, "message": f"about {code}"}, "status": "Failed"}
    return HttpResponseError(response=Answer(status, json.dumps(envelope if code else body)))


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "InvalidRequestContent", AzureRefusedError),
        (401, "InvalidAuthenticationToken", LoginFailedError),
        (403, "AuthorizationFailed", AccessDeniedError),
        (403, "RequestDisallowedByPolicy", AzureRefusedError),
        (404, "ResourceNotFound", AzureBusyError),
        (404, "ResourceGroupNotFound", RegistryNotFoundError),
        (404, "SubscriptionNotFound", RegistryNotFoundError),
        (408, "Timeout", AzureBusyError),
        (409, "TokenNotActive", AzureBusyError),
        (409, "SomethingUnheardOf", AzureBusyError),
        (409, "ScopeLocked", AzureRefusedError),
        (409, "ReadOnlyDisabledSubscription", AzureRefusedError),
        (429, "TooManyRequests", AzureBusyError),
        (500, "InternalServerError", AzureBusyError),
        (503, "ServiceUnavailable", AzureBusyError),
    ],
)
def test_status_and_code_choose_the_error(
    status: int, code: str, expected: type[FleetError]
) -> None:
    error = translate(refusal(status, code), PLAIN)
    assert type(error) is expected
    assert code in str(error)
    assert "create token oslo1 in acr" in str(error)
    assert is_worth_retrying(error) is issubclass(expected, TemporaryError)


def test_a_missing_registry_is_never_temporary() -> None:
    error = translate(refusal(404, "ResourceNotFound"), REGISTRY)
    assert type(error) is RegistryNotFoundError
    assert SCOPE in str(error)


@pytest.mark.parametrize("status", [200, 202])
def test_an_answer_that_is_no_answer_is_looked_up_on_the_next_try(status: int) -> None:
    assert type(translate(refusal(status, body="x"), PLAIN)) is AzureBusyError


def test_an_operation_that_failed_is_a_refusal_although_its_status_is_200() -> None:
    error = translate(refusal(200, "OperationFailed"), PLAIN)
    assert isinstance(error, AzureRefusedError)
    assert error.code == "OperationFailed"


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        ("The resource type is not supported in this region.", "supported in this region"),
        ({"errors": [{"code": "DENIED", "message": "client with IP is not allowed"}]}, "DENIED"),
        ({"odd": 1}, "Reason"),
        (None, "Reason"),
    ],
)
def test_a_body_that_is_no_envelope_is_quoted_as_far_as_it_says_anything(
    body: Any, quoted: str
) -> None:
    assert quoted in str(translate(refusal(400, body=body), PLAIN))


@pytest.mark.parametrize(
    "error",
    [
        refusal(400, body="canary"),
        refusal(400, body={"passwords": [{"value": "canary"}]}),
        refusal(503, body="canary"),
        DecodeError("JSON is invalid: canary", response=Answer(200, "canary")),
        json.JSONDecodeError("canary", "canary", 0),
    ],
)
def test_a_request_for_a_password_quotes_no_answer(error: Exception) -> None:
    with pytest.raises(FleetError) as caught, translated(SECRET):
        raise error
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_answer_that_cannot_be_read_is_temporary() -> None:
    for error in (
        DecodeError("JSON is invalid", response=Answer(200, "{")),
        json.JSONDecodeError("Expecting value", "", 0),
    ):
        assert type(translate(error, PLAIN)) is AzureBusyError


@pytest.mark.parametrize(
    ("error", "expected", "said"),
    [
        (ServiceRequestError("no route"), AzureBusyError, "cannot be reached"),
        (ServiceResponseError("reset"), AzureBusyError, "before Azure answered"),
        (
            ServiceRequestError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"),
            AzureRefusedError,
            "`ca_file`",
        ),
        (CredentialUnavailableError("no identity here"), LoginFailedError, "no identity here"),
        (
            ClientAuthenticationError("Authentication failed: x", response=Answer(503, "")),
            AzureBusyError,
            "login cannot be reached",
        ),
    ],
)
def test_what_never_became_an_answer_says_what_to_look_at(
    error: Exception, expected: type[FleetError], said: str
) -> None:
    result = translate(error, PLAIN)
    assert type(result) is expected
    assert said in str(result)


def test_a_login_server_out_of_reach_is_temporary_however_azure_identity_wraps_it() -> None:
    error = ClientAuthenticationError("Authentication failed: no route")
    error.__cause__ = ServiceRequestError("no route")
    assert type(translate(error, PLAIN)) is AzureBusyError
