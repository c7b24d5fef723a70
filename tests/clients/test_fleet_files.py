"""Reading fleet files from disk: what can be wrong with a file before its content counts."""

from pathlib import Path

import pytest

from clients.fleet_files import read_fleet
from fleet.errors import FleetFileError, FleetFileUnreadableError

EXAMPLE = Path(__file__).parents[2] / "deployments" / "fleet.example.yaml"


def test_the_example_is_read() -> None:
    assert read_fleet(EXAMPLE).name == "northsea"


def test_a_byte_order_mark_from_windows_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + EXAMPLE.read_bytes())
    assert read_fleet(file).name == "northsea"


def test_problems_name_the_file_that_was_read(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text("- x\n", encoding="utf-8")
    with pytest.raises(FleetFileError) as error:
        read_fleet(file)
    assert error.value.problems[0].startswith(f"{file}:1: the file holds a list")


def test_a_missing_file_a_folder_and_wrong_bytes_get_their_own_sentences(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("fleet: Østfold".encode("latin-1"))
    for path, words in (
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "Is a directory"),
        (latin, "byte 7 is not UTF-8"),
    ):
        with pytest.raises(FleetFileUnreadableError, match=words):
            read_fleet(path)
