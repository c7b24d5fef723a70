"""Pod logs, as `kubectl logs` asks for them."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from lab.cluster.errors import bad_request
from lab.cluster.metadata import micro_timestamp
from lab.cluster.node.containers import Container, Phase

Line = tuple[datetime, str]


def read_log(pod: str, container: Container | None, query: Mapping[str, str]) -> str:
    """Return a container's log.

    Raises:
        ApiError: 400 while there is none, or for a container the pod does not have.
    """
    if container is None:
        raise bad_request(f'container in pod "{pod}" is waiting to start: ContainerCreating')
    name = container.pod["spec"]["containers"][0]["name"]
    asked = query.get("container")
    if asked and asked != name:
        raise bad_request(f"container {asked} is not valid for pod {pod}")
    lines = _chosen(pod, name, container, query)
    if seconds := query.get("sinceSeconds"):
        since = container.clock() - timedelta(seconds=int(seconds))
        lines = [line for line in lines if line[0] >= since]
    if tail := query.get("tailLines"):
        lines = lines[len(lines) - int(tail) :] if int(tail) < len(lines) else lines
    stamps = query.get("timestamps") in {"true", "1"}
    text = "".join(
        f"{micro_timestamp(when)} {words}\n" if stamps else f"{words}\n" for when, words in lines
    )
    return text[: int(query["limitBytes"])] if query.get("limitBytes") else text


def _chosen(pod: str, name: str, container: Container, query: Mapping[str, str]) -> list[Line]:
    if query.get("previous") in {"true", "1"}:
        if container.phase is Phase.BACK_OFF:
            return list(container.lines)
        if container.previous is None:
            raise bad_request(f'previous terminated container "{name}" in pod "{pod}" not found')
        return container.previous
    if container.phase is Phase.CREATING:
        reason = "CreateContainerConfigError" if container.why_waiting else container.phase.value
        raise bad_request(f'container "{name}" in pod "{pod}" is waiting to start: {reason}')
    return list(container.lines)
