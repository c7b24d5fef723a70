"""What a step did to one object: the unit in which changes are counted and shown."""

from enum import StrEnum

from fleet.strict import Strict


class Action(StrEnum):
    """What happened to an object."""

    CREATED = "created"
    CHANGED = "changed"
    ADOPTED = "adopted"
    DELETED = "deleted"
    UNCHANGED = "unchanged"
    TO_CHANGE = "to be changed"
    TO_DELETE = "to be deleted"


_WRITTEN = (Action.CREATED, Action.CHANGED, Action.ADOPTED, Action.DELETED)


class Outcome(Strict):
    """One object and what happened to it; `detail` is for people and holds no secret."""

    kind: str
    name: str
    action: Action
    detail: str = ""

    def __str__(self) -> str:
        """Say it in the operator's words."""
        return f"{self.kind} {self.name}: {self.action}" + (
            f" ({self.detail})" if self.detail else ""
        )

    @property
    def is_change(self) -> bool:
        """Return whether anything was written."""
        return self.action in _WRITTEN


class SiteEndpoint(Strict):
    """Where a site's own registry answers inside the site."""

    address: str
    port: int
    scheme: str = "http"

    @property
    def host(self) -> str:
        """Return `address:port`, the name under which images may be pulled."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}"

    @property
    def url(self) -> str:
        """Return the endpoint as registries.yaml wants it."""
        return f"{self.scheme}://{self.host}"
