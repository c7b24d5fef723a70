"""No password of a rotation, old or new, is anywhere but in the Secret."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import get_current_settings

from lab.thread import LabThread
from tests.flows.lab_runs import change_fleet, onboard, running_lab
from tests.flows.processes import environment, start
from tests.flows.pull_load import pulling
from tests.flows.test_canaries import (
    PROJECT,
    ArgumentWatch,
    database_folder,
    encodings,
    find,
    site_secrets,
)

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("prefect_harness"),
]
GENERATE = "POST *generateCredentials"
# A pull that has read the old password has to come to its end within it.
GRACE = 8


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabThread]:
    with running_lab(tmp_path / "lab", monkeypatch, sites=1) as lab:
        change_fleet(lab, rotation={"grace": f"{GRACE}s"})
        yield lab


def test_no_password_of_a_rotation_is_in_database_results_logs_arguments_or_files(
    lab: LabThread, tmp_path: Path
) -> None:
    onboard(lab)
    secrets, watch = site_secrets(lab), ArgumentWatch()
    env = environment(lab, PREFECT_LOGGING_LEVEL="DEBUG")
    fleet = str(lab.folder / "fleet.yaml")
    watch.start()
    lab.faults.add(part="azure", kind="drop-after", match=GENERATE, times=1)
    with pulling(lab, "oslo") as load:
        output = _rotate(fleet, env, "--now")
        lab.faults.add(part="azure", kind="status", status=400, match="PATCH *tokens*", times=1)
        time.sleep(GRACE + 0.1)
        output += _rotate(fleet, env, code=1)
        output += _rotate(fleet, env)
    assert load.failures == []
    watch.ended.set()
    watch.join()
    secrets += site_secrets(lab)
    assert len(set(secrets)) == 4, "both passwords were rolled"

    needles = set().union(*(encodings(secret) for secret in secrets))
    (tmp_path / "control").mkdir()
    (tmp_path / "control/leak").write_bytes(b"..." + min(needles) + b"...")
    assert len(find(needles, tmp_path / "control")) >= 1
    assert find(needles, database_folder()) == []
    assert any(database_folder().glob("*.db"))
    assert find(needles, Path(get_current_settings().home)) == []
    assert find(needles, PROJECT) == []
    assert find(needles, lab.folder) == []
    assert [needle for needle in needles if needle in output] == []
    assert [line for line in watch.seen if any(needle in line for needle in needles)] == []
    assert any(b"rotate" in line for line in watch.seen)
    assert list(Path("/dev/shm").glob("acrfleet-*")) == []


def _rotate(fleet: str, env: dict[str, str], *options: str, code: int = 0) -> bytes:
    process = start(["rotate", fleet, "--verbose", *options], env)
    output, _ = process.communicate()
    assert process.returncode == code, output.decode()[-3000:]
    return output
