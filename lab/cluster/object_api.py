"""What a Kubernetes API server does with objects, without the HTTP around it."""

from collections.abc import Callable
from typing import Any

from lab.clock import Clock
from lab.cluster import errors
from lab.cluster.admission import admit, refuse_in_ending_namespace
from lab.cluster.defaults import apply_defaults
from lab.cluster.kinds import Kind, Kinds, Object
from lab.cluster.metadata import checked_metadata, metadata_errors, new_metadata, timestamp
from lab.cluster.schemas import conform
from lab.cluster.service_addresses import ServiceAddresses
from lab.cluster.store import Store, clone
from lab.cluster.validation import errors_of, update_errors

_KEPT = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)
_FOREGROUND = "foregroundDeletion"
_ORPHAN = "orphan"


class ObjectApi:
    """Creates, replaces and deletes objects under the rules of Kubernetes."""

    def __init__(self, clock: Clock, service_cidr: str) -> None:
        """Make an API without objects."""
        self.clock = clock
        self.kinds = Kinds()
        self.store = Store()
        self.addresses = ServiceAddresses(service_cidr)

    def read(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """Return an object; ApiError 404 when it is not there. Do not change what you get."""
        found = self.store.find(kind, namespace, name)
        if found is None:
            raise errors.not_found(kind, name)
        return found

    def create(
        self, kind: Kind, namespace: str | None, given: Object, dry_run: bool = False
    ) -> Object:
        """Create an object and return it.

        Raises:
            ApiError: 400, 403, 404 (no such namespace), 409 AlreadyExists or 422.
        """
        obj = self._typed(kind, given)
        obj["metadata"] = new_metadata(kind, obj.get("metadata"), namespace, self.clock.now())
        name = obj["metadata"]["name"]
        if kind.namespaced:
            refuse_in_ending_namespace(self, kind, namespace, name)
        if kind.custom and kind.status:
            obj.pop("status", None)
        self._complete(kind, obj)
        admit(self, kind, obj)
        self._check(kind, obj)
        if kind.name == "Service":
            self.addresses.assign(kind, obj, self.store.each(kind))
        if self.store.find(kind, namespace, name):
            raise errors.already_exists(kind, name)
        if dry_run:
            return obj
        if kind.name == "CustomResourceDefinition":
            self.kinds.add_definition(obj)
        return self.store.put(kind, obj)

    def replace(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        given: Object,
        *,
        status: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Replace an object, or only its status, and return it.

        Raises:
            ApiError: 404, 409 Conflict for a stale resourceVersion or another uid, or 422.
        """
        old = self.read(kind, namespace, name)
        new = self._typed(kind, given)
        new["metadata"] = checked_metadata(new.get("metadata"))
        self._check_identity(kind, name, old, new)
        if status:
            new = old | {"status": new.get("status", {})}
            new["metadata"] = dict(old["metadata"])
            if kind.custom:
                self._complete(kind, new)
        else:
            self._keep(kind, old, new)
            self._complete(kind, new)
            self._check(kind, new)
            problems = update_errors(kind, old, new)
            if problems:
                raise errors.invalid(kind, name, problems)
        return self._save(kind, old, new, dry_run)

    def change(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        edit: Callable[[Object], Object],
        *,
        status: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Patch an object: `edit` gets it and returns what it should be."""
        old = self.read(kind, namespace, name)
        new = edit(clone(old))
        uid = (new.get("metadata") or {}).get("uid", old["metadata"]["uid"])
        if uid != old["metadata"]["uid"]:
            error = errors.FieldError("metadata.uid", "field is immutable", f'"{uid}"')
            raise errors.invalid(kind, name, [error])
        return self.replace(kind, namespace, name, new, status=status, dry_run=dry_run)

    def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        options: Object | None = None,
        dry_run: bool = False,
    ) -> tuple[Object, bool]:
        """Delete an object, or mark it when finalizers hold it.

        Returns:
            The object as it was last, and whether it is gone.

        Raises:
            ApiError: 404, or 409 when a precondition does not hold.
        """
        options = options or {}
        obj = clone(self.read(kind, namespace, name))
        metadata = obj["metadata"]
        for field, wanted in (options.get("preconditions") or {}).items():
            if wanted and metadata[field] != wanted:
                raise errors.precondition_failed(kind, name, field, wanted, metadata[field])
        held = self._finalizers_for(kind, metadata, options)
        ending = kind.name == "Pod" and _runs(obj) and options.get("gracePeriodSeconds") != 0
        if "deletionTimestamp" in metadata and (held or ending):
            return obj, False
        if not held and not ending:
            return (obj if dry_run else self._drop(kind, obj)), True
        metadata["finalizers"] = [item for item in held if item != "kubernetes"]
        if not metadata["finalizers"]:
            del metadata["finalizers"]
        metadata["deletionTimestamp"] = timestamp(self.clock.now())
        metadata["deletionGracePeriodSeconds"] = 0
        if kind.name == "Namespace":
            obj["status"]["phase"] = "Terminating"
        return (obj if dry_run else self.store.put(kind, obj)), False

    def drop_if_released(self, kind: Kind, obj: Object) -> Object:
        """Remove an object that is marked for deletion once nothing holds it any more."""
        metadata = obj["metadata"]
        held = metadata.get("finalizers") or obj.get("spec", {}).get("finalizers")
        if "deletionTimestamp" in metadata and not held:
            return self._drop(kind, obj)
        return obj

    def _drop(self, kind: Kind, obj: Object) -> Object:
        if kind.name == "CustomResourceDefinition":
            self.kinds.remove_definition(obj)
        return self.store.remove(kind, obj)

    def _typed(self, kind: Kind, given: Any) -> Object:
        if not isinstance(given, dict):
            raise errors.bad_request("couldn't get version/kind; json parse error: not an object")
        obj: Object = clone(given)
        have = (obj.get("apiVersion") or kind.api_version, obj.get("kind") or kind.name)
        if have != (kind.api_version, kind.name):
            raise errors.bad_request(
                f'{have[1]} in version "{have[0]}" cannot be handled as a {kind.name}: '
                f"no kind {have[1]} is registered for {kind.api_version}"
            )
        return {"apiVersion": kind.api_version, "kind": kind.name} | {
            key: value for key, value in obj.items() if value is not None
        }

    def _complete(self, kind: Kind, obj: Object) -> None:
        if not kind.custom:
            apply_defaults(kind, obj)
            return
        problems = conform(kind.schema or {}, obj)
        if problems:
            raise errors.invalid(kind, obj["metadata"]["name"], problems)

    def _check(self, kind: Kind, obj: Object) -> None:
        problems = metadata_errors(obj["metadata"])
        if not kind.custom:
            problems += errors_of(kind, obj)
        if problems:
            raise errors.invalid(kind, obj["metadata"]["name"], problems)

    def _check_identity(self, kind: Kind, name: str, old: Object, new: Object) -> None:
        have, given = old["metadata"], new["metadata"]
        if given.get("name", name) != name:
            raise errors.bad_request(
                f"the name of the object ({given['name']}) does not match the name on the URL "
                f"({name})"
            )
        version = given.get("resourceVersion")
        if not version and not kind.unconditional:
            error = errors.FieldError(
                "metadata.resourceVersion", "must be specified for an update", "0x0"
            )
            raise errors.invalid(kind, name, [error])
        if version and version != have["resourceVersion"]:
            raise errors.modified(kind, name)
        uid = given.get("uid")
        if uid and uid != have["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
            raise errors.conflict(kind, name, why + have["uid"])

    def _keep(self, kind: Kind, old: Object, new: Object) -> None:
        kept = {field: old["metadata"][field] for field in _KEPT if field in old["metadata"]}
        own = {key: value for key, value in new["metadata"].items() if key not in _KEPT}
        new["metadata"] = own | kept
        if kind.status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        if kind.name == "Service" and new.get("spec"):
            for field in ("clusterIP", "clusterIPs"):
                if not new["spec"].get(field) and field in old["spec"]:
                    new["spec"][field] = old["spec"][field]

    def _save(self, kind: Kind, old: Object, new: Object, dry_run: bool) -> Object:
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if kind.generation and new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        if new == old:
            return old
        if dry_run:
            return new
        if kind.name == "CustomResourceDefinition":
            self.kinds.remove_definition(old)
            self.kinds.add_definition(new)
        return self.drop_if_released(kind, self.store.put(kind, new))

    def _finalizers_for(self, kind: Kind, metadata: Object, options: Object) -> list[str]:
        held = list(metadata.get("finalizers", ()))
        policy = options.get("propagationPolicy")
        if options.get("orphanDependents"):
            policy = "Orphan"
        if policy == "Foreground":
            held.append(_FOREGROUND)
        elif policy == "Orphan":
            held.append(_ORPHAN)
        if kind.name == "Namespace":
            held.append("kubernetes")
        return held


def _runs(pod: Object) -> bool:
    finished = pod["status"].get("phase") in {"Succeeded", "Failed"}
    return bool(pod["spec"].get("nodeName")) and not finished
