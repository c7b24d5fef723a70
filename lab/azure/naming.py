"""Names and resource ids: case-insensitive to look up, as written to show."""

import re
from collections.abc import Iterator, MutableMapping
from typing import Generic, TypeVar

from lab.azure.errors import ArmError, refused

PROVIDER = "Microsoft.ContainerRegistry"
_RULES = {
    "registries": re.compile(r"[a-zA-Z0-9-]{5,50}"),
    "connectedRegistries": re.compile(r"[a-zA-Z0-9]{5,50}"),
    "scopeMaps": re.compile(r"[a-zA-Z0-9_-]{5,50}"),
    "tokens": re.compile(r"[a-zA-Z0-9-]{5,50}"),
}
_CHILD_ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)"
    r"/providers/microsoft\.containerregistry/registries/(?P<registry>[^/]+)"
    r"/(?P<kind>[^/]+)/(?P<name>[^/]+)/?",
    re.IGNORECASE,
)
Item = TypeVar("Item")


class Names(MutableMapping[str, Item], Generic[Item]):
    """A mapping in creation order whose keys do not care about case."""

    def __init__(self) -> None:
        """Start empty."""
        self._items: dict[str, tuple[str, Item]] = {}

    def __getitem__(self, name: str) -> Item:
        return self._items[name.lower()][1]

    def __setitem__(self, name: str, item: Item) -> None:
        self._items[name.lower()] = (name, item)

    def __delitem__(self, name: str) -> None:
        del self._items[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self._items.values()])

    def __len__(self) -> int:
        return len(self._items)


def check_name(kind: str, name: str) -> None:
    """Refuse a name that the specification's pattern for `kind` does not allow."""
    rule = _RULES[kind]
    if not rule.fullmatch(name):
        raise refused("InvalidName", f"'{name}' is no name for {kind}: expected {rule.pattern}.")


def name_in_id(resource_id: object, registry_id: str, kind: str) -> str:
    """Return the name at the end of `resource_id`, which must be a `kind` of this registry."""
    if not isinstance(resource_id, str):
        raise refused("InvalidResourceId", f"Expected the id of one of the {kind}, not null.")
    match = _CHILD_ID.fullmatch(resource_id)
    if match is None or match["kind"].lower() != kind.lower():
        raise refused("InvalidResourceId", f"'{resource_id}' is not the id of one of the {kind}.")
    if not resource_id.lower().startswith(registry_id.lower() + "/"):
        raise refused("InvalidResourceId", f"'{resource_id}' belongs to another registry.")
    return match["name"]


def missing_property(name: str) -> ArmError:
    """Return the refusal of a body without a required property."""
    return refused("MissingProperty", f"The property '{name}' is required.")
