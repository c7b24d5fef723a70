"""What the process of a rotation runs; tests.tasks.rotation_runs starts and kills it."""

import sys
import traceback
from datetime import UTC, datetime
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, Literal

from prefect import Task
from prefect.settings import PREFECT_API_SSL_CERT_FILE, PREFECT_API_URL, temporary_settings

from fleet.errors import FleetError
from fleet.fleet_file import parse_fleet
from fleet.records import blank_record
from fleet.sites import Site
from fleet.verification import ProbeImage
from tasks.rotation import Place, roll_client_password, waiting_where_away
from tasks.sessions import RegistrySession, open_site
from tasks.site_facts import find_site_registry
from tasks.site_runs import SiteRun
from tasks.sync_rotation import roll_sync_password
from tests.tasks.site_bench import a_registry_session

REPOSITORY, TAG = "vessel/navigation", "1.4.0"
_FIRST_RETRY = 0.05
Which = Literal["client", "sync"]


def rotate_once(
    lab: tuple[str, dict[str, Any]],
    prefect: str,
    site: str,
    which: Which,
    asked: bool,
    changes: dict[str, Any],
    answers: "SimpleQueue[str]",
) -> None:
    """Roll one of a site's passwords as `rotate_site` does, and put what came of it into a queue.

    Args:
        lab: Its folder and what it says about its Azure.
        prefect: URL of the Prefect server.
        site: Its name.
        which: Which password.
        asked: Roll even though it is not due.
        changes: Fields of the site that are other than in the lab's fleet file.
        answers: Gets `done: ...`, or the error's class and text.
    """
    folder, azure = lab
    _retry_soon()
    try:
        fleet = parse_fleet((Path(folder) / "fleet.yaml").read_text(), "fleet.yaml")
        entry = next(one for one in fleet.sites if one.name == site).model_copy(update=changes)
        registry = fleet.registries[entry.registry]
        # Every killed process leaves its slots of the limit taken for a minute.
        registry = registry.model_copy(update={"max_concurrent_calls": 64})
        with (
            # Prefect reads this for each task: all of a machine's CAs are half of what a run costs.
            temporary_settings(
                {PREFECT_API_URL: prefect, PREFECT_API_SSL_CERT_FILE: azure["ca_file"]}
            ),
            a_registry_session(azure, registry) as cloud,
        ):
            answers.put(f"done: {_rotate(entry, cloud, which, asked)}")
    except FleetError as error:
        answers.put(f"{type(error).__name__}: {error}")
    except BaseException:
        answers.put(traceback.format_exc())
        raise


def _rotate(site: Site, cloud: RegistrySession, which: Which, asked: bool) -> str:
    run = SiteRun(site, blank_record(site, datetime.now(UTC)))
    with open_site(site, cloud) as session, waiting_where_away(session, run):
        if which == "sync":
            return roll_sync_password(session, REPOSITORY, asked=asked, did=run.did).message
        digest = cloud.catalog.find_digest(REPOSITORY, TAG)
        probe = ProbeImage(repository=REPOSITORY, tag=TAG, digest=str(digest))
        server = cloud.access.read_registry().login_server
        place = Place(session, find_site_registry(session), server, probe)
        return roll_client_password(place, asked=asked, did=run.did).message


def _retry_soon() -> None:
    """Let steps try again as often as ever, but with a test's patience in between."""
    modules = [module for name, module in sys.modules.items() if name.startswith("tasks.")]
    for module in modules:
        for step in vars(module).values():
            if isinstance(step, Task):
                step.retry_delay_seconds = [_FIRST_RETRY * 2**n for n in range(step.retries)]
