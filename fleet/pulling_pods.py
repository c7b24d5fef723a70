"""Pods as far as their images matter: what they run, what they log in with, why they wait."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from fleet.strict import Strict

_PULLING = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")


class PullingPod(Strict):
    """A pod; `reason` and `words` are the kubelet's about an image that it could not get."""

    name: str
    created: datetime | None = None
    images: tuple[str, ...] = ()
    pull_secrets: tuple[str, ...] = ()
    reason: str = ""
    words: str = ""

    @property
    def waits(self) -> bool:
        """Return whether the pod waits for an image."""
        return bool(self.reason)

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Read a Pod."""
        spec, status = item.get("spec") or {}, item.get("status") or {}
        containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
        states = [
            *(status.get("initContainerStatuses") or []),
            *(status.get("containerStatuses") or []),
        ]
        waits = [(one.get("state") or {}).get("waiting") or {} for one in states]
        stuck = next((one for one in waits if one.get("reason") in _PULLING), {})
        return cls(
            name=(item.get("metadata") or {}).get("name", ""),
            created=created_at(item),
            images=tuple(one.get("image", "") for one in containers),
            pull_secrets=tuple(one.get("name", "") for one in spec.get("imagePullSecrets") or []),
            reason=stuck.get("reason") or "",
            words=stuck.get("message") or "",
        )


def created_at(item: Mapping[str, Any]) -> datetime | None:
    """Return when any object was created."""
    text = (item.get("metadata") or {}).get("creationTimestamp")
    return datetime.fromisoformat(text) if text else None
