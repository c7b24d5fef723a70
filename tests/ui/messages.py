"""What people are told: the automations of deployments/, through a webhook that a test reads."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

_AUTOMATIONS = Path(__file__).parents[2] / "deployments/automations"
_PATIENCE = 180.0
_PUT = """
import sys
from datetime import timedelta
from pathlib import Path
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from tasks.automations import apply_automations, prepare_automations

form = {"subject": "{{subject}}", "body": "{{body}}"}
CustomWebhookNotificationBlock(name="ops", url=sys.argv[1], json_data=form).save("ops")
automations = prepare_automations(Path(sys.argv[2]), "custom-webhook/ops")
for automation in automations:
    if automation.name == "acrfleet site waits too long":
        automation.trigger.within = timedelta(seconds=10)
first = apply_automations(automations)
again = apply_automations(automations)
assert set(first.values()) == {"created"}, first
assert set(again.values()) == {"updated"}, again
"""


@dataclass
class Listener:
    """What a webhook has heard."""

    url: str = ""
    messages: list[dict[str, str]] = field(default_factory=list)

    def hears(self, words: str) -> dict[str, str]:
        """Return the first message whose subject has these words, once it has come."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            for message in list(self.messages):
                if words in message["subject"]:
                    return message
            time.sleep(0.2)
        raise AssertionError(f"nobody said {words!r}; heard: {self.messages}")


def tell_people(server: str, home: Path, url: str) -> None:
    """Put the automations on the server, with ten seconds instead of days for a waiting site."""
    environment = {"PREFECT_API_URL": f"{server}/api", "PREFECT_HOME": str(home)}
    subprocess.run(
        [sys.executable, "-c", _PUT, url, str(_AUTOMATIONS)],
        env=os.environ | environment,
        check=True,
    )
