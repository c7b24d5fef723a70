"""Errors in the wording and the envelope of a real API server."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab.cluster.kinds import Kind

_WORDS = {
    "FieldValueInvalid": "Invalid value",
    "FieldValueRequired": "Required value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueTooLong": "Too long",
}


class ApiError(Exception):
    """A refusal that becomes a `Status` object."""

    def __init__(
        self, code: int, reason: str, message: str, details: dict[str, Any] | None = None
    ) -> None:
        """Make an error; `reason` is the machine-readable word clients test for."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> dict[str, Any]:
        """Return the body of the answer."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            body["details"] = self.details
        return body | {"code": self.code}


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field; `value` is quoted in the text unless None."""

    field: str
    text: str = ""
    value: str | None = None
    reason: str = "FieldValueInvalid"

    def words(self) -> str:
        """Return the text without the field."""
        parts = [_WORDS[self.reason], self.value, self.text]
        return ": ".join(part for part in parts if part)


def required(field: str, text: str = "") -> FieldError:
    """Return the error of a missing field."""
    return FieldError(field, text, None, "FieldValueRequired")


def _details(kind: Kind, name: str, **more: Any) -> dict[str, Any]:
    details = {"name": name, "group": kind.group, "kind": kind.plural} | more
    return {key: value for key, value in details.items() if value}


def not_found(kind: Kind, name: str) -> ApiError:
    """Return 404 for an object that is not there."""
    message = f'{kind.resource} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(kind, name))


def unknown_path() -> ApiError:
    """Return 404 for a path nobody serves."""
    message = "the server could not find the requested resource"
    return ApiError(404, "NotFound", message, {})


def already_exists(kind: Kind, name: str) -> ApiError:
    """Return 409 for a name that is taken."""
    message = f'{kind.resource} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(kind, name))


def conflict(kind: Kind, name: str, why: str) -> ApiError:
    """Return 409 for a change based on something that has moved on."""
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(kind, name))


def precondition_failed(kind: Kind, name: str, field: str, wanted: str, have: str) -> ApiError:
    """Return the conflict of a delete that was meant for another uid or resourceVersion."""
    label = {"uid": "UID", "resourceVersion": "ResourceVersion"}[field]
    happened = {"uid": "deleted and then recreated", "resourceVersion": "modified"}[field]
    message = (
        f'Operation cannot be fulfilled on {kind.name} "{name}": the {label} in the precondition '
        f"({wanted}) does not match the {label} in record ({have}). The object might have been "
        f"{happened}"
    )
    details = {"name": name, "group": kind.group, "kind": kind.name}
    return ApiError(409, "Conflict", message, {k: v for k, v in details.items() if v})


def modified(kind: Kind, name: str) -> ApiError:
    """Return the conflict of a stale resourceVersion."""
    return conflict(
        kind,
        name,
        "the object has been modified; please apply your changes to the latest version and "
        "try again",
    )


def invalid(kind: Kind, name: str, errors: Sequence[FieldError]) -> ApiError:
    """Return 422 with one cause per field."""
    texts = [f"{error.field}: {error.words()}" for error in errors]
    joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes = [
        {"reason": error.reason, "message": error.words(), "field": error.field} for error in errors
    ]
    details = {"name": name, "group": kind.group, "kind": kind.name, "causes": causes}
    details = {key: value for key, value in details.items() if value}
    return ApiError(422, "Invalid", f'{kind.qualified} "{name}" is invalid: {joined}', details)


def forbidden(kind: Kind, name: str, why: str, **more: Any) -> ApiError:
    """Return 403."""
    message = f'{kind.resource} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, _details(kind, name, **more))


def bad_request(message: str) -> ApiError:
    """Return 400."""
    return ApiError(400, "BadRequest", message)


def unsupported_media(message: str) -> ApiError:
    """Return 415."""
    return ApiError(415, "UnsupportedMediaType", message, {})


def expired(message: str) -> ApiError:
    """Return 410 for history that is no longer kept."""
    return ApiError(410, "Expired", message)


def not_supported(what: str) -> ApiError:
    """Return 501 for something a real cluster does and this one does not."""
    return ApiError(501, "NotImplemented", f"the lab's cluster does not support {what}")
