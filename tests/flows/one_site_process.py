"""A process that runs one site's empty work and prints what became of it."""

import sys

from prefect import flow

from tasks.site_runs import run_sites
from tests.builders import a_site


@flow(name="one site")
def _one_site() -> None:
    report = run_sites("onboard", "northsea", [a_site("oslo")], lambda _: None, 1)
    sys.stdout.write(f"{report.results[0].status}\n")


if __name__ == "__main__":
    _one_site()
