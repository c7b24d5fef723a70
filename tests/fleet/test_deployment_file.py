from typing import Any

import pytest

from fleet.deployment_file import check_deployments, pools_of, when_of, with_choices
from fleet.errors import DeploymentFileError

POOL = {"name": "edge"}


def _content() -> dict[str, Any]:
    file = {"fleet_file": "fleet.yaml"}
    entry = {"entrypoint": "flows/a.py:a", "work_pool": POOL, "parameters": file}
    return {
        "name": "acrfleet",
        "definitions": {"pool": POOL},
        "deployments": [{"name": "x", **entry}, {"name": "y", **entry, "schedules": []}],
    }


def test_pool_and_fleet_file_reach_every_deployment_and_the_source_stays() -> None:
    before = _content()
    chosen = with_choices(before, "/srv/acrfleet", "north", "/etc/fleet.yaml")
    assert pools_of(chosen) == ("north",)
    assert {one["parameters"]["fleet_file"] for one in chosen["deployments"]} == {"/etc/fleet.yaml"}
    assert before == _content()
    assert chosen["pull"] == [
        {"prefect.deployments.steps.set_working_directory": {"directory": "/srv/acrfleet"}}
    ]


def test_without_choices_the_file_counts() -> None:
    chosen = with_choices({**_content(), "pull": ["mine"]}, "/srv", None, None)
    assert pools_of(chosen) == ("edge",)
    assert chosen["deployments"][0]["parameters"] == {"fleet_file": "fleet.yaml"}
    assert chosen["pull"] == ["mine"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no list `deployments`"),
        ({"deployments": []}, "no list `deployments`"),
        ({"deployments": [{"name": "x"}]}, "deployment 1 needs `name` and `entrypoint`"),
        ({"deployments": [{"name": "x", "entrypoint": "a:b"}]}, "(a:b) needs `work_pool: name`"),
    ],
)
def test_a_file_that_is_no_file_of_deployments_says_what_it_lacks(
    content: object, words: str
) -> None:
    with pytest.raises(DeploymentFileError) as caught:
        check_deployments(content, "prefect.yaml")
    assert words in str(caught.value)
    assert "prefect.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("schedules", "words"),
    [
        (None, "on demand"),
        ([], "on demand"),
        ([{"cron": "17 3 * * *", "timezone": "Europe/Oslo"}], "17 3 * * * Europe/Oslo"),
        ([{"cron": "0 1 * * *"}, {"interval": 3600}], "0 1 * * * UTC, every 3600 s"),
        ([{"rrule": "FREQ=DAILY"}], "FREQ=DAILY"),
    ],
)
def test_any_kind_of_schedule_is_told(schedules: object, words: str) -> None:
    assert when_of({"schedules": schedules}) == words
