"""The errors of the program, named after what the operator does next.

`FleetError` is the root. A `TemporaryError` is worth trying again without anybody doing anything; a
`WaitingError` says that a site is not broken, only not there yet. Everything else needs a person.
Messages are sentences for operators and never hold a secret: they are built from names.
"""

from collections.abc import Sequence


class FleetError(Exception):
    """The root of everything this program raises on purpose."""


class TemporaryError(FleetError):
    """Something that may well work on the next try; tasks retry these."""


class WaitingError(FleetError):
    """A site that is not broken but has not followed yet; a later run takes it up."""


class FleetFileError(FleetError):
    """Mend the fleet file: it holds the listed problems and nothing was changed."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Take one sentence per problem, each with file and line."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class NotOursError(FleetError):
    """Decide who owns an object that exists with other settings than the fleet file's."""


def is_worth_retrying(error: BaseException) -> bool:
    """Return whether trying the same step again may help: by type, never blindly."""
    return isinstance(error, TemporaryError)
