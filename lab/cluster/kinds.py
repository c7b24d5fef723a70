"""The kinds this API serves: names, scope, and what is special about each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One resource type of the API.

    `returned_on_delete` marks kinds whose DELETE answers with the object instead of a Status, and
    `unconditional` those that may be replaced without a resourceVersion; both as seen on a real
    API server.
    """

    group: str
    version: str
    name: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    status: bool = False
    generation: bool = False
    returned_on_delete: bool = False
    unconditional: bool = True
    schema: Object | None = field(default=None, compare=False, hash=False)

    @property
    def custom(self) -> bool:
        """Return whether a CustomResourceDefinition made this kind."""
        return self.schema is not None

    @property
    def api_version(self) -> str:
        """Return for example `v1` or `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """Return the plural with its group, the way error texts name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified(self) -> str:
        """Return the kind with its group, the way validation errors name it."""
        return f"{self.name}.{self.group}" if self.group else self.name

    @property
    def verbs(self) -> list[str]:
        """Return what discovery says may be done."""
        return ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


BUILT_IN = (
    Kind("", "v1", "Namespace", "namespaces", False, ("ns",), True),
    Kind("", "v1", "Secret", "secrets"),
    Kind("", "v1", "ServiceAccount", "serviceaccounts", True, ("sa",), returned_on_delete=True),
    Kind("", "v1", "Service", "services", True, ("svc",), True),
    Kind("", "v1", "Endpoints", "endpoints", True, ("ep",)),
    Kind("", "v1", "Pod", "pods", True, ("po",), True, returned_on_delete=True),
    Kind("", "v1", "Event", "events", True, ("ev",)),
    Kind("", "v1", "Node", "nodes", False, ("no",), True),
    Kind(
        "",
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        True,
        ("pvc",),
        True,
        returned_on_delete=True,
    ),
    Kind(
        "",
        "v1",
        "PersistentVolume",
        "persistentvolumes",
        False,
        ("pv",),
        True,
        returned_on_delete=True,
    ),
    Kind("", "v1", "ConfigMap", "configmaps", True, ("cm",)),
    Kind("apps", "v1", "Deployment", "deployments", True, ("deploy",), True, True),
    Kind("apps", "v1", "ReplicaSet", "replicasets", True, ("rs",), True, True),
    Kind("batch", "v1", "Job", "jobs", True, (), True, True),
    Kind("coordination.k8s.io", "v1", "Lease", "leases", unconditional=False),
    Kind("rbac.authorization.k8s.io", "v1", "Role", "roles"),
    Kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
    Kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", False),
    Kind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", False),
    Kind(
        "storage.k8s.io",
        "v1",
        "StorageClass",
        "storageclasses",
        False,
        ("sc",),
        returned_on_delete=True,
    ),
    Kind(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        False,
        ("crd", "crds"),
        True,
        True,
        unconditional=False,
    ),
)


class Kinds:
    """The kinds of one cluster; custom resource definitions add to them."""

    def __init__(self) -> None:
        """Start with the built-in kinds."""
        self._by_resource = {(kind.group, kind.version, kind.plural): kind for kind in BUILT_IN}
        self._by_name = {kind.name: kind for kind in BUILT_IN}

    def __iter__(self) -> Iterator[Kind]:
        """Iterate over all kinds."""
        return iter(self._by_resource.values())

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """Return the kind behind a path, or None."""
        return self._by_resource.get((group, version, plural))

    def named(self, name: str) -> Kind:
        """Return the kind of this name; KeyError when the cluster has none."""
        return self._by_name[name]

    def has(self, name: str) -> bool:
        """Return whether the cluster knows a kind of this name."""
        return name in self._by_name

    def add_definition(self, definition: Object) -> None:
        """Serve the kinds that a CustomResourceDefinition describes."""
        for kind in _kinds_of(definition):
            self._by_resource[(kind.group, kind.version, kind.plural)] = kind
            self._by_name[kind.name] = kind

    def remove_definition(self, definition: Object) -> None:
        """Stop serving the kinds of a CustomResourceDefinition."""
        for kind in _kinds_of(definition):
            self._by_resource.pop((kind.group, kind.version, kind.plural), None)
            self._by_name.pop(kind.name, None)


def _kinds_of(definition: Object) -> Iterator[Kind]:
    spec = definition["spec"]
    names = spec["names"]
    for version in spec["versions"]:
        if version.get("served"):
            yield Kind(
                spec["group"],
                version["name"],
                names["kind"],
                names["plural"],
                spec["scope"] == "Namespaced",
                tuple(names.get("shortNames", ())),
                status="status" in version.get("subresources", {}),
                generation=True,
                unconditional=False,
                schema=version.get("schema", {}).get("openAPIV3Schema", {}),
            )
