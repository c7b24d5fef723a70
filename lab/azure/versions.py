"""The api-versions that ARM and the provider know (connected-registry.md, section 1.1)."""

from lab.azure.errors import ArmError

PREVIEW = "2026-09-01-preview"
CHILD_KINDS = ("connectedRegistries", "scopeMaps", "tokens")
_PROVIDER = frozenset({"2025-09-01-preview", "2025-11-01", PREVIEW})
_NEWER = _PROVIDER | {"2026-11-01"}
_RESOURCES = frozenset(
    {
        "2015-01-01", "2016-06-01", "2018-02-01", "2019-05-01", "2019-10-01", "2020-01-01",
        "2020-06-01", "2020-10-01", "2021-01-01", "2021-04-01", "2022-01-01", "2022-09-01",
        "2022-12-01", "2023-07-01", "2024-03-01", "2024-07-01", "2024-11-01", "2025-03-01",
        "2025-04-01",
    }
)  # fmt: skip


def versions_of(kind: str) -> frozenset[str]:
    """Return the api-versions for `registries`, one of its children, or else for ARM itself."""
    if kind in ("scopeMaps", "tokens"):
        return _NEWER
    if kind in ("registries", "connectedRegistries", "operations"):
        return _PROVIDER if kind != "operations" else _NEWER
    if kind == "resync":
        return frozenset({PREVIEW})
    return _RESOURCES


def check_version(kind: str, version: str | None) -> str:
    """Return the api-version when `kind` knows it, or refuse as ARM does."""
    if not version:
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise ArmError(400, "MissingApiVersionParameter", message)
    known = versions_of(kind)
    if version in known:
        return version
    supported = ", ".join(sorted(known))
    if known is _RESOURCES:
        message = (
            f"The api-version '{version}' is invalid. The supported versions are '{supported}'."
        )
        raise ArmError(400, "InvalidApiVersionParameter", message)
    message = (
        f"No registered resource provider found for API version '{version}' for type '{kind}'. "
        f"The supported api-versions are '{supported}'."
    )
    raise ArmError(400, "NoRegisteredProviderFound", message)
