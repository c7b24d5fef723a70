"""Which images pods run, by the digests that their nodes report."""

from collections.abc import Iterable, Mapping
from typing import Any

from fleet.freshness import MOST_RUNNING, RunningImage

_LISTS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


def images_of_pods(pods: Iterable[Mapping[str, Any]]) -> tuple[RunningImage, ...]:
    """Return the images of running containers, each once, sorted, at most `MOST_RUNNING`.

    A node reports `imageID`: `name@sha256:...` where the image was pulled (with the digest that was
    pulled, of an index where it is one), or only `sha256:...`, the digest of its configuration,
    where it was imported from a file.
    """
    found = {
        (str(status.get("image") or ""), digest)
        for pod in pods
        for key in _LISTS
        for status in (pod.get("status") or {}).get(key) or []
        if "running" in (status.get("state") or {})
        and (digest := str(status.get("imageID") or "").rpartition("@")[2])
    }
    ordered = sorted(found)[:MOST_RUNNING]
    return tuple(RunningImage(image=image, digest=digest) for image, digest in ordered)
