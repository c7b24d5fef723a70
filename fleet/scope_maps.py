"""What the scope maps of a site allow: the actions of the sync token and of the client token.

Azure keeps repository and gateway names in actions in lower case (the CLI writes them so, and
runtimes before 0.7.0 broke on anything else); so do we.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from fleet.azure_errors import TooManyRepositoriesError
from fleet.sites import Mode

MAX_ACTIONS = 500
"""Actions in one scope map; fixed by Azure, not raised by support."""

_SYNC = {
    Mode.READ_ONLY: ("content/read", "metadata/read"),
    Mode.READ_WRITE: (
        "content/delete",
        "content/read",
        "content/write",
        "metadata/read",
        "metadata/write",
    ),
}
_CLIENT = ("content/read", "metadata/read")
_GATEWAY = ("config/read", "config/write", "message/read", "message/write")


def sync_actions(
    mode: Mode, repositories: Iterable[str], connected_registry: str
) -> frozenset[str]:
    """Return what the sync token may do: mirror the repositories and talk to the parent.

    Args:
        mode: ReadOnly costs two actions per repository, ReadWrite five.
        repositories: What the site mirrors.
        connected_registry: Its name; four gateway actions are for it.

    Raises:
        TooManyRepositoriesError: More actions than one scope map holds.
    """
    repositories = tuple(repositories)
    actions = unchecked_sync_actions(mode, repositories, connected_registry)
    each, extra = len(_SYNC[mode]), len(_GATEWAY)
    _check(actions, len(repositories), each, extra, f"{mode} sync scope map")
    return actions


def unchecked_sync_actions(
    mode: Mode, repositories: Iterable[str], connected_registry: str
) -> frozenset[str]:
    """Return what `sync_actions` does, even where it is more than one scope map holds."""
    gateway = {f"gateway/{connected_registry.lower()}/{verb}" for verb in _GATEWAY}
    return _repository_actions(repositories, _SYNC[mode]) | gateway


def client_actions(repositories: Iterable[str]) -> frozenset[str]:
    """Return what the site's clients may do: pull, and list tags, which needs metadata/read.

    Raises:
        TooManyRepositoriesError: More actions than one scope map holds.
    """
    repositories = tuple(repositories)
    actions = _repository_actions(repositories, _CLIENT)
    _check(actions, len(repositories), len(_CLIENT), 0, "client scope map")
    return actions


def allows(actions: frozenset[str], repository: str, verbs: Iterable[str]) -> bool:
    """Return whether a scope map's actions allow all of the verbs on a repository.

    Wildcards count as Azure reads them (facts/connected-registry.md §1.5).
    """
    return all(
        any(fnmatchcase(f"repositories/{repository}/{verb}", one.lower()) for one in actions)
        for verb in verbs
    )


def most_repositories(mode: Mode) -> int:
    """Return how many repositories fit into a site's sync scope map: 248 or 99."""
    return (MAX_ACTIONS - len(_GATEWAY)) // len(_SYNC[mode])


def check_total(actions: frozenset[str], what: str) -> None:
    """Refuse more actions than one scope map holds; `what` names the map for people.

    Raises:
        TooManyRepositoriesError: There are too many.
    """
    if len(actions) > MAX_ACTIONS:
        raise TooManyRepositoriesError(
            f"{what}: {len(actions)} actions are needed, Azure allows {MAX_ACTIONS}; narrow"
            " `repositories` of these sites, or move some of them below another parent"
        )


def fold_actions(actions: Iterable[str]) -> frozenset[str]:
    """Return actions in the one spelling in which they are compared: order and case say nothing."""
    return frozenset(action.strip().lower() for action in actions)


def _repository_actions(repositories: Iterable[str], verbs: Iterable[str]) -> frozenset[str]:
    verbs = tuple(verbs)
    return frozenset(
        f"repositories/{name.lower()}/{verb}" for name in repositories for verb in verbs
    )


def _check(actions: frozenset[str], selected: int, each: int, extra: int, what: str) -> None:
    if len(actions) <= MAX_ACTIONS:
        return
    fits = (MAX_ACTIONS - extra) // each
    raise TooManyRepositoriesError(
        f"{selected} repositories need {len(actions)} actions in the {what}, Azure allows"
        f" {MAX_ACTIONS}: at most {fits} repositories fit ({each} actions each"
        + (f" and {extra} for the gateway" if extra else "")
        + f"); narrow `repositories` of the site by {selected - fits} or more, with tighter"
        " `include` globs or with `exclude`"
    )
