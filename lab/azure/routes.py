"""Which path is answered by what: the table of the management plane."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lab.azure import (
    connected_registries,
    operations,
    registries,
    scope_maps,
    subscriptions,
    tokens,
)
from lab.azure.calls import Answer, Call
from lab.azure.errors import ArmError
from lab.azure.registries import Serve

Handler = Callable[[Call], Answer | Awaitable[Answer]]
_SUBSCRIPTION = "/subscriptions/{subscription}"
_GROUP = f"{_SUBSCRIPTION}/resourceGroups/{{group}}"
_PROVIDER = "/providers/Microsoft.ContainerRegistry"
_REGISTRY = f"{_GROUP}{_PROVIDER}/registries/{{registry}}"
_NOT_EMULATED = (
    "replications", "webhooks", "tasks", "runs", "agentPools", "taskRuns", "cacheRules",
    "credentialSets", "privateEndpointConnections", "privateLinkResources", "exportPipelines",
    "importPipelines", "pipelineRuns", "archives", "importImage", "listPolicies",
)  # fmt: skip


@dataclass(frozen=True)
class Route:
    """One path: the kind decides which api-versions it knows."""

    pattern: re.Pattern[str]
    kind: str
    methods: dict[str, Handler]


def make_routes(serve: Serve, stop: Serve) -> list[Route]:
    """Return the table; `serve` and `stop` open and close a registry's data plane."""
    return [*_resource_routes(), *_registry_routes(serve, stop), *_child_routes()]


def find_route(routes: list[Route], method: str, path: str) -> tuple[str, Handler, dict[str, str]]:
    """Return kind, handler and the names in the path, or refuse as ARM does."""
    for route in routes:
        match = route.pattern.fullmatch(path)
        if match is None:
            continue
        if method not in route.methods:
            message = f"The requested resource does not support http method '{method}'."
            raise ArmError(405, "MethodNotAllowed", message)
        return route.kind, route.methods[method], match.groupdict()
    missing = next((word for word in _NOT_EMULATED if f"/{word}".lower() in path.lower()), None)
    if missing:
        raise ArmError(501, "EmulatedNotImplemented", f"The lab does not emulate {missing}.")
    raise ArmError(404, "InvalidResourceType", f"The resource type of '{path}' is not known.")


def _resource_routes() -> list[Route]:
    providers = f"{_SUBSCRIPTION}/providers"
    one = f"{providers}/{{namespace}}"
    groups: dict[str, Handler] = {
        "GET": subscriptions.read_group,
        "HEAD": subscriptions.exists_group,
        "PUT": subscriptions.put_group,
    }
    return [
        _route("/tenants", "tenants", GET=subscriptions.list_tenants),
        _route("/subscriptions", "subscriptions", GET=subscriptions.list_subscriptions),
        _route(_SUBSCRIPTION, "subscriptions", GET=subscriptions.read_subscription),
        _route(f"{_SUBSCRIPTION}/resourceGroups", "groups", GET=subscriptions.list_groups),
        _route(_GROUP, "groups", **groups),
        _route(providers, "providers", GET=subscriptions.list_providers),
        _route(one, "providers", GET=subscriptions.read_provider),
        _route(f"{one}/register", "providers", POST=subscriptions.read_provider),
    ]


def _registry_routes(serve: Serve, stop: Serve) -> list[Route]:
    in_subscription = f"{_SUBSCRIPTION}{_PROVIDER}"
    one: dict[str, Handler] = {
        "GET": registries.read_registry,
        "PUT": registries.put_registry(serve),
        "PATCH": registries.patch_registry,
        "DELETE": registries.delete_registry(stop),
    }
    everywhere, here = f"{in_subscription}/registries", f"{_GROUP}{_PROVIDER}/registries"
    posts = {
        "generateCredentials": tokens.generate_credentials,
        "listCredentials": registries.refuse_admin,
        "regenerateCredential": registries.refuse_admin,
    }
    results = f"{in_subscription}/locations/{{location}}/operationResults/{{operation}}"
    available = f"{in_subscription}/checkNameAvailability"
    return [
        _route(everywhere, "registries", GET=registries.list_all_registries),
        _route(here, "registries", GET=registries.list_registries),
        _route(_REGISTRY, "registries", **one),
        _route(f"{_REGISTRY}/listUsages", "registries", GET=registries.list_usages),
        _route(available, "registries", POST=registries.check_name_availability),
        _route(results, "operations", GET=operations.read_operation),
        *(_route(f"{_REGISTRY}/{word}", "registries", POST=posts[word]) for word in posts),
    ]


def _child_routes() -> list[Route]:
    children: dict[str, tuple[Handler, dict[str, Handler]]] = {
        "connectedRegistries": (
            connected_registries.list_connected_registries,
            {
                "GET": connected_registries.read_connected_registry,
                "PUT": connected_registries.put_connected_registry,
                "PATCH": connected_registries.patch_connected_registry,
                "DELETE": connected_registries.delete_connected_registry,
            },
        ),
        "scopeMaps": (
            scope_maps.list_scope_maps,
            {
                "GET": scope_maps.read_scope_map,
                "PUT": scope_maps.put_scope_map,
                "PATCH": scope_maps.patch_scope_map,
                "DELETE": scope_maps.delete_scope_map,
            },
        ),
        "tokens": (
            tokens.list_tokens,
            {
                "GET": tokens.read_token,
                "PUT": tokens.put_token,
                "PATCH": tokens.patch_token,
                "DELETE": tokens.delete_token,
            },
        ),
    }
    one = f"{_REGISTRY}/connectedRegistries/{{name}}"
    status = "operationStatuses/{operation}"
    read = operations.read_operation
    routes = [
        _route(f"{_REGISTRY}/{status}", "operations", GET=read),
        _route(f"{one}/deactivate", "connectedRegistries", POST=connected_registries.deactivate),
        _route(f"{one}/resync", "resync", POST=connected_registries.resync),
    ]
    for kind, (listing, methods) in children.items():
        routes.append(_route(f"{_REGISTRY}/{kind}", kind, GET=listing))
        routes.append(_route(f"{_REGISTRY}/{kind}/{{name}}", kind, **methods))
        routes.append(_route(f"{_REGISTRY}/{kind}/{{name}}/{status}", "operations", GET=read))
    return routes


def _route(template: str, kind: str, **methods: Handler) -> Route:
    pattern = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
    return Route(re.compile(pattern + "/?", re.IGNORECASE), kind, methods)
