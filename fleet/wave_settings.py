"""What the fleet file says about waves; `fleet.waves` cuts a run into them."""

import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import Field, PlainValidator, ValidationInfo, WithJsonSchema, field_validator

from fleet.strict import Strict
from fleet.validation import Matches, Tag, WholeNumber, broken_combination, broken_rule

Share = Annotated[
    str, Matches(r"(100|[1-9]?[0-9])%", "shares from 0% to 100%", "write for example 10%")
]


def _failures(value: Any) -> Any:
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if number or (isinstance(value, str) and re.fullmatch(r"(100|[1-9]?[0-9])%", value)):
        return value
    raise broken_rule("allowed are whole numbers from 0, or shares such as 5%; write one of them")


Failures = Annotated[
    int | str,
    PlainValidator(_failures),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": "^(100|[1-9]?[0-9])%$"},
            ]
        }
    ),
]


class Waves(Strict):
    """In which pieces changing runs go over the fleet, and when they stop."""

    canaries: tuple[Tag, ...] = Field(
        (), description="Sites of the first wave: names, globs or tags"
    )
    size: WholeNumber | None = Field(
        None, ge=1, description="Sites in each later wave; none: as share says, or all at once"
    )
    share: Share | None = Field(
        None, description="Share of the run's sites in each later wave, as 10%; instead of size"
    )
    allowed_failures: Failures = Field(
        0, description="Failed sites after which the next wave still begins: a number, or a share"
    )

    @field_validator("share")
    @classmethod
    def _one_of_both(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("size") is not None:
            raise broken_combination("size says it already; keep one of them")
        if value is not None and percent(value) == 0:
            raise broken_combination("waves of no sites never end; write at least 1%")
        return value


def means(entry: str, name: str, tags: Collection[str]) -> bool:
    """Return whether an entry of `canaries` means a site: its name, a glob of it, or a tag."""
    return fnmatchcase(name, entry) or entry in tags


def percent(share: str) -> int:
    """Return the number of a share."""
    return int(share.removesuffix("%"))
