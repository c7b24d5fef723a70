"""The automations that acrfleet brings: Prefect takes them, and they listen to what is told."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.events.schemas.automations import AutomationCore
from prefect.server.events.schemas.automations import AutomationCore as ServerAutomation

from fleet.automation_file import check_automation, with_block
from fleet.errors import DeploymentFileError
from fleet.site_events import SiteEvent

FILES = sorted((Path(__file__).parents[2] / "deployments/automations").glob("*.yaml"))
BLOCK = "5c9f4e5e-2f0a-4b9c-9f0d-6a1d3f1f7a11"
ONLY = {"name": "x", "trigger": {"type": "event"}, "actions": [{"type": "send-notification"}]}


def content_of(path: Path) -> dict[str, Any]:
    return check_automation(yaml.safe_load(path.read_text()), path.name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_prefect_takes_each_and_its_server_takes_the_templates(path: Path) -> None:
    content = with_block(content_of(path), BLOCK)
    automation = AutomationCore.model_validate(content)
    ServerAutomation.model_validate(automation.model_dump(mode="json"))
    assert [str(action.block_document_id) for action in automation.actions] == [BLOCK]
    assert "00000000" in path.read_text(), "the file itself is left alone"


def test_each_site_event_they_listen_to_is_one_that_is_told() -> None:
    triggers = [content_of(path)["trigger"] for path in FILES]
    heard = {name for one in triggers for name in [*one["expect"], *one.get("after", [])]}
    told = {event.full_name for event in SiteEvent}
    assert {name for name in heard if name.startswith("acrfleet.")} <= told
    for event in (SiteEvent.FAILED, SiteEvent.WAITING, SiteEvent.DRIFTED, SiteEvent.EXPIRING):
        assert event.full_name in heard


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "no `name`"),
        ({"trigger": None}, "no `trigger`"),
        ({"actions": []}, "no `actions`"),
        ({"actions": [{"type": "do-nothing"}]}, "nobody is told"),
        ({"actions": "send-notification"}, "nobody is told"),
    ],
)
def test_a_file_that_tells_nobody_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DeploymentFileError, match=words):
        check_automation({**ONLY, **change}, "site-failed.yaml")
