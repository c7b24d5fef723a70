"""Names, labels and owners: the part of an object that every kind shares."""

import random
import re
import uuid
from datetime import datetime
from typing import Any

from lab.cluster.errors import FieldError, bad_request, invalid, required
from lab.cluster.kinds import Kind, Object

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_PATH_SEGMENT = re.compile(r"[^/%]+")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_RULES = {
    "Namespace": (_LABEL, 63, "a lowercase RFC 1123 label"),
    "Service": (_SERVICE, 63, "a DNS-1035 label"),
    "Role": (_PATH_SEGMENT, 253, "a path segment"),
    "RoleBinding": (_PATH_SEGMENT, 253, "a path segment"),
    "ClusterRole": (_PATH_SEGMENT, 253, "a path segment"),
    "ClusterRoleBinding": (_PATH_SEGMENT, 253, "a path segment"),
}
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


def timestamp(now: datetime) -> str:
    """Return a time the way metadata writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(now: datetime) -> str:
    """Return a time with microseconds, the way leases and events write it."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def random_suffix(length: int = 5) -> str:
    """Return a suffix in the alphabet of generated names."""
    return "".join(random.choices(_SUFFIX, k=length))


def new_metadata(kind: Kind, given: Any, namespace: str | None, now: datetime) -> Object:
    """Return the metadata of an object that is about to be created.

    Raises:
        ApiError: 400 or 422 for metadata that no server takes.
    """
    metadata = checked_metadata(given)
    if "resourceVersion" in metadata:
        raise bad_request("resourceVersion should not be set on objects to be created")
    have = metadata.get("namespace")
    if have and have != (namespace or ""):
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if namespace:
        metadata["namespace"] = namespace
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"] + random_suffix()
    _check_name(kind, metadata.get("name"))
    metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp(now)}
    if kind.generation:
        metadata["generation"] = 1
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields"):
        metadata.pop(field, None)
    return metadata


def checked_metadata(given: Any) -> Object:
    """Return metadata without empty fields; ApiError 400 when it cannot be decoded."""
    if given is not None and not isinstance(given, dict):
        raise bad_request("json: cannot unmarshal the metadata: expected an object")
    metadata = {key: value for key, value in (given or {}).items() if value not in (None, {}, [])}
    for field in ("labels", "annotations"):
        for key, value in metadata.get(field, {}).items():
            if not isinstance(value, str):
                kind = "bool" if isinstance(value, bool) else "number"
                raise bad_request(
                    f"json: cannot unmarshal {kind} into Go struct field "
                    f"ObjectMeta.metadata.{field} of type string ({key})"
                )
    return metadata


def metadata_errors(metadata: Object) -> list[FieldError]:
    """Return what is wrong with labels and owners."""
    errors = [
        FieldError(
            "metadata.labels",
            "a valid label must be an empty string or consist of "
            "alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character",
            f'"{value}"',
        )
        for value in metadata.get("labels", {}).values()
        if len(value) > 63 or not _LABEL_VALUE.fullmatch(value)
    ]
    for index, owner in enumerate(metadata.get("ownerReferences", ())):
        errors += [
            required(f"metadata.ownerReferences[{index}].{field}")
            for field in ("apiVersion", "kind", "name", "uid")
            if not owner.get(field)
        ]
    return errors


def _check_name(kind: Kind, name: Any) -> None:
    if not name:
        error = required("metadata.name", "name or generateName is required")
        raise invalid(kind, "", [error])
    pattern, longest, words = _RULES.get(
        kind.name, (_SUBDOMAIN, 253, "a lowercase RFC 1123 subdomain")
    )
    if len(name) > longest or not pattern.fullmatch(name):
        text = (
            f"{words} must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character"
        )
        raise invalid(kind, name, [FieldError("metadata.name", text, f'"{name}"')])
