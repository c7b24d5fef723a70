"""Put the automations that tell people about sites on a Prefect server."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from fleet.automation_file import check_automation, with_block
from fleet.errors import DeploymentFileError, NotificationBlockMissingError
from tasks.deploying import prefect_server

_NOTIFIES = "notify"


def prepare_automations(folder: Path, notify: str | None) -> list[AutomationCore]:
    """Return the automations of a folder, with the block that their messages go through.

    Args:
        folder: Where their YAML files are.
        notify: The block, as `TYPE/NAME`; None: no automation is wanted.

    Raises:
        DeploymentFileError: A file is missing, no YAML, or no automation.
        NotificationBlockMissingError: There is no such block, or it can't notify.
        PrefectServerMissingError: No server is set, or it does not answer.
    """
    if notify is None:
        return []
    contents = [_read(path) for path in sorted(folder.glob("*.yaml"))]
    if not contents:
        raise DeploymentFileError(f"{folder} holds no automations; take those of acrfleet")
    with prefect_server() as client:
        block = _find_block(client, notify)
    return [_model(with_block(one, str(block.id))) for one in contents]


def apply_automations(wanted: Sequence[AutomationCore]) -> dict[str, str]:
    """Make or change automations by their names; one that somebody paused or resumed stays so.

    Returns:
        For each name `created` or `updated`.
    """
    if not wanted:
        return {}
    with prefect_server() as client:
        return {one.name: _apply(client, one) for one in wanted}


def _apply(client: SyncPrefectClient, wanted: AutomationCore) -> str:
    found = client.read_automations_by_name(wanted.name)
    if not found:
        client.create_automation(wanted)
        return "created"
    kept = wanted.model_copy(update={"enabled": found[0].enabled})
    client.update_automation(found[0].id, kept)
    return "updated"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DeploymentFileError(f"{path} cannot be read as YAML: {error}") from None
    return check_automation(content, str(path))


def _model(content: Mapping[str, Any]) -> AutomationCore:
    try:
        return AutomationCore.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DeploymentFileError(
            f"the automation {content['name']} is not one for Prefect: {place}: {first['msg']}"
        ) from None


def _find_block(client: SyncPrefectClient, notify: str) -> BlockDocument:
    kind, _, name = notify.partition("/")
    if not kind or not name:
        raise NotificationBlockMissingError(
            f"--notify takes TYPE/NAME, such as slack-webhook/ops; got {notify}"
        )
    try:
        block = client.read_block_document_by_name(name, kind, include_secrets=False)
    except ObjectNotFound:
        raise NotificationBlockMissingError(
            f"The Prefect server has no block {notify}. Make it in the UI under Blocks: Slack "
            "Webhook, Microsoft Teams Webhook, Email, Custom Webhook and others can notify."
        ) from None
    if _NOTIFIES not in (block.block_schema.capabilities if block.block_schema else ()):
        raise NotificationBlockMissingError(
            f"The block {notify} can't send notifications; take one whose type can, such as Slack "
            "Webhook or Custom Webhook."
        )
    return block
