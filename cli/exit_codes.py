"""What `acrfleet` tells scripts when it ends; `docs/reference/cli.md` lists the same."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes, worst wins: failed before waiting."""

    OK = 0
    FAILED = 1
    WRONG_INPUT = 2
    DUE = 2  # of a dry run alone: something would be written
    WAITING = 3
    STOPPED = 130
