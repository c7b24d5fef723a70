"""What the fleet file says about drift: which parts of a site are mended without asking."""

from pydantic import Field

from fleet.site_plan import Part
from fleet.strict import Strict


class Reconcile(Strict):
    """What a scheduled reconciliation may write at a site; by default it only reports."""

    mend: tuple[Part, ...] = Field((), description="Parts that are mended; none: only reported")
    deletions: bool = Field(
        False, description="Also mend what takes something away, such as repositories"
    )
