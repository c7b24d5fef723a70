"""From an HTTP request to an answer: routes, media types, subresources."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from lab.cluster import discovery, errors, listing, protobuf
from lab.cluster.kinds import Kinds, Object
from lab.cluster.object_api import ObjectApi
from lab.cluster.patches import check_type, patched
from lab.cluster.paths import Target, parse
from lab.cluster.selection import selection
from lab.cluster.watching import WatchRequest

_HEALTH = {"readyz", "livez", "healthz"}
_MAX_WATCH = 3600.0
LogReader = Callable[[str, str, Mapping[str, str]], str]


@dataclass(frozen=True)
class Answer:
    """What to send: JSON, text or bytes, or a watch to stream."""

    code: int = 200
    body: Any = None
    content_type: str = "application/json"
    watch: WatchRequest | None = None


@dataclass(frozen=True)
class Request:
    """What came in, decoded from HTTP."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = ""
    accept: str = ""

    @property
    def dry_run(self) -> bool:
        """Return whether nothing may be stored."""
        return self.query.get("dryRun") == "All"


class Handler:
    """Answers requests out of an `ObjectApi`."""

    def __init__(self, api: ObjectApi, read_log: LogReader) -> None:
        """Answer from `api`; `read_log(namespace, pod, query)` returns a pod's log."""
        self._api = api
        self._read_log = read_log

    def answer(self, request: Request) -> Answer:
        """Return the answer; ApiError for refusals."""
        steps = [step for step in request.path.split("/") if step]
        if steps and steps[0] in {"api", "apis"} and len(steps) >= (3 if steps[0] == "api" else 4):
            return self._object_answer(request, parse(request.path, self._api.kinds))
        if request.method != "GET":
            raise errors.unknown_path()
        return self._discovery_answer(steps, request)

    def _discovery_answer(self, steps: list[str], request: Request) -> Answer:
        if steps and steps[0] in _HEALTH:
            return Answer(body="ok", content_type="text/plain")
        if steps == ["openapi", "v2"]:
            return self._openapi_answer(request.accept)
        found = discovery.VERSION if steps == ["version"] else _groups(steps, self._api.kinds)
        if found is None:
            raise errors.unknown_path()
        return Answer(body=found)

    def _openapi_answer(self, accept: str) -> Answer:
        if "proto-openapi" in accept:
            return Answer(
                body=discovery.OPENAPI_V2_PROTOBUF, content_type=discovery.OPENAPI_V2_TYPE
            )
        return Answer(body=discovery.openapi_v2(self._api.kinds))

    def _object_answer(self, request: Request, target: Target) -> Answer:
        method = request.method
        if target.subresource == "log":
            return self._log_answer(request, target)
        if target.name is None:
            answers = {"GET": self._list, "POST": self._create, "DELETE": self._delete_all}
            if target.kind.namespaced and target.namespace is None:
                answers = {"GET": self._list}
        else:
            answers = {
                "GET": self._get,
                "PUT": self._replace,
                "PATCH": self._patch,
                "DELETE": self._delete,
            }
        if method not in answers or (target.subresource and method == "DELETE"):
            raise errors.ApiError(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
                {},
            )
        return answers[method](request, target)

    def _log_answer(self, request: Request, target: Target) -> Answer:
        if request.method != "GET":
            raise errors.not_supported(f"{request.method} on pods/log")
        if request.query.get("follow") in {"true", "1"}:
            raise errors.not_supported("following a pod's log (follow=true)")
        name = target.name or ""
        self._api.read(target.kind, target.namespace, name)
        text = self._read_log(target.namespace or "", name, request.query)
        return Answer(body=text, content_type="text/plain")

    def _list(self, request: Request, target: Target) -> Answer:
        query = request.query
        if query.get("watch") in {"true", "1"}:
            return Answer(watch=_watch_request(target, query))
        return Answer(body=listing.page(self._api.store, target.kind, target.namespace, query))

    def _get(self, request: Request, target: Target) -> Answer:
        name = target.name or ""
        return Answer(body=self._api.read(target.kind, target.namespace, name))

    def _create(self, request: Request, target: Target) -> Answer:
        body = _decode(request)
        made = self._api.create(target.kind, target.namespace, body, request.dry_run)
        return Answer(201, made)

    def _replace(self, request: Request, target: Target) -> Answer:
        if target.subresource == "finalize":
            return self._finalize(request, target)
        changed = self._api.replace(
            target.kind,
            target.namespace,
            target.name or "",
            _decode(request),
            status=target.subresource == "status",
            dry_run=request.dry_run,
        )
        return Answer(body=changed)

    def _finalize(self, request: Request, target: Target) -> Answer:
        given = _decode(request).get("spec") or {}
        current = self._api.read(target.kind, None, target.name or "")
        new = current | {"spec": {"finalizers": given.get("finalizers") or []}}
        new["metadata"] = dict(current["metadata"])
        return Answer(
            body=self._api.drop_if_released(target.kind, self._api.store.put(target.kind, new))
        )

    def _patch(self, request: Request, target: Target) -> Answer:
        kind = target.kind
        check_type(kind, request.content_type)
        changed = self._api.change(
            kind,
            target.namespace,
            target.name or "",
            lambda obj: patched(kind, obj, request.content_type, request.body),
            status=target.subresource == "status",
            dry_run=request.dry_run,
        )
        return Answer(body=changed)

    def _delete(self, request: Request, target: Target) -> Answer:
        kind, options = target.kind, _delete_options(request)
        last, gone = self._api.delete(
            kind, target.namespace, target.name or "", options, request.dry_run
        )
        if not gone or kind.returned_on_delete:
            return Answer(body=last)
        return Answer(body=_deleted_status(target, last))

    def _delete_all(self, request: Request, target: Target) -> Answer:
        kind = target.kind
        found = listing.page(self._api.store, kind, target.namespace, request.query)
        for obj in found["items"]:
            metadata = obj["metadata"]
            self._api.delete(
                kind,
                metadata.get("namespace"),
                metadata["name"],
                _delete_options(request),
                request.dry_run,
            )
        return Answer(body=found)


