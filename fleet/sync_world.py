"""What decides the next step of a sync rotation, and the steps that there are: values alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fleet.azure_objects import PasswordSlot
from fleet.passwords import PasswordMark
from fleet.strict import Strict


class Kept(Strict):
    """A password that a Secret of ours holds; `fingerprint` is its hash, None: it has no value."""

    mark: PasswordMark
    fingerprint: str | None = None


class Connection(Strict):
    """The connection Secret as it is.

    `changed` is when a rotation put the string there, `taken` when the chart was seen to run with
    it, `proved` when the registry had synchronised with it; `previous` is the password before it.
    """

    mark: PasswordMark | None = None
    fingerprint: str | None = None
    changed: datetime | None = None
    taken: datetime | None = None
    proved: datetime | None = None
    previous: PasswordMark | None = None

    @property
    def is_taken(self) -> bool:
        """Return whether the chart runs with this string, as far as a rotation has to care."""
        return self.changed is None or (self.taken is not None and self.taken >= self.changed)

    @property
    def is_proven(self) -> bool:
        """Return whether nothing stands out that this string has to show yet."""
        if self.previous is None or self.changed is None:
            return True
        return self.proved is not None and self.proved >= self.changed


class Followed(StrEnum):
    """What the registry does with a new string, after waiting for it."""

    SYNCED = "synced"
    """It is Online and has synchronised since the chart took the string."""
    SPEAKS = "speaks"
    """It talks to Azure, which takes the new password, and its schedule has not come round yet."""
    SILENT = "silent"
    """Azure has not heard from it since."""


class SyncWorld(Strict):
    """Everything that decides what comes next. Times are UTC.

    `accepted`, `taken` and `followed` are what this run found out by waiting; None: it did not wait
    for that yet. `gave_up`: this run has put the old string back.
    """

    token: str
    slots: Mapping[str, PasswordSlot]
    held: Connection
    staged: Kept | None = None
    before: Kept | None = None
    accepted: bool | None = None
    taken: bool | None = None
    followed: Followed | None = None
    online: bool = False
    gave_up: bool = False
    now: datetime
    is_due: bool = False


@dataclass(frozen=True)
class GenerateSync:
    """Generate this slot; nobody uses what is in it. `again`: an earlier run lost the value."""

    slot: str
    again: bool = False


@dataclass(frozen=True)
class AskAzure:
    """Ask Azure whether it takes the staged password; a renewed slot counts after a minute."""

    mark: PasswordMark


@dataclass(frozen=True)
class PutString:
    """Keep the string in use, then put the one with the staged password in its place."""

    mark: PasswordMark
    previous: PasswordMark


@dataclass(frozen=True)
class TakeString:
    """Have the chart take up the string that is in the Secret, and note when it runs with it."""

    mark: PasswordMark


@dataclass(frozen=True)
class WatchSync:
    """Wait for the registry to synchronise with the new string."""

    mark: PasswordMark


@dataclass(frozen=True)
class NoteSync:
    """Note that the registry synchronised with the new string."""

    mark: PasswordMark


@dataclass(frozen=True)
class PutBack:
    """Put the old string back; the new password stays staged for a later run."""

    old: PasswordMark
    instead_of: PasswordMark


@dataclass(frozen=True)
class UnstageSync:
    """Remove the staging Secret, which has no more to say."""

    mark: PasswordMark


@dataclass(frozen=True)
class ForgetString:
    """Remove the Secret with the string before this one."""

    mark: PasswordMark


@dataclass(frozen=True)
class RetireSync:
    """Remove the old password from Azure; the registry has synchronised with `keep`."""

    old: PasswordMark
    keep: PasswordMark


@dataclass(frozen=True)
class AwaitSync:
    """Nothing can be done now; `why` is a sentence about the site for people."""

    mark: PasswordMark
    why: str


@dataclass(frozen=True)
class SyncIdle:
    """Nothing to do; `spare` is False where somebody else's password is in the other slot."""

    mark: PasswordMark
    spare: bool = True


SyncStep = (
    GenerateSync
    | AskAzure
    | PutString
    | TakeString
    | WatchSync
    | NoteSync
    | PutBack
    | UnstageSync
    | ForgetString
    | RetireSync
    | AwaitSync
    | SyncIdle
)
