"""A site of the lab whose sync password is rolled, with somebody who pulls there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kubernetes import client, config

from fleet.sites import Patience
from tests.flows.pull_load import PullLoad
from tests.flows.sync_site import BEFORE, STAGED, SyncSite
from tests.tasks.rotation_runs import Rotations
from tests.tasks.rotation_site import rotation_site
from tests.tasks.site_bench import LabSites
from tests.waiting import wait_until


@dataclass
class SyncRotationSite:
    """One site, its rotations, and what was seen there so far."""

    found: SyncSite
    rotations: Rotations
    load: PullLoad
    patience: Patience

    def in_use(self) -> str:
        """Return the password in the connection string."""
        return self.found.string().password.get_secret_value()

    def slots(self) -> set[str]:
        """Return which slots of the sync token hold a password in Azure."""
        return set(self.found.token().slots)

    def assert_safe(self) -> None:
        """See that Azure takes the string in the Secret, now and whenever it was looked at."""
        assert self.found.refusal() is None
        assert self.found.refused == []
        assert self.load.failures == []

    def assert_at_rest(self) -> None:
        """See one password, in Azure and in the string, and an instance that synchronises."""
        self.assert_safe()
        assert self.slots() == {self.found.slot()}
        assert (self.found.secret(STAGED), self.found.secret(BEFORE)) == (None, None)
        wait_until(self.found.is_online)


@contextmanager
def sync_rotation_site(sites: LabSites, **changes: Any) -> Iterator[SyncRotationSite]:
    """Bring the lab's next site to where a rotation begins, and look at its string all the time."""
    with rotation_site(sites, which="sync", **changes) as site:
        name = site.bench.site.name
        entry = next(one for one in sites.lab.info["sites"] if one["name"] == name)
        with config.new_client_from_config(entry["kubeconfig"]) as api:
            found = SyncSite(sites.lab, name, client.CoreV1Api(api))
            wait_until(found.is_online)
            with found.watched(rest=0.1):
                patience = site.bench.site.patience
                yield SyncRotationSite(found, site.rotations, site.load, patience)
