"""How large a plan may be: settings of the fleet file."""

from pydantic import Field

from fleet.strict import Strict
from fleet.validation import WholeNumber


class Limits(Strict):
    """How large a plan may be before somebody has to say that it is meant."""

    sites_with_deletions: WholeNumber | None = Field(
        None, ge=0, description="Most sites that one plan takes something from; none: any number"
    )
    restarts_at_once: WholeNumber | None = Field(
        None, ge=0, description="Most nodes that one plan restarts, all sites together; none: any"
    )


OVER = {"deletions": "sites_with_deletions", "restarts": "restarts_at_once"}
"""What `--over` may name, and the limit that it passes."""
