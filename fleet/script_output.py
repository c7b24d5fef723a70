"""Values from the `key=value` lines that our scripts say on a host."""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime


def last(lines: Mapping[str, list[str]], key: str) -> str:
    """Return a key's last value, empty when there is none."""
    return lines.get(key, [""])[-1].strip()


def below(prefix: str, lines: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the last values of all keys with a prefix, without it; empty values are left out."""
    return {
        key.removeprefix(prefix): value[-1].strip()
        for key, value in lines.items()
        if key.startswith(prefix) and value[-1].strip()
    }


def as_version(text: str) -> str | None:
    """Return the version in what a program says of itself."""
    match = re.search(r"\bv?\d+\.\d+\.\d+\S*", text)
    return match[0] if match else None


def as_bytes(text: str) -> bytes | None:
    """Return what base64 stands for, or None when it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def as_number(text: str) -> int | None:
    """Return a number without sign, or None when it is none."""
    return int(text) if text.isdigit() else None


def as_time(text: str) -> datetime | None:
    """Return the time that is so many seconds after 1970, or None when it is no number."""
    return datetime.fromtimestamp(int(text), UTC) if text.isdigit() else None
