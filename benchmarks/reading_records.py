"""How long reading a fleet's records takes, against reading the same files plainly.

`python -m benchmarks.reading_records`: the plain way reads each file and parses its JSON; ours also
finds the storage, unwraps what Prefect wraps, and checks each record. Prefect's own reader is the
third column. CPU seconds, the best of five, since other programs use the machine too.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from fleet.records import record_key
from tasks.records import read_records
from tests.many_sites import FLEET, names, write_storage

_TIMES = 5


def main() -> None:
    """Print a row for each size of a fleet."""
    print("sites  plain     acrfleet        Prefect's reader")
    for count in (10, 100, 500):
        with tempfile.TemporaryDirectory(prefix="acrfleet-bench-") as folder:
            write_storage(Path(folder), count)
            with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: Path(folder)}):
                plain = best(lambda: read_plainly(Path(folder)))
                ours = best(lambda: read_records(FLEET, names(count)))  # noqa: B023 - at once
                theirs = best(lambda: read_with_prefect(Path(folder), count))  # noqa: B023
        print(
            f"{count:5}  {plain * 1000:5.1f} ms  {ours * 1000:6.1f} ms {ours / plain:5.1f}x"
            f"  {theirs * 1000:7.1f} ms {theirs / plain:6.1f}x"
        )


def best(work: Callable[[], object]) -> float:
    """Return the CPU seconds of the fastest of some runs."""
    found = []
    for _ in range(_TIMES):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def read_plainly(folder: Path) -> list[object]:
    """Read the records as any script would."""
    return [json.loads(path.read_bytes()) for path in (folder / "sites" / FLEET).iterdir()]


def read_with_prefect(folder: Path, count: int) -> list[object]:
    """Read the records with Prefect's reader, one by one."""
    storage = LocalFileSystem(basepath=str(folder))
    found = []
    for name in names(count):
        try:
            store = ResultStore(result_storage=storage, cache_result_in_memory=False)
            found.append(store.read(record_key(FLEET, name)).result)
        except ValueError:
            continue
    return found


if __name__ == "__main__":
    main()
