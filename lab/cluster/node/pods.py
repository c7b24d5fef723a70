"""A stand-in for scheduler and kubelets: gives pods a node and runs their programs."""

import asyncio
import random
from collections.abc import Callable, Iterable
from datetime import timedelta

from lab.clock import Clock
from lab.cluster.controllers.conditions import set_condition
from lab.cluster.controllers.events import Recorder
from lab.cluster.controllers.interface import Api, Event, Key, is_ending
from lab.cluster.kinds import Object
from lab.cluster.metadata import timestamp
from lab.cluster.node.containers import Container, Phase, Program
from lab.cluster.node.heartbeats import Nodes
from lab.cluster.node.needs import Lack, find_lack, unknown_claim
from lab.cluster.selection import matches_labels
from lab.cluster.store import clone

_BACK_OFF = timedelta(seconds=10)
_LONGEST = timedelta(minutes=5)
_LOOK_AGAIN = 0.3

ChooseProgram = Callable[[Object], Program]


class Pods:
    """Runs all pods of a cluster.

    Attributes:
        containers: The record of each pod's container, by pod uid.
    """

    def __init__(
        self,
        api: Api,
        clock: Clock,
        nodes: Nodes,
        recorder: Recorder,
        choose: ChooseProgram,
        start_seconds: float,
    ) -> None:
        """Run pods; a container takes `start_seconds` to start, its image is always there."""
        self._api = api
        self._clock = clock
        self._nodes = nodes
        self._recorder = recorder
        self._choose = choose
        self._start_seconds = start_seconds
        self._enqueue: Callable[[Key], None] = lambda key: None
        self._uids: dict[Key, str] = {}
        self.containers: dict[str, Container] = {}

    def on_change(self, enqueue: Callable[[Key], None]) -> None:
        """Set what to call when a container changed by itself."""
        self._enqueue = enqueue

    def keys(self, event: Event) -> Iterable[Key]:
        """Look at every pod that changes."""
        if event.kind == "Pod":
            yield event.key

    def find(self, key: Key) -> Container | None:
        """Return the container of a pod, or None while it has none."""
        return self.containers.get(self._uids.get(key, ""))

    def stop(self) -> None:
        """End every program."""
        for container in self.containers.values():
            if container.program is not None:
                container.program.stop()
        self.containers.clear()

    async def reconcile(self, key: Key) -> float | None:
        """Take one pod a step further."""
        pod = await self._api.find("Pod", *key)
        if pod is None or self._uids.get(key, pod["metadata"]["uid"]) != pod["metadata"]["uid"]:
            self._forget(key)
        if pod is None:
            return None
        if is_ending(pod):
            self._forget(key)
            await self._api.delete("Pod", *key, {"gracePeriodSeconds": 0})
            return None
        if pod["status"].get("phase") in {"Succeeded", "Failed"}:
            return None
        if not pod["spec"].get("nodeName"):
            return await self._schedule(pod)
        if not self._nodes.is_running(pod["spec"]["nodeName"]):
            return _LOOK_AGAIN
        return await self._run(pod, key)

    def _forget(self, key: Key) -> None:
        container = self.containers.pop(self._uids.pop(key, ""), None)
        if container is not None and container.program is not None:
            container.program.stop()

    async def _schedule(self, pod: Object) -> float | None:
        why = await unknown_claim(self._api, pod)
        selector = pod["spec"].get("nodeSelector", {})
        nodes = [
            node["metadata"]["name"]
            for node in await self._api.select("Node")
            if matches_labels(selector, node["metadata"].get("labels"))
            and not node.get("spec", {}).get("unschedulable")
            and self._nodes.is_running(node["metadata"]["name"])
        ]
        if why or not nodes:
            reason = why or "no node is ready and matches Pod's node affinity/selector"
            total = len(await self._api.select("Node"))
            text = f"0/{total} nodes are available: {reason}."
            await self._refuse(pod, text)
            return _LOOK_AGAIN
        pod["spec"]["nodeName"] = nodes[0]
        bound = await self._api.update(pod)
        where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']} to {nodes[0]}"
        await self._recorder.normal(bound, "Scheduled", f"Successfully assigned {where}")
        return None

    async def _refuse(self, pod: Object, text: str) -> None:
        status, now = clone(pod["status"]), self._clock.now()
        set_condition(status, "PodScheduled", "False", now, "Unschedulable", text)
        if status != pod["status"]:
            await self._api.update_status(pod | {"status": status})
            await self._recorder.warning(pod, "FailedScheduling", text)

    async def _run(self, pod: Object, key: Key) -> float | None:
        uid = pod["metadata"]["uid"]
        container = self.containers.get(uid)
        if container is None:
            container = Container(pod, lambda: self._enqueue(key), self._clock.now)
            self.containers[uid] = container
            self._uids[key] = uid
        container.pod = pod
        delay = await self._advance(pod, container)
        await self._write_status(pod, container)
        return delay

    async def _advance(self, pod: Object, container: Container) -> float | None:
        now = asyncio.get_running_loop().time()
        if container.phase is Phase.CREATING:
            lack = await find_lack(self._api, pod)
            if lack is not None:
                await self._tell_lack(pod, container, lack)
                return _LOOK_AGAIN
            container.why_waiting = ""
            if container.due is None:
                container.due = now + self._start_seconds
        elif container.phase is Phase.BACK_OFF and container.due is None:
            container.due = now + self._back_off(container.restarts)
        if container.due is None:
            return None
        if container.due > now:
            return container.due - now
        self._begin(pod, container)
        return None

    def _begin(self, pod: Object, container: Container) -> None:
        container.begin()
        container.program = container.program or self._choose(pod)
        container.program.start(container)

    def _back_off(self, restarts: int) -> float:
        if restarts == 0:
            return 0.0
        span = min(_BACK_OFF * 2 ** (restarts - 1), _LONGEST)
        return self._clock.real_seconds(span)

    async def _tell_lack(self, pod: Object, container: Container, lack: Lack) -> None:
        if lack.volume is None:
            container.why_waiting = lack.words
            await self._recorder.warning(pod, "Failed", f"Error: {lack.words}")
        elif "is not bound" not in lack.words:
            text = f'MountVolume.SetUp failed for volume "{lack.volume}" : {lack.words}'
            await self._recorder.warning(pod, "FailedMount", text)

    async def _write_status(self, pod: Object, container: Container) -> None:
        status = self._status(pod, container)
        if status != pod["status"]:
            await self._api.update_status(pod | {"status": status})

    def _status(self, pod: Object, container: Container) -> Object:
        status: Object = clone(pod["status"])
        now = self._clock.now()
        phases = {Phase.CREATING: "Pending", Phase.DONE: "Succeeded", Phase.DEAD: "Failed"}
        status["phase"] = phases.get(container.phase, "Running")
        status["containerStatuses"] = [container.status()]
        status["hostIP"] = self._nodes.address(pod["spec"]["nodeName"])
        if container.phase is not Phase.CREATING and "podIP" not in status:
            status["podIP"] = f"10.42.{random.randrange(8)}.{random.randrange(2, 250)}"
            status["podIPs"] = [{"ip": status["podIP"]}]
            status["startTime"] = timestamp(now)
        done = container.phase is Phase.DONE
        word = "PodCompleted" if done else "" if container.ready else "ContainersNotReady"
        value = "True" if container.ready else "False"
        name = pod["spec"]["containers"][0]["name"]
        text = f"containers with unready status: [{name}]" if word == "ContainersNotReady" else ""
        set_condition(status, "PodScheduled", "True", now)
        set_condition(status, "Initialized", "True", now)
        set_condition(status, "ContainersReady", value, now, word, text)
        set_condition(status, "Ready", value, now, word, text)
        return status