def _groups(steps: list[str], kinds: Kinds) -> Object | None:
    match steps:
        case ["api"]:
            return discovery.core_versions()
        case ["api", version]:
            return discovery.resources("", version, kinds)
        case ["apis"]:
            return discovery.groups(kinds)
        case ["apis", group]:
            return discovery.group(group, kinds)
        case ["apis", group, version]:
            return discovery.resources(group, version, kinds)
    return None


def _deleted_status(target: Target, last: Object) -> Object:
    kind = target.kind
    details = {
        "name": target.name,
        "group": kind.group,
        "kind": kind.plural,
        "uid": last["metadata"]["uid"],
    }
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def _watch_request(target: Target, query: Mapping[str, str]) -> WatchRequest:
    fields = query.get("fieldSelector")
    if target.name:
        fields = f"metadata.name={target.name}"
    seconds = query.get("timeoutSeconds") or ""
    return WatchRequest(
        target.kind,
        target.namespace,
        selection(target.kind, query.get("labelSelector"), fields),
        query.get("resourceVersion", ""),
        min(float(seconds) if seconds.isdigit() else _MAX_WATCH, _MAX_WATCH),
        query.get("allowWatchBookmarks") in {"true", "1"},
        query.get("sendInitialEvents") in {"true", "1"},
    )


def _delete_options(request: Request) -> Object:
    options = _decode(request) if request.body.strip() else {}
    if "propagationPolicy" in request.query:
        options = {**options, "propagationPolicy": request.query["propagationPolicy"]}
    if "gracePeriodSeconds" in request.query:
        options = {**options, "gracePeriodSeconds": int(request.query["gracePeriodSeconds"])}
    return options


def _decode(request: Request) -> Object:
    """Return the body as an object; 415 for encodings other than JSON, YAML and protobuf."""
    try:
        if request.content_type == protobuf.MEDIA_TYPE:
            return protobuf.decode(request.body)
        if request.content_type in {"", "application/json"}:
            body = json.loads(request.body)
        elif request.content_type == "application/yaml":
            body = yaml.safe_load(request.body)
        else:
            raise errors.unsupported_media(
                f"the lab's cluster reads JSON, YAML and Kubernetes' protobuf, not "
                f"{request.content_type}"
            )
    except protobuf.ProtobufError as error:
        raise errors.unsupported_media(str(error)) from None
    except (ValueError, yaml.YAMLError) as error:
        raise errors.bad_request(f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(body, dict):
        raise errors.bad_request("couldn't get version/kind; json parse error: not an object")
    return body
