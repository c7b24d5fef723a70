"""Jobs: a pod until it succeeds, or until it has failed too often."""

from collections.abc import Iterable
from typing import Any

from lab.clock import Clock
from lab.cluster.controllers.conditions import has_condition, set_condition
from lab.cluster.controllers.events import Recorder
from lab.cluster.controllers.interface import (
    Api,
    Event,
    Key,
    is_ending,
    is_owned_by,
    owner_keys,
    owner_reference,
)
from lab.cluster.kinds import Object
from lab.cluster.metadata import random_suffix, timestamp
from lab.cluster.store import clone

_LIMIT_WORDS = "Job has reached the specified backoff limit"


class Jobs:
    """Runs a Job's pod.

    A Job that gives up deletes its running pod, as Kubernetes does when restartPolicy is OnFailure:
    the pod's log goes with it (kubernetes/website, concepts/workloads/controllers/job.md).
    """

    def __init__(self, api: Api, clock: Clock, recorder: Recorder) -> None:
        """Work on `api`."""
        self._api = api
        self._clock = clock
        self._recorder = recorder

    def keys(self, event: Event) -> Iterable[Key]:
        """Look at Jobs and at the owners of Pods."""
        if event.kind == "Job":
            yield event.key
        elif event.kind == "Pod":
            yield from owner_keys(event.object, "Job")

    async def reconcile(self, key: Key) -> float | None:
        """Start a pod, count, or finish."""
        job = await self._api.find("Job", *key)
        if job is None or is_ending(job) or _finished(job):
            return None
        pods = [pod for pod in await self._api.select("Pod", key[0]) if is_owned_by(pod, job)]
        if job["spec"].get("suspend"):
            await self._suspend(job, pods)
            return None
        active = [pod for pod in pods if _phase(pod) in {"Pending", "Running"}]
        failed = sum(_phase(pod) == "Failed" for pod in pods)
        status = self._counts(job, active, failed)
        if any(_phase(pod) == "Succeeded" for pod in pods):
            await self._complete(job, status)
        elif _exhausted(job, active, failed):
            await self._give_up(job, status, active)
        else:
            if not active:
                await self._create_pod(job)
                status["active"] = 1
            await self._write(job, status)
        return None

    def _counts(self, job: Object, active: list[Object], failed: int) -> Object:
        status = {key: clone(v) for key, v in job["status"].items() if key != "active"}
        status.setdefault("startTime", timestamp(self._clock.now()))
        counts = {
            "active": len(active),
            "failed": failed,
            "ready": sum(has_condition(pod, "Ready") for pod in active),
        }
        return status | {key: value for key, value in counts.items() if value or key == "ready"}

    async def _complete(self, job: Object, status: Object) -> None:
        now = self._clock.now()
        status |= {"succeeded": 1, "completionTime": timestamp(now)}
        set_condition(status, "Complete", "True", now, "CompletionsReached")
        await self._write(job, status)
        await self._recorder.normal(job, "Completed", "Job completed")

    async def _give_up(self, job: Object, status: Object, active: list[Object]) -> None:
        for pod in active:
            name = pod["metadata"]["name"]
            await self._api.delete("Pod", pod["metadata"]["namespace"], name)
            await self._recorder.normal(job, "SuccessfulDelete", f"Deleted pod: {name}")
        status["failed"] = status.get("failed", 0) + len(active)
        status.pop("active", None)
        now = self._clock.now()
        set_condition(status, "Failed", "True", now, "BackoffLimitExceeded", _LIMIT_WORDS)
        await self._write(job, status)
        await self._recorder.warning(job, "BackoffLimitExceeded", _LIMIT_WORDS)

    async def _suspend(self, job: Object, pods: list[Object]) -> None:
        for pod in pods:
            if _phase(pod) in {"Pending", "Running"}:
                await self._api.delete("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
        status = clone(job["status"])
        set_condition(
            status, "Suspended", "True", self._clock.now(), "JobSuspended", "Job suspended"
        )
        await self._write(job, status)

    async def _create_pod(self, job: Object) -> None:
        template: Any = clone(job["spec"]["template"])
        name = f"{job['metadata']['name']}-{random_suffix()}"
        metadata = template.get("metadata", {}) | {
            "name": name,
            "namespace": job["metadata"]["namespace"],
            "ownerReferences": [owner_reference(job)],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        await self._api.create(pod)
        await self._recorder.normal(job, "SuccessfulCreate", f"Created pod: {name}")

    async def _write(self, job: Object, status: Object) -> None:
        if status != job["status"]:
            await self._api.update_status(job | {"status": status})


def _finished(job: Object) -> bool:
    return has_condition(job, "Complete") or has_condition(job, "Failed")


def _phase(pod: Object) -> str:
    phase: str = pod["status"].get("phase", "Pending")
    return "" if is_ending(pod) and phase in {"Pending", "Running"} else phase


def _exhausted(job: Object, active: list[Object], failed: int) -> bool:
    """Return whether the backoff limit is reached: restarts count for OnFailure, pods for Never."""
    limit: int = job["spec"]["backoffLimit"]
    if job["spec"]["template"]["spec"]["restartPolicy"] == "Never":
        return failed > limit
    restarts: int = sum(
        container.get("restartCount", 0)
        for pod in active
        for container in pod["status"].get("containerStatuses", ())
    )
    return restarts >= max(limit, 1)
