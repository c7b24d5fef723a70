"""Apply the file of deployments to a Prefect server, by Prefect's own `prefect deploy`."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectException
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from fleet.deployment_file import check_deployments
from fleet.errors import (
    DeploymentFileError,
    DeploymentRefusedError,
    PrefectServerMissingError,
    WorkPoolMissingError,
)

_PATIENCE = 600
_LINES = 12


def read_deployment_file(path: Path) -> dict[str, Any]:
    """Return the content of a file of deployments.

    Raises:
        DeploymentFileError: It does not exist, is no YAML, or lacks something.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeploymentFileError(
            f"{path} cannot be read ({error.strerror}). Run `acrfleet deploy` in the project "
            "folder, a clone of acrfleet, or name its file with --file."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DeploymentFileError(f"{path} is not YAML: {error}") from None
    return check_deployments(content, str(path))


def require_pool(name: str, *, create: bool) -> bool:
    """Make sure that a work pool exists; return whether it was made.

    Args:
        name: The pool.
        create: Make a process pool if there is none.

    Raises:
        WorkPoolMissingError: There is none, and none was to be made.
        PrefectServerMissingError: No server is set, or it does not answer.
    """
    with prefect_server() as client:
        try:
            client.read_work_pool(name)
        except ObjectNotFound:
            if not create:
                raise WorkPoolMissingError(
                    f"The work pool {name} does not exist. Make it with `prefect work-pool create "
                    f"{name} --type process`, or use --create-pool."
                ) from None
            return _create_pool(client, name)
    return False


def apply_deployments(content: Mapping[str, Any], folder: Path) -> None:
    """Make or change every deployment of a file's content; what is right already stays.

    Args:
        content: What `with_choices` returned.
        folder: The project folder, where the entry points are.

    Raises:
        DeploymentRefusedError: Prefect refused, with its last words.
    """
    with tempfile.TemporaryDirectory(prefix="acrfleet-deploy-") as place:
        path = Path(place) / "prefect.yaml"
        path.write_text(yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")
        command = (sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all")
        try:
            ended = subprocess.run(  # noqa: S603 - no part of it is anybody's input
                [*command, "--prefect-file", str(path)],
                cwd=folder,
                env=os.environ
                | get_current_settings().to_environment_variables(exclude_unset=True),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DeploymentRefusedError(
                f"`prefect deploy` did not end within {_PATIENCE} s; run it again"
            ) from None
    if ended.returncode != 0:
        words = [line.rstrip() for line in ended.stdout.splitlines() if line.strip()]
        raise DeploymentRefusedError(
            "`prefect deploy` failed; it said:\n" + "\n".join(words[-_LINES:])
        )


@contextmanager
def prefect_server() -> Iterator[SyncPrefectClient]:
    """Talk to the Prefect server that is set; its refusal and its silence are errors of ours.

    Raises:
        PrefectServerMissingError: No server is set, or it does not answer.
        DeploymentRefusedError: It refused what the block asked of it.
    """
    url = _without_login(get_current_settings().api.url)
    if url is None:
        raise PrefectServerMissingError(
            "No Prefect server is set, and a temporary one would forget its deployments. Start one "
            "with `prefect server start` and set PREFECT_API_URL=http://127.0.0.1:4200/api."
        )
    try:
        with get_client(sync_client=True) as client:
            yield client
    except httpx.HTTPStatusError as error:
        raise DeploymentRefusedError(
            f"The Prefect server at {url} refused: HTTP {error.response.status_code}"
        ) from None
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        raise PrefectServerMissingError(
            f"The Prefect server at {url} does not answer ({type(error).__name__}). Start it, or "
            "set PREFECT_API_URL to the one you mean."
        ) from None


def _without_login(url: str | None) -> str | None:
    """Return an address without the user and password that somebody may have put into it."""
    return re.sub(r"//[^/@]*@", "//", url) if url else None


def _create_pool(client: SyncPrefectClient, name: str) -> bool:
    template = ProcessWorker.get_default_base_job_template()
    pool = WorkPoolCreate(name=name, type="process", base_job_template=template)
    try:
        client.create_work_pool(pool)
    except ObjectAlreadyExists:
        return False
    return True
