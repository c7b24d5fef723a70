"""What options take besides text: lengths of time and digests of images. Used as `callback`."""

import re
from datetime import timedelta
from typing import Annotated

import click
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from fleet.validation_time import as_duration

_LENGTH: TypeAdapter[timedelta] = TypeAdapter(Annotated[timedelta, BeforeValidator(as_duration)])


def as_length(_ctx: click.Context, _param: click.Parameter, value: str | None) -> timedelta | None:
    """Return a length of time written as in the fleet file; None for an option left out."""
    if value is None:
        return None
    try:
        return _LENGTH.validate_python(value)
    except ValidationError:
        raise click.BadParameter(f"{value!r} is no length of time; write 30m, 12h or 2d") from None


def as_digest(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Return a digest, or its beginning, with its algorithm; None for an option left out."""
    if value is None:
        return None
    digits = value.lower().removeprefix("sha256:").rstrip("…")
    if not re.fullmatch(r"[0-9a-f]{8,64}", digits):
        raise click.BadParameter(f"{value!r} is no digest; write sha256: and at least 8 digits")
    return f"sha256:{digits}"
