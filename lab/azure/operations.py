"""Long-running operations in both profiles.

`recorded` answers as the real service was seen to answer, `spec` as the specification says. An
effect is there at once in both; what takes time is the provisioning state.
"""

import secrets
import uuid
from typing import Any

from lab.azure.calls import Answer, Call
from lab.azure.errors import ArmError, not_found
from lab.azure.naming import PROVIDER
from lab.azure.rendering import Json
from lab.azure.state import Operation, Registry, Resource, pending_resource

_SETTLES_AFTER = 5.0  # lab seconds; a real token is busy for about that long


def written(call: Call, resource: Resource, word: str) -> Answer | None:
    """Start the operation of a PUT or PATCH that recorded reality answers at once.

    Returns an answer without a body when the caller has to poll, and None for a plain 200.
    """
    if call.cloud.profile == "recorded" and not call.fault("failed-operation"):
        resource.final = "Succeeded"
        return None
    return written_slowly(call, resource, word)


def written_slowly(call: Call, resource: Resource, word: str) -> Answer:
    """Start the operation of a PUT or PATCH that takes a while in both profiles."""
    pending_resource(resource, word, call.lab_seconds(_SETTLES_AFTER), call.now)
    failed = call.fault("failed-operation") is not None
    resource.final = "Failed" if failed else "Succeeded"
    kind = "token" if "/tokens/" in call.path.lower() else "operation"
    headers = _headers(call, "Azure-AsyncOperation", f"{call.path}/operationStatuses/{kind}-")
    _register(call, headers["Azure-AsyncOperation"], word, failed=failed, result=None)
    return Answer(201, None, headers)


def answer_written(answer: Answer | None, body: Json) -> Answer:
    """Complete the answer to a PUT or PATCH with the resource."""
    if answer is None:
        return Answer(200, body)
    answer.body = body
    return answer


def done(call: Call, result: Any = None) -> Answer:
    """Answer a POST or DELETE whose effect is there: 200 as recorded, or 202 + Location."""
    failed = call.fault("failed-operation") is not None
    if call.cloud.profile == "recorded" and not failed:
        return Answer(200, result)
    registry = call.registry()
    path = f"{registry.id}/operationStatuses/registries-"
    if failed:
        headers = _headers(call, "Azure-AsyncOperation", path)
        headers["Location"] = headers["Azure-AsyncOperation"]
        _register(call, headers["Location"], "Updating", failed=True, result=None)
    else:
        headers = _headers(call, "Location", path)
        _register(call, headers["Location"], "", failed=False, result=result)
    return Answer(202, None, headers)


def registry_deleted(call: Call, registry: Registry, body: Json) -> Answer:
    """Answer the deletion of a registry: 202 with the last state and a location to poll."""
    path = f"/subscriptions/{call.cloud.subscription}/providers/{PROVIDER}"
    path += f"/locations/{registry.location}/operationResults/delete-{registry.name}-"
    headers = _headers(call, "Location", path)
    _register(call, headers["Location"], "", failed=False, result=None)
    body["properties"]["provisioningState"] = "Deleting"
    return Answer(202, body, headers)


def read_operation(call: Call) -> Answer:
    """Answer a poll: a status document, or 202 and then the result when it is a location."""
    call.subscription()
    operation = call.cloud.operations.get(call.args["operation"])
    if operation is None:
        raise not_found(call.args["operation"])
    finished = call.now >= operation.settles
    if not operation.running:
        return Answer(200, operation.result) if finished else _busy(call)
    if not finished:
        return Answer(200, {"status": operation.running}, _retry_after(call))
    if operation.error:
        return Answer(200, {"status": "Failed", "error": operation.error})
    return Answer(200, {"status": "Succeeded"})


def check_settled(resource: Resource, call: Call) -> None:
    """Refuse to make credentials for a token that is still being created."""
    if call.fault("token-not-active") or resource.provisioning_state(call.now) == "Creating":
        message = f"The token {resource.name} is not active."
        raise ArmError(409, "TokenNotActive", message)


def _busy(call: Call) -> Answer:
    return Answer(202, None, {"Location": f"https://{call.host}{call.path}?{_signed(call)}"})


def _headers(call: Call, header: str, path: str) -> dict[str, str]:
    url = f"https://{call.host}{path}{uuid.uuid4()}?{_signed(call)}"
    return {header: url} | _retry_after(call)


def _retry_after(call: Call) -> dict[str, str]:
    seconds = call.cloud.retry_after
    return {} if seconds is None else {"Retry-After": str(seconds)}


def _signed(call: Call) -> str:
    """Return the kind of query that real operation addresses carry: long and opaque."""
    parts = {"t": "639200000000000000", "c": secrets.token_urlsafe(1500)}
    parts |= {"s": secrets.token_urlsafe(256), "h": secrets.token_urlsafe(32)}
    query = "&".join(f"{key}={value}" for key, value in parts.items())
    return f"api-version={call.version}&{query}"


def _register(call: Call, url: str, running: str, *, failed: bool, result: Any) -> None:
    name = url.partition("?")[0].rpartition("/")[2]
    error = None
    if failed:
        message = "The operation was accepted and failed, as ordered."
        error = {"code": "EmulatedFailedOperation", "message": message}
    settles = call.now + call.lab_seconds(_SETTLES_AFTER)
    call.cloud.operations[name] = Operation(settles, running, error, result)
