"""helm install, upgrade and uninstall against a cluster's API."""

from collections.abc import Callable
from datetime import datetime

from lab.cluster.controllers.interface import Api
from lab.cluster.errors import ApiError
from lab.cluster.helm.charts import DEFAULTS, SCHEMA, ChartNotFoundError, find_chart
from lab.cluster.helm.releases import Release, forget_releases, read_releases, write_release
from lab.cluster.helm.values import Values, merge, schema_errors
from lab.cluster.kinds import Object
from lab.cluster.patches import merged_with

_NAME = "meta.helm.sh/release-name"
_NAMESPACE = "meta.helm.sh/release-namespace"


class HelmError(Exception):
    """What helm prints after `Error:`."""


class Helm:
    """Helm 3 as far as the lab's chart needs it: no hooks, no waiting, no dependencies."""

    def __init__(self, api: Api, now: Callable[[], datetime]) -> None:
        """Work on `api`."""
        self._api = api
        self._now = now

    async def history(self, namespace: str, name: str) -> list[Release]:
        """Return all revisions of a release, oldest first."""
        return await read_releases(self._api, namespace, name)

    async def deploy(
        self,
        release: Release,
        reference: str,
        *,
        create_namespace: bool = False,
        take_ownership: bool = False,
    ) -> None:
        """Install or upgrade a release and record the outcome.

        Raises:
            HelmError: With helm's words; a record with status `failed` stays behind when objects
                were refused.
        """
        history = await self.history(release.namespace, release.name)
        verb = "UPGRADE" if history else "INSTALLATION"
        try:
            objects = _rendered(release, reference)
            await self._ensure_namespace(release.namespace, create_namespace)
            if not history and not take_ownership:
                await self._refuse_foreign(release, objects)
        except (ChartNotFoundError, ApiError, HelmError) as error:
            raise HelmError(f"{verb} FAILED: {error}") from None
        release.revision = history[-1].revision + 1 if history else 1
        release.objects = objects
        before = next((r for r in reversed(history) if r.status == "deployed"), None)
        try:
            await self._apply(before.objects if before else [], objects)
        except ApiError as error:
            release.status = "failed"
            await write_release(self._api, release, self._now())
            raise HelmError(f"{verb} FAILED: 1 error occurred:\n\t* {error}\n") from None
        await self._record(history, release)

    async def uninstall(self, namespace: str, name: str) -> bool:
        """Delete a release's objects and records; returns whether there was one."""
        history = await self.history(namespace, name)
        for release in history[-1:]:
            for obj in reversed(release.objects):
                metadata = obj["metadata"]
                await self._api.delete(obj["kind"], metadata["namespace"], metadata["name"])
        await forget_releases(self._api, history, keep=0)
        return bool(history)

    async def _record(self, history: list[Release], release: Release) -> None:
        for old in history:
            if old.status == "deployed":
                old.status = "superseded"
                await write_release(self._api, old, self._now())
        release.status = "deployed"
        await write_release(self._api, release, self._now())
        await forget_releases(self._api, [*history, release])

    async def _ensure_namespace(self, name: str, create: bool) -> None:
        if await self._api.find("Namespace", None, name) is not None:
            return
        if not create:
            raise HelmError(f'create: failed to create: namespaces "{name}" not found')
        await self._api.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )

    async def _refuse_foreign(self, release: Release, objects: list[Object]) -> None:
        for obj in objects:
            metadata = obj["metadata"]
            found = await self._api.find(obj["kind"], metadata["namespace"], metadata["name"])
            marks = (found or {}).get("metadata", {}).get("annotations", {})
            if found is not None and marks.get(_NAME) != release.name:
                raise HelmError(
                    f'Unable to continue with install: {obj["kind"]} "{metadata["name"]}" in '
                    f'namespace "{metadata["namespace"]}" exists and cannot be imported into the '
                    "current release: invalid ownership metadata; annotation validation error: "
                    f'missing key "{_NAME}": must be set to "{release.name}"'
                )

    async def _apply(self, old: list[Object], new: list[Object]) -> None:
        wanted = {_mark(obj) for obj in new}
        for obj in new:
            await self._apply_one(obj)
        for obj in old:
            if _mark(obj) not in wanted:
                metadata = obj["metadata"]
                await self._api.delete(obj["kind"], metadata["namespace"], metadata["name"])

    async def _apply_one(self, obj: Object) -> None:
        metadata = obj["metadata"]
        found = await self._api.find(obj["kind"], metadata["namespace"], metadata["name"])
        if found is None:
            await self._api.create(obj)
        else:
            await self._api.update(merged_with(found, obj))


def full_values(release: Release) -> Values:
    """Return the chart's defaults with what the user set laid on them."""
    return merge(DEFAULTS, release.config)


def _rendered(release: Release, reference: str) -> list[Object]:
    chart = find_chart(reference, release.chart_version)
    release.chart_version = chart.version
    values = full_values(release)
    wrong = schema_errors(SCHEMA, values)
    if wrong:
        listed = "".join(f"\n- {line}" for line in wrong)
        raise HelmError(
            "values don't meet the specifications of the schema(s) in the following chart(s):\n"
            f"connected-registry:{listed}\n"
        )
    objects = chart.render(release.name, release.namespace, values)
    for obj in objects:
        obj["metadata"]["annotations"] = {_NAME: release.name, _NAMESPACE: release.namespace}
    return objects


def _mark(obj: Object) -> tuple[str, str]:
    return obj["kind"], obj["metadata"]["name"]
