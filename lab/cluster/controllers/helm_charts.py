"""K3s' helm-controller: HelmCharts become jobs, jobs become releases."""

from collections.abc import Iterable

from lab.cluster.controllers.conditions import has_condition
from lab.cluster.controllers.events import Recorder
from lab.cluster.controllers.interface import Api, Event, Key, is_ending, key_of
from lab.cluster.errors import ApiError
from lab.cluster.helm.chart_job import (
    ChartJob,
    ChartSources,
    build,
    helper_names,
    job_name,
    target_namespace,
    values_secrets,
)
from lab.cluster.helm.releases import CONFIG_HASH, read_releases
from lab.cluster.kinds import Object

_FINALIZER = "wrangler.cattle.io/on-helm-chart-remove"
_MANAGED_BY = "helmcharts.cattle.io/managed-by"
_UNMANAGED = "helmcharts.helm.cattle.io/unmanaged"
_GAVE_UP = "Job has reached configured number of retries without succeeding"


class HelmCharts:
    """Keeps one job per HelmChart whose hash is the hash of all it depends on."""

    def __init__(self, api: Api, recorder: Recorder) -> None:
        """Work on `api`."""
        self._api = api
        self._recorder = recorder
        self._watched: dict[Key, set[Key]] = {}

    def keys(self, event: Event) -> Iterable[Key]:
        """Look at HelmCharts, their configs, jobs and values Secrets."""
        if event.kind in {"HelmChart", "HelmChartConfig"}:
            yield event.key
        elif event.kind == "Job":
            owners = event.object["metadata"].get("ownerReferences", ())
            yield from [(event.key[0], o["name"]) for o in owners if o["kind"] == "HelmChart"]
        elif event.kind == "Secret":
            yield from [key for key, names in self._watched.items() if event.key in names]

    async def reconcile(self, key: Key) -> float | None:
        """Install, upgrade or uninstall, whatever is due."""
        chart = await self._api.find("HelmChart", *key)
        if chart is None or _UNMANAGED in chart["metadata"].get("annotations", {}):
            self._watched.pop(key, None)
            return None
        if not chart.get("spec", {}).get("chart"):
            return None
        if is_ending(chart):
            return await self._remove(chart)
        if await self._claim(chart):
            return None
        wanted = build(await self._sources(chart))
        job = await self._api.find("Job", key[0], wanted.name)
        if job is None:
            await self._start(chart, wanted)
            return None
        return await self._follow(chart, wanted, job)

    async def _claim(self, chart: Object) -> bool:
        """Mark a new HelmChart as ours; returns whether that was needed."""
        metadata = chart["metadata"]
        finalizers = metadata.setdefault("finalizers", [])
        annotations = metadata.setdefault("annotations", {})
        if _FINALIZER in finalizers and _MANAGED_BY in annotations:
            return False
        annotations[_MANAGED_BY] = "helm-controller"
        if _FINALIZER not in finalizers:
            finalizers.append(_FINALIZER)
        await self._api.update(chart)
        return True

    async def _sources(self, chart: Object) -> ChartSources:
        namespace, name = key_of(chart)
        config = await self._api.find("HelmChartConfig", namespace, name)
        names = [
            entry["name"]
            for obj in (chart, config)
            for entry in values_secrets(obj)
            if not entry.get("ignoreUpdates")
        ]
        self._watched[(namespace, name)] = {(namespace, item) for item in names}
        found = [await self._api.find("Secret", namespace, item) for item in names]
        return ChartSources(chart, config, tuple(secret for secret in found if secret))

    async def _start(self, chart: Object, wanted: ChartJob) -> None:
        for helper in (*wanted.helpers, wanted.job):
            await self._put(helper)
        where = f"{chart['metadata']['namespace']}/{wanted.name}"
        words = f"Applying HelmChart using Job {where}"
        await self._write_status(chart, wanted.name, words, failed=False)
        await self._recorder.normal(chart, "ApplyJob", words)

    async def _put(self, obj: Object) -> None:
        metadata = obj["metadata"]
        found = await self._api.find(obj["kind"], metadata.get("namespace"), metadata["name"])
        if found is None:
            await self._api.create(obj)
        elif obj["kind"] != "Job":
            await self._api.update(obj)

    async def _follow(self, chart: Object, wanted: ChartJob, job: Object) -> float | None:
        if is_ending(job):
            return None
        annotations = job["spec"]["template"]["metadata"]["annotations"]
        same = annotations[CONFIG_HASH] == _annotation(wanted)
        if has_condition(job, "Complete"):
            releases = await read_releases(
                self._api, target_namespace(chart), chart["metadata"]["name"]
            )
            last = releases[-1] if releases else None
            same = bool(last) and last is not None and last.config_hash == wanted.config_hash
            same = same and last is not None and last.status == "deployed"
        elif same and has_condition(job, "Failed"):
            where = f"{chart['metadata']['namespace']}/{wanted.name}"
            words = f"Applying HelmChart using Job {where}"
            await self._write_status(chart, wanted.name, words, failed=True)
        if same:
            return None
        await self._api.delete(
            "Job", key_of(job)[0], key_of(job)[1], {"propagationPolicy": "Foreground"}
        )
        return 0.05

    async def _write_status(self, chart: Object, job: str, words: str, *, failed: bool) -> None:
        failure: Object = {"type": "Failed", "status": "False"}
        if failed:
            failure = {
                "type": "Failed",
                "status": "True",
                "reason": "Job failed",
                "message": _GAVE_UP,
            }
        created = {"type": "JobCreated", "status": "True", "reason": "Job created"}
        status = {"jobName": job, "conditions": [created | {"message": words}, failure]}
        fresh = await self._api.find("HelmChart", *key_of(chart))
        if fresh is None or fresh.get("status") == status:
            return
        await self._api.update_status(fresh | {"status": status})
        if failed:
            await self._recorder.warning(fresh, "JobFailed", _GAVE_UP)

    async def _remove(self, chart: Object) -> float | None:
        namespace = chart["metadata"]["namespace"]
        if _FINALIZER not in chart["metadata"].get("finalizers", ()):
            return None
        job = await self._api.find("Job", namespace, job_name(chart))
        if job is not None and not has_condition(job, "Complete"):
            return None
        if job is None and await self._start_removal(chart):
            return None
        for kind, place, name in helper_names(chart):
            await self._api.delete(kind, place, name, {"propagationPolicy": "Background"})
        chart["metadata"]["finalizers"].remove(_FINALIZER)
        await self._api.update(chart)
        return None

    async def _start_removal(self, chart: Object) -> bool:
        """Start the delete job; False when its namespace is on its way out, which forbids it."""
        wanted = build(ChartSources(chart, None, ()))
        namespace, name = key_of(chart)
        await self._api.delete(
            "Job", namespace, f"helm-install-{name}", {"propagationPolicy": "Background"}
        )
        try:
            for obj in (*wanted.helpers, wanted.job):
                await self._put(obj)
        except ApiError as error:
            if error.code == 403:
                return False
            raise
        return True


def _annotation(wanted: ChartJob) -> str:
    annotations = wanted.job["spec"]["template"]["metadata"]["annotations"]
    found: str = annotations[CONFIG_HASH]
    return found
