"""How long things may take at a site, and when its passwords are rolled."""

from datetime import timedelta

from pydantic import Field

from fleet.strict import Strict
from fleet.validation_time import Age, Wait


class Rotation(Strict):
    """When passwords are rolled, and how long an old one outlives its successor."""

    max_age: Age = Field(
        timedelta(days=90), description="Age of a password without expiry that counts as its life"
    )
    grace: Wait = Field(
        timedelta(hours=1), description="From the proof of the new one to the end of the old one"
    )
    alert_before: Age = Field(
        timedelta(days=14), description="Alert when a password in use expires within this time"
    )


class Patience(Strict):
    """How long to wait for a site before it is reported as waiting or failed."""

    online: Wait = Field(timedelta(minutes=15), description="Until the registry is Online")
    accepted: Wait = Field(timedelta(minutes=15), description="Until it accepts a new password")
    node_ready: Wait = Field(timedelta(minutes=5), description="Until a restarted node is Ready")
    node_step: Wait = Field(
        timedelta(minutes=2),
        description="For how long a step of a change on a node is tried again over a bad link",
    )
    quiet: Wait = Field(
        timedelta(minutes=10),
        description="Until a node that must restart downloads no image, and the first sync is over",
    )

    @property
    def unproven(self) -> timedelta:
        """Return after what time a node undoes a change that nobody has confirmed.

        Enough for writing, proof, and a confirmation or a way back over a link that is bad just
        then: a node must not go back by itself while a controller is still at it.
        """
        return self.node_ready + 3 * self.node_step
