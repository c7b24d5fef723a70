"""Azure's errors in the program's own classes, by type, and without anything that may be secret.

Texts are built from names, status, code and message. The body of an answer is only quoted where the
request cannot be answered with a password, and the original exceptions are not chained: azure-core
puts bodies into their texts, and a run log prints the whole chain.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from json import JSONDecodeError

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    DeserializationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from fleet.azure_errors import (
    AccessDeniedError,
    AzureBusyError,
    AzureRefusedError,
    LoginFailedError,
    RegistryNotFoundError,
)
from fleet.errors import FleetError

CONTROL_ROLE = "Container Registry Contributor and Data Access Configuration Administrator"
TOKEN_NOT_ACTIVE = "TokenNotActive"  # noqa: S105 - an error code, not a token
_QUOTED = 400
_NO_PARENT = {"ResourceGroupNotFound", "SubscriptionNotFound", "ParentResourceNotFound"}
_LASTING_CONFLICTS = {
    "ScopeLocked",
    "MissingSubscriptionRegistration",
    "ReadOnlyDisabledSubscription",
}
_POLICY = {"RequestDisallowedByPolicy", "DisallowedOperation"}


@dataclass(frozen=True, slots=True)
class Request:
    """What is being done, for the text of an error.

    `what` is a verb and an object, `scope` the resource ID at which a role would have to be
    assigned, `roles` what to assign, `secret` whether an answer may hold a password, `is_catalog`
    whether the registry itself is asked, which answers 401 to a login that lacks a role.
    """

    what: str
    registry: str
    scope: str
    roles: str = f"the role `{CONTROL_ROLE}`"
    secret: bool = False
    is_registry: bool = False
    is_catalog: bool = False


@contextmanager
def translated(request: Request) -> Iterator[None]:
    """Turn what the SDK raises inside into errors of the program, keeping no trace of it."""
    try:
        yield
    except (AzureError, JSONDecodeError, DeserializationError) as error:
        raise translate(error, request) from None


def translate(error: Exception, request: Request) -> FleetError:
    """Return the program's error for one of the SDK's."""
    if isinstance(error, ClientAuthenticationError):
        return _login_error(error, request)
    if isinstance(error, DecodeError | JSONDecodeError | DeserializationError):
        return _unreadable(request)
    if isinstance(error, HttpResponseError):
        return _answer_error(error, request)
    return _network_error(error, request)


def error_code(error: HttpResponseError) -> str | None:
    """Return the provider's code, the only thing that tells one 409 from another."""
    code = getattr(error.error, "code", None)
    return str(code) if code else None


def is_missing_child(error: HttpResponseError) -> bool:
    """Return whether a 404 means the object itself, not the registry or group around it."""
    return error.status_code == 404 and error_code(error) not in _NO_PARENT


def _answer_error(error: HttpResponseError, request: Request) -> FleetError:
    code, status = error_code(error), error.status_code or 0
    said = _quote(error, request)
    if status == 401:
        return LoginFailedError(
            f"could not {request.what}: Azure does not accept the login: {said}"
        )
    if status == 403 and code not in _POLICY:
        return _denied(request, said)
    if status == 404:
        return _missing(error, request, said)
    if status < 400 and code is None:
        return _unreadable(request)
    lasting = code in _LASTING_CONFLICTS
    if status in {408, 429} or status >= 500 or (status == 409 and not lasting):
        return AzureBusyError(f"could not {request.what}: Azure is busy ({status}): {said}")
    return AzureRefusedError(f"could not {request.what}: Azure refused ({status}): {said}", code)


def _missing(error: HttpResponseError, request: Request, said: str) -> FleetError:
    if request.is_registry or not is_missing_child(error):
        return RegistryNotFoundError(
            f"could not {request.what}: there is no {request.scope} (or the login may not see it):"
            f" {said}. Compare subscription, resource group and name of registry"
            f" {request.registry} in the fleet file with `az acr show --name {request.registry}`"
        )
    return AzureBusyError(
        f"could not {request.what}: Azure does not know the object (yet): {said}; it is looked up"
        " again on the next try"
    )


def _denied(request: Request, said: str) -> AccessDeniedError:
    return AccessDeniedError(
        f"could not {request.what}: the login may not do this ({said}). Assign {request.roles}"
        f" at {request.scope}; an assignment takes up to 10 minutes to count"
    )


def _login_error(error: ClientAuthenticationError, request: Request) -> FleetError:
    """Tell a login that Entra refused from one that could not be tried."""
    status = error.status_code or 0
    if status in {408, 429} or status >= 500 or _has_network_cause(error):
        return AzureBusyError(f"could not {request.what}: the Azure login cannot be reached")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return _untrusted(request)
    if request.is_catalog and status == 401:
        return _denied(request, _quote(error, request))
    return LoginFailedError(
        f"could not {request.what}: the Azure login failed: {_login_reason(error)} Check the login"
        " block that the fleet file names, or without one the AZURE_* variables or `az login`"
    )


def _login_reason(error: ClientAuthenticationError) -> str:
    """Return what Entra said, or what the first credential of a chain said, in one line."""
    text = str(error.message).strip()
    said = re.search(r"AADSTS\d+:[^\r\n]*", text) or re.search(r"(?<=\t)\w+:[^\r\n]*", text)
    line = said.group() if said else text.splitlines()[0]
    return line[:_QUOTED].rstrip(". ") + "."


def _has_network_cause(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ServiceRequestError | ServiceResponseError):
            return "CERTIFICATE_VERIFY_FAILED" not in str(cause)
        cause = cause.__cause__ or cause.__context__
    return False


def _network_error(error: Exception, request: Request) -> FleetError:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return _untrusted(request)
    if isinstance(error, ServiceResponseError):
        return AzureBusyError(
            f"could not {request.what}: the connection ended before Azure answered; what it did is"
            " looked up on the next try"
        )
    if isinstance(error, ServiceRequestError):
        return AzureBusyError(
            f"could not {request.what}: Azure cannot be reached; check the network"
        )
    return AzureBusyError(f"could not {request.what}: {type(error).__name__} in the Azure SDK")


def _unreadable(request: Request) -> FleetError:
    return AzureBusyError(
        f"could not {request.what}: Azure's answer was not readable; what it did is looked up on"
        " the next try"
    )


def _untrusted(request: Request) -> FleetError:
    return AzureRefusedError(
        f"could not {request.what}: the certificate of the Azure end point is not trusted; behind a"
        " private authority name its PEM file as `ca_file` of the cloud"
    )


def _quote(error: HttpResponseError, request: Request) -> str:
    """Return code and message, or the bare string that some refusals consist of."""
    code = error_code(error)
    if request.secret:
        return code or "no code"
    if code:
        message = str(getattr(error.error, "message", "") or "").strip()
        return f"{code}: {message[:_QUOTED]}"
    try:
        body = json.loads(error.response.text()) if error.response is not None else None
    except (ValueError, AttributeError):
        body = None
    return (_words(body) or str(error.reason or "no reason"))[:_QUOTED]


def _words(body: object) -> str:
    """Return what a bare string says, or the first error of a registry's data plane."""
    if isinstance(body, str):
        return body
    errors = body.get("errors") if isinstance(body, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    return f"{first.get('code')}: {first.get('message')}" if isinstance(first, dict) else ""
