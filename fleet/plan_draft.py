"""A plan in the making: what is found out about one site, step by step."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fleet.errors import FleetError, TemporaryError, WaitingError
from fleet.outcomes import Action
from fleet.site_plan import Part, PlannedChange, SitePlan


@dataclass
class Draft:
    """Collects the changes of one site, and what stands in their way."""

    site: str
    changes: list[PlannedChange] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, decide: Callable[[], Iterable[PlannedChange]]) -> None:
        """Add what a decision comes to; its refusal is an obstacle, its patience a note.

        Raises:
            TemporaryError: It could not be decided now; worth another try.
        """
        try:
            self.changes += decide()
        except TemporaryError:
            raise
        except WaitingError as error:
            self.note(str(error))
        except FleetError as error:
            self.refuse(str(error))

    def add(
        self, part: Part, kind: str, name: str, action: Action, detail: str = "", **more: object
    ) -> None:
        """Add one change, unless there is none."""
        if action is not Action.UNCHANGED:
            values = {"part": part, "kind": kind, "name": name, "action": action, "detail": detail}
            self.changes.append(PlannedChange.model_validate({**values, **more}))

    def refuse(self, words: str) -> None:
        """Add something that stands in the way, once."""
        if words not in self.obstacles:
            self.obstacles.append(words)

    def note(self, words: str) -> None:
        """Add something that is only known afterwards, once."""
        if words not in self.notes:
            self.notes.append(words)

    def plan(self) -> SitePlan:
        """Return what was found."""
        return SitePlan(
            site=self.site,
            changes=tuple(self.changes),
            obstacles=tuple(self.obstacles),
            notes=tuple(self.notes),
        )
