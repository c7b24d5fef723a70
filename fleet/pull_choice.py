"""Which client password a site's pull secrets get: one that works, or a new one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from fleet.azure_objects import PasswordSlot
from fleet.cluster_objects import SecretView
from fleet.passwords import Keep, PasswordMark, Renew, choose_client_password, settled
from fleet.pull_secrets import read_password, read_staged


@dataclass(frozen=True)
class PullTargets:
    """Where pull secrets go and what is there now, by namespace.

    `others` are pull secrets that an earlier fleet file put elsewhere: their password is in use.
    """

    secrets: Mapping[str, SecretView | None]
    others: tuple[SecretView, ...]
    staged: SecretView | None


@dataclass(frozen=True)
class PullPassword:
    """A password that works in Azure, and whether the staging Secret is to be removed."""

    mark: PasswordMark
    value: SecretStr
    is_staged: bool


def choose_pull_password(
    targets: PullTargets, token: str, slots: Mapping[str, PasswordSlot], now: datetime
) -> PullPassword | Renew:
    """Return the password that pull secrets get, or which slot is to be generated.

    Args:
        targets: What is at the site.
        token: The client token's name.
        slots: The passwords that Azure has of it.
        now: The present, UTC.

    Raises:
        PasswordSlotsTakenError: No slot of the client token is free.
    """
    held, lost = _sort(targets, token, slots, now)
    staged, value = read_staged(targets.staged)
    if staged is not None and staged.created is not None and value is None:
        lost, staged = [*lost, staged], None
    choice = choose_client_password(
        token, slots, live=[mark for mark, _ in held], lost=lost, staged=staged, now=now
    )
    if not isinstance(choice, Keep):
        return choice
    if choice.mark == staged and value is not None:
        return PullPassword(choice.mark, value, is_staged=True)
    kept = next(password for mark, password in held if mark == choice.mark)
    return PullPassword(choice.mark, kept, is_staged=targets.staged is not None)


def _sort(
    targets: PullTargets, token: str, slots: Mapping[str, PasswordSlot], now: datetime
) -> tuple[list[tuple[PasswordMark, SecretStr]], list[PasswordMark]]:
    """Return the marks of pull secrets with a readable password, with it, and those without."""
    held: list[tuple[PasswordMark, SecretStr]] = []
    lost: list[PasswordMark] = []
    for secret in filter(None, (*targets.secrets.values(), *targets.others)):
        mark = PasswordMark.from_annotations(secret.meta.annotations)
        password = read_password(secret, token)
        if mark is not None and password is not None:
            held.append((settled(mark, slots, now), password))
        elif mark is not None:
            lost.append(mark)
    return held, lost
