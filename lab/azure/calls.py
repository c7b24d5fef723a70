"""One request to ARM and its answer, apart from HTTP."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from lab.azure.errors import ArmError, not_found, refused
from lab.azure.naming import Item, Names
from lab.azure.state import Cloud, ConnectedRegistry, Group, Registry, ScopeMap, Token
from lab.clock import Clock
from lab.faults import Fault


@dataclass
class Answer:
    """What goes back: a status, a JSON body (None for an empty one) and headers."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """A request whose login and api-version were checked.

    `args` are the names in the path, `host` is where the caller reached ARM.
    """

    cloud: Cloud
    clock: Clock
    host: str
    path: str
    args: dict[str, str]
    version: str
    query: dict[str, str]
    body: dict[str, Any]
    faults: list[Fault] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        """The lab's time."""
        return self.clock.now()

    def lab_seconds(self, seconds: float) -> timedelta:
        """Return how long `seconds` of the lab last on its clock."""
        return timedelta(seconds=self.clock.real_seconds(timedelta(seconds=seconds)))

    def fault(self, kind: str) -> Fault | None:
        """Return the ordered fault of this kind, if there is one."""
        return next((fault for fault in self.faults if fault.kind == kind), None)

    def subscription(self) -> str:
        """Return the subscription in the path; another than ours does not exist."""
        name = self.args["subscription"]
        if name.lower() != self.cloud.subscription:
            message = f"The subscription '{name}' could not be found."
            raise ArmError(404, "SubscriptionNotFound", message)
        return self.cloud.subscription

    def group(self) -> Group:
        """Return the resource group in the path."""
        self.subscription()
        name = self.args["group"]
        if name not in self.cloud.groups:
            message = f"Resource group '{name}' could not be found."
            raise ArmError(404, "ResourceGroupNotFound", message)
        return self.cloud.groups[name]

    def find_registry(self) -> Registry | None:
        """Return the registry in the path, or None when the group has no such registry."""
        group = self.group()
        registry = self.cloud.registries.get(self.args["registry"])
        return registry if registry and registry.group == group.name else None

    def registry(self) -> Registry:
        """Return the registry in the path."""
        registry = self.find_registry()
        if registry is None:
            raise not_found(self.args["registry"])
        return registry

    def scope_map(self) -> ScopeMap:
        """Return the scope map in the path."""
        return _item(self.registry().scope_maps, self.args["name"])

    def token(self) -> Token:
        """Return the token in the path."""
        return _item(self.registry().tokens, self.args["name"])

    def connected(self) -> ConnectedRegistry:
        """Return the connected registry in the path."""
        return _item(self.registry().connected, self.args["name"])

    def properties(self) -> dict[str, Any]:
        """Return the `properties` of the body."""
        properties = self.body.get("properties") or {}
        if not isinstance(properties, dict):
            raise ArmError(400, "InvalidRequestContent", "'properties' is not a JSON object.")
        return properties


def page(call: Call, items: list[Any]) -> Answer:
    """Answer one page of a list, with a nextLink when there are more."""
    token = call.query.get("$skiptoken", "0")
    if not token.isdecimal():
        raise refused("InvalidSkipToken", f"'{token}' is not a token of a list that came in pages.")
    start = int(token)
    end = start + call.cloud.page_size
    body: dict[str, Any] = {"value": items[start:end]}
    if end < len(items):
        kept = {key: value for key, value in call.query.items() if key == "$filter"}
        query = urlencode({"api-version": call.version, "$skiptoken": end} | kept, safe="$")
        body["nextLink"] = f"https://{call.host}{quote(call.path)}?{query}"
    return Answer(200, body)


def _item(items: Names[Item], name: str) -> Item:
    if name not in items:
        raise not_found(name)
    return items[name]
