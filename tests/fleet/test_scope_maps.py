import pytest

from fleet.azure_errors import TooManyRepositoriesError
from fleet.scope_maps import (
    MAX_ACTIONS,
    client_actions,
    fold_actions,
    most_repositories,
    sync_actions,
)
from fleet.sites import Mode


def many(count: int) -> tuple[str, ...]:
    return tuple(f"vessel/part{number}" for number in range(count))


def test_a_read_only_site_mirrors_with_two_actions_per_repository_and_four_for_the_gateway() -> (
    None
):
    assert sync_actions(Mode.READ_ONLY, ["vessel/web"], "oslo1") == {
        "repositories/vessel/web/content/read",
        "repositories/vessel/web/metadata/read",
        "gateway/oslo1/config/read",
        "gateway/oslo1/config/write",
        "gateway/oslo1/message/read",
        "gateway/oslo1/message/write",
    }


def test_a_read_write_site_needs_five_actions_per_repository() -> None:
    actions = sync_actions(Mode.READ_WRITE, ["web"], "oslo1")
    assert {action for action in actions if action.startswith("repositories/")} == {
        "repositories/web/content/read",
        "repositories/web/content/write",
        "repositories/web/content/delete",
        "repositories/web/metadata/read",
        "repositories/web/metadata/write",
    }


def test_clients_may_pull_and_list_tags_and_nothing_else() -> None:
    assert client_actions(["web"]) == {
        "repositories/web/content/read",
        "repositories/web/metadata/read",
    }


def test_names_in_actions_are_lower_case() -> None:
    actions = sync_actions(Mode.READ_ONLY, ["Vessel/Web"], "OsloOne")
    assert all(action == action.lower() for action in actions)
    assert "gateway/osloone/config/read" in actions


@pytest.mark.parametrize(("mode", "most"), [(Mode.READ_ONLY, 248), (Mode.READ_WRITE, 99)])
def test_a_sync_scope_map_is_full_at_the_documented_number(mode: Mode, most: int) -> None:
    assert most_repositories(mode) == most
    assert len(sync_actions(mode, many(most), "oslo1")) <= MAX_ACTIONS
    with pytest.raises(TooManyRepositoriesError) as caught:
        sync_actions(mode, many(most + 3), "oslo1")
    text = str(caught.value)
    assert f"{most + 3} repositories need" in text
    assert f"at most {most} repositories fit" in text
    assert "by 3 or more" in text


def test_a_client_scope_map_holds_250_repositories() -> None:
    assert len(client_actions(many(250))) == MAX_ACTIONS
    with pytest.raises(TooManyRepositoriesError, match="at most 250 repositories fit"):
        client_actions(many(251))


def test_order_and_case_of_actions_say_nothing() -> None:
    assert fold_actions(["B/Content/Read", " a/content/read"]) == fold_actions(
        ["a/content/read", "b/content/read", "a/content/read"]
    )
