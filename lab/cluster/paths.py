"""From a request path to what is meant by it."""

from dataclasses import dataclass

from lab.cluster.errors import ApiError, not_found, not_supported, unknown_path
from lab.cluster.kinds import Kind, Kinds

_OFFICIAL = (".k8s.io", "apps", "batch", "autoscaling", "policy", "extensions")
_SUBRESOURCES = {"status", "finalize", "log"}


@dataclass(frozen=True)
class Target:
    """A collection, an object (`name`), or a part of an object (`subresource`)."""

    kind: Kind
    namespace: str | None = None
    name: str | None = None
    subresource: str | None = None


def parse(path: str, kinds: Kinds) -> Target:
    """Return what a path below /api/v1 or /apis/GROUP/VERSION means.

    Raises:
        ApiError: 404 for what no server serves, 501 for what a real one does and this one not.
    """
    steps = [step for step in path.split("/") if step]
    if steps[0] == "api":
        group, version, rest = "", steps[1], steps[2:]
    else:
        group, version, rest = steps[1], steps[2], steps[3:]
    namespace = None
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    kind = kinds.find(group, version, rest[0])
    if kind is None:
        raise _unserved(group, version, rest[0])
    if namespace is not None and not kind.namespaced:
        raise unknown_path()
    name = rest[1] if len(rest) > 1 else None
    subresource = "/".join(rest[2:]) or None
    _check_subresource(kind, subresource)
    if name and kind.namespaced and namespace is None:
        raise not_found(kind, name)
    return Target(kind, namespace, name, subresource)


def _check_subresource(kind: Kind, subresource: str | None) -> None:
    if subresource is None:
        return
    fits = {
        "status": kind.status,
        "log": kind.name == "Pod",
        "finalize": kind.name == "Namespace",
    }
    if kind.custom and not fits.get(subresource):
        raise unknown_path()
    if not fits.get(subresource):
        raise not_supported(f"the subresource {kind.plural}/{subresource}")


def _unserved(group: str, version: str, plural: str) -> ApiError:
    if not group or group.endswith(_OFFICIAL):
        place = f"{group}/{version}" if group else version
        return not_supported(f"the resource {plural} in {place}")
    return unknown_path()
