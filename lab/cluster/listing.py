"""Lists in pages."""

import base64
import json
from collections.abc import Mapping

from lab.cluster.errors import bad_request
from lab.cluster.kinds import Kind, Object
from lab.cluster.selection import selection
from lab.cluster.store import Store


def page(store: Store, kind: Kind, namespace: str | None, query: Mapping[str, str]) -> Object:
    """Return a list as `limit`, `continue` and the selectors ask for it.

    Raises:
        ApiError: 400 for parameters that cannot be read.
    """
    test = selection(kind, query.get("labelSelector"), query.get("fieldSelector"))
    items = [obj for obj in store.each(kind, namespace) if test(obj)]
    version, start = store.revision, ("", "")
    if token := query.get("continue"):
        version, start = _read_token(token)
        items = [obj for obj in items if _place(obj) > start]
    metadata: Object = {"resourceVersion": str(version)}
    limit = _limit(query)
    if limit and len(items) > limit:
        metadata["continue"] = _token(version, _place(items[limit - 1]))
        metadata["remainingItemCount"] = len(items) - limit
        items = items[:limit]
    return {
        "kind": f"{kind.name}List",
        "apiVersion": kind.api_version,
        "metadata": metadata,
        "items": items if kind.custom else [_untyped(obj) for obj in items],
    }


def _untyped(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in {"apiVersion", "kind"}}


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit") or "0"
    if not text.isdigit():
        raise bad_request(f"strconv.ParseInt: parsing {text!r}: invalid syntax")
    return int(text)


def _token(version: int, place: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps([version, *place]).encode()).decode()


def _read_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        version, namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        raise bad_request("continue key is not valid") from None
    return version, (namespace, name)
