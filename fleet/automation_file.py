"""The files of automations: what `acrfleet deploy --notify` changes before Prefect takes them."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from fleet.errors import DeploymentFileError

_NOTIFIES = "send-notification"


def check_automation(content: object, source: str) -> dict[str, Any]:
    """Return a file's content if it has a name, a trigger and a notification to send.

    Raises:
        DeploymentFileError: Names the file and what is missing.
    """
    if not isinstance(content, dict):
        raise DeploymentFileError(f"{source} is no automation; take the one of acrfleet")
    for key in ("name", "trigger", "actions"):
        if not content.get(key):
            raise DeploymentFileError(f"{source} has no `{key}`; take the file of acrfleet")
    if not _notifications(content):
        raise DeploymentFileError(f"{source} has no action of type {_NOTIFIES}, so nobody is told")
    return content


def with_block(content: Mapping[str, Any], block: str) -> dict[str, Any]:
    """Return an automation that sends its notifications through a block.

    Args:
        content: What `check_automation` returned.
        block: The id of the block's document.
    """
    chosen = deepcopy(dict(content))
    for action in _notifications(chosen):
        action["block_document_id"] = block
    return chosen


def _notifications(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    actions = content["actions"] if isinstance(content["actions"], list) else []
    return [one for one in actions if isinstance(one, dict) and one.get("type") == _NOTIFIES]
