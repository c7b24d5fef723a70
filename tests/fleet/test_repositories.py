import pytest

from fleet.azure_errors import RepositoriesNotFoundError
from fleet.repositories import select_repositories
from fleet.sites import Repositories

CATALOG = (
    "vessel/web",
    "vessel/web/api",
    "vessel/engine",
    "vessel/tests",
    "shore/portal",
    "hello-world",
)


def select(*include: str, exclude: tuple[str, ...] = ()) -> tuple[str, ...]:
    return select_repositories(Repositories(include=include, exclude=exclude), CATALOG)


@pytest.mark.parametrize(
    ("include", "exclude", "selected"),
    [
        (("hello-world",), (), ("hello-world",)),
        (("*",), (), tuple(sorted(CATALOG))),
        (
            ("vessel/*",),
            (),
            ("vessel/engine", "vessel/tests", "vessel/web", "vessel/web/api"),
        ),
        (("vessel/**",), ("vessel/web/*",), ("vessel/engine", "vessel/tests", "vessel/web")),
        (("vessel/*",), ("*/tests", "*/api"), ("vessel/engine", "vessel/web")),
        (("vessel/?eb",), (), ("vessel/web",)),
        (("vessel/[ew]*",), (), ("vessel/engine", "vessel/web", "vessel/web/api")),
        (("hello-world", "hello-*"), (), ("hello-world",)),
        (("hello-world",), ("nothing/like/this",), ("hello-world",)),
    ],
)
def test_globs_choose_repositories_and_exclude_wins(
    include: tuple[str, ...], exclude: tuple[str, ...], selected: tuple[str, ...]
) -> None:
    assert select(*include, exclude=exclude) == selected


def test_an_exact_name_does_not_take_what_lies_below_it() -> None:
    assert select("vessel/web") == ("vessel/web",)


def test_a_name_with_a_dot_is_not_a_pattern() -> None:
    wanted = Repositories(include=("a.b",))
    assert select_repositories(wanted, ("a.b", "axb")) == ("a.b",)


def test_every_glob_without_a_match_is_named_with_the_closest_repositories() -> None:
    with pytest.raises(RepositoriesNotFoundError) as caught:
        select("vesel/*", "hello-word", "vessel/web", "zzz")
    text = str(caught.value)
    assert "'vesel/*' (closest: vessel/" in text
    assert "'hello-word' (closest: hello-world)" in text
    assert "'zzz';" in text
    assert "'vessel/web'" not in text
    assert "6 repositories" in text


def test_a_glob_of_which_everything_is_excluded_is_an_error_that_says_so() -> None:
    with pytest.raises(RepositoriesNotFoundError, match="everything that 'shore/") as caught:
        select("shore/*", "vessel/web", exclude=("shore/portal",))
    assert "shore/portal" in str(caught.value)


def test_an_empty_registry_is_an_error_and_not_an_empty_site() -> None:
    with pytest.raises(RepositoriesNotFoundError, match="has 0 repositories"):
        select_repositories(Repositories(include=("*",)), ())
