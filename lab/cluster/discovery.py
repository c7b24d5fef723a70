"""What clients ask a server before they ask for objects: versions, groups, resources, OpenAPI."""

from collections.abc import Iterable
from typing import Any

from lab.cluster.kinds import Kind, Kinds, Object

VERSION = {
    "major": "1",
    "minor": "31",
    "gitVersion": "v1.31.4+k3s1",
    "gitCommit": "lab",
    "gitTreeState": "clean",
    "buildDate": "2024-12-17T00:00:00Z",
    "goVersion": "go1.22.9",
    "compiler": "gc",
    "platform": "linux/amd64",
}
# Protobuf of gnostic's openapi.v2.Document {swagger: "2.0", info: {title: "lab"}}: kubectl takes
# nothing else here and skips its own validation of kinds that the document does not describe.
OPENAPI_V2_PROTOBUF = b"\x0a\x032.0\x12\x05\x0a\x03lab"
# Clients ask with an @ before "v1.0" (Kubernetes < 1.23) and fail on an answer that has one.
OPENAPI_V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def core_versions() -> Object:
    """Return the answer of /api."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    }


def groups(kinds: Kinds) -> Object:
    """Return the answer of /apis."""
    names = sorted({kind.group for kind in kinds if kind.group})
    listed = [_group(name, kinds) for name in names]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(name: str, kinds: Kinds) -> Object | None:
    """Return the answer of /apis/GROUP, or None when nobody serves it."""
    if not name or all(kind.group != name for kind in kinds):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(name, kinds)


def _group(name: str, kinds: Kinds) -> Object:
    versions = [
        {"groupVersion": f"{name}/{version}", "version": version}
        for version in sorted({kind.version for kind in kinds if kind.group == name})
    ]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def resources(group_name: str, version: str, kinds: Kinds) -> Object | None:
    """Return the answer of /api/v1 or /apis/GROUP/VERSION, or None when nobody serves it."""
    chosen = [kind for kind in kinds if (kind.group, kind.version) == (group_name, version)]
    if not chosen:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": chosen[0].api_version,
        "resources": list(_resources(chosen)),
    }


def _resources(kinds: Iterable[Kind]) -> Iterable[Object]:
    for kind in kinds:
        entry: dict[str, Any] = {
            "name": kind.plural,
            "singularName": kind.name.lower(),
            "namespaced": kind.namespaced,
            "kind": kind.name,
            "verbs": kind.verbs,
        }
        if kind.short_names:
            entry["shortNames"] = list(kind.short_names)
        yield entry
        extra = ["status"] if kind.status else []
        extra += ["log"] if kind.name == "Pod" else []
        for name in extra:
            verbs = ["get"] if name == "log" else ["get", "patch", "update"]
            yield {
                "name": f"{kind.plural}/{name}",
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": kind.name,
                "verbs": verbs,
            }


def openapi_v2(kinds: Kinds) -> Object:
    """Return a document that names every kind; the fields of custom kinds only."""
    definitions = {}
    for kind in kinds:
        entry: Object = {
            "type": "object",
            "x-kubernetes-group-version-kind": [
                {"group": kind.group, "kind": kind.name, "version": kind.version}
            ],
        }
        if kind.schema and "properties" in kind.schema:
            entry["properties"] = kind.schema["properties"]
        definitions[f"{kind.group or 'core'}.{kind.version}.{kind.name}"] = entry
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes (lab)", "version": VERSION["gitVersion"]},
        "paths": {},
        "definitions": definitions,
    }
