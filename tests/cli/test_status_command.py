"""What `acrfleet status` shows of a fleet of 60 sites that has run for a while."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from cli.main import main
from tests.many_sites import digest_of, names, record_of, write_fleet_file, write_storage

COUNT = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    write_fleet_file(folder / "fleet.yaml", COUNT)
    write_storage(folder / "storage", COUNT, datetime.now(UTC))
    return folder


@pytest.fixture(autouse=True)
def _storage(folder: Path) -> Iterator[None]:
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: folder / "storage"}):
        yield


def status(folder: Path, *options: str) -> str:
    ended = CliRunner().invoke(main, ["status", str(folder / "fleet.yaml"), *options])
    assert ended.exit_code == 0, ended.output
    return ended.output


def rows(output: str) -> list[str]:
    return re.findall(r"^site-\d+", output, re.MULTILINE)


def by_status(*wanted: str) -> list[str]:
    found = {name: record_of(name, datetime.now(UTC)) for name in names(COUNT)}
    return [name for name, one in found.items() if one and one.last_status.value in wanted]


def test_every_site_has_a_row_in_the_order_of_the_file(folder: Path) -> None:
    output = status(folder)
    assert rows(output) == names(COUNT)
    never = COUNT - output.count("10.43.84.150:80")
    assert output.count("never run") == never > 0
    assert f"{COUNT - never} of {COUNT} sites have a record" in output


def test_the_sites_that_fail_are_chosen_and_the_rest_is_counted(folder: Path) -> None:
    failing = by_status("failed", "stopped")
    output = status(folder, "--failing")
    assert rows(output) == failing
    assert f"{len(failing)} of {COUNT} sites shown: {len(failing)} failed" in output
    assert set(rows(status(folder, "--status", "waiting"))) == set(by_status("waiting"))


def test_the_password_that_ends_first_stands_first(folder: Path) -> None:
    found = json.loads(status(folder, "--sort", "password", "--ending-within", "30d", "--json"))
    ends = [record["password"]["expires"] for record in found.values()]
    assert ends == sorted(ends)
    assert 0 < len(ends) < COUNT


def test_images_are_shown_by_tag_and_by_site(folder: Path) -> None:
    output = status(folder, "--images", "--behind")
    images, sites = output.split("site      compared")
    assert re.search(r"^vessel/engine:1\.4 +missing +\d+ ", images, re.MULTILINE)
    assert re.search(r"^vessel/engine:0\.9 +gone +\d+ +no longer there", images, re.MULTILINE)
    assert len(rows(sites)) == len(set(rows(sites))) > 0
    assert f"{len(rows(sites))} of them behind" in sites


def test_the_sites_that_still_hold_a_digest_are_named(folder: Path) -> None:
    old = digest_of("vessel/engine", "1.5", 1)
    behind = set(rows(status(folder, "--images", "--behind").split("site      compared")[1]))
    output = status(folder, "--images", "--digest", old[:19])
    assert set(rows(output)) == behind
    assert f"{len(behind)} of {COUNT} sites hold or run {old[:19]}, pods of 0 run it" in output
    held = json.loads(status(folder, "--digest", old, "--json"))
    assert {one["site"] for one in held} == behind
    assert {name for one in held for name in one["held"]} == {"vessel/engine:1.5"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--older-than", "soon"), "is no length of time; write 30m, 12h or 2d"),
        (("--digest", "latest"), "is no digest"),
        (("--watch",), "--watch shows the table of sites on a terminal"),
        (("--site", "sight-001"), "no site of the fleet file matches"),
    ],
)
def test_a_wrong_option_is_explained(folder: Path, options: tuple[str, ...], words: str) -> None:
    ended = CliRunner().invoke(main, ["status", str(folder / "fleet.yaml"), *options])
    assert ended.exit_code == 2
    assert words in ended.output


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_watching_shows_the_table_anew_in_place_until_ctrl_c(folder: Path) -> None:
    parent, child = pty.openpty()
    env = os.environ | {
        "PREFECT_LOCAL_STORAGE_PATH": str(folder / "storage"),
        "TERM": "xterm-256color",
        "COLUMNS": "150",
        "LINES": "20",
    }
    command = ["status", str(folder / "fleet.yaml"), "--watch", "--every", "0.2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *command], stdin=child, stdout=child, stderr=child, env=env
    )
    os.close(child)
    seen = b""
    while process.poll() is None and seen.count(b"Ctrl-C ends") < 3:
        seen += _read(parent)
    process.send_signal(signal.SIGINT)
    while process.poll() is None:
        seen += _read(parent)
    seen += _read(parent)
    os.close(parent)
    assert process.returncode == 0, seen.decode()
    assert b"Traceback" not in seen
    assert seen.count(b"\x1b[?1049h") == seen.count(b"\x1b[?1049l") == 1, "a screen of its own"
    assert b"\x1b[2J" not in seen, "it never goes blank in between"
    assert b"more; choose with" in seen


def _read(terminal: int) -> bytes:
    time.sleep(0.02)
    ready, _, _ = select.select([terminal], [], [], 0)
    try:
        return os.read(terminal, 65536) if ready else b""
    except OSError:
        return b""
