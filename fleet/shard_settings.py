"""What the fleet file says about dispatch; `fleet.shards` cuts a run into shards."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator

from fleet.strict import Strict
from fleet.validation import FilePath, WholeNumber, broken_rule
from fleet.validation_time import Wait

SHORTEST_SILENCE = timedelta(seconds=15)


class Dispatch(StrEnum):
    """Where the sites of a run are worked on."""

    IN_PROCESS = "in-process"
    DEPLOYMENT = "deployment"


class Shards(Strict):
    """How a run is cut into runs of its own, which the workers of a pool take up."""

    size: Annotated[WholeNumber, Field(ge=1, le=500)] = Field(
        10, description="Most sites in one shard; sites that feed each other stay together"
    )
    at_once: Annotated[WholeNumber, Field(ge=1)] = Field(
        4, description="Shards of one run that are under way at once"
    )
    at_once_per_registry: Annotated[WholeNumber, Field(ge=1)] | None = Field(
        None, description="The same for each registry; none: no bound of its own"
    )
    fleet_file: FilePath | None = Field(
        None, description="Path of this file where workers run; none: as the run was given it"
    )
    lost_after: Wait = Field(
        timedelta(minutes=2),
        description="Silence after which a shard counts as lost and its sites are dispatched again",
    )

    @field_validator("lost_after")
    @classmethod
    def _not_hasty(cls, value: timedelta) -> timedelta:
        if value < SHORTEST_SILENCE:
            raise broken_rule(f"allowed are {SHORTEST_SILENCE.seconds}s and more; raise it")
        return value
