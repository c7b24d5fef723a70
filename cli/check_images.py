"""`acrfleet check-images`: how fresh the images at the sites are."""

from typing import Any

import click

from cli.runs import run_command, with_run_options
from fleet.freshness import NEWEST_TAGS


@click.command("check-images")
@with_run_options
@click.option(
    "--newest-tags",
    type=click.IntRange(1, 100),
    default=NEWEST_TAGS,
    show_default=True,
    help="Tags of each repository that are compared, the newest first.",
)
def check_images(**options: Any) -> None:
    r"""Compare the images at sites with Azure: digest by digest, and for how long they are behind.

    Nothing is changed. A site that is behind is no failure; one that is away keeps its last known
    figures. `acrfleet status --images` shows what was found.

    \b
    Example:
        acrfleet check-images fleet.yaml
        acrfleet check-images fleet.yaml --tag ship --newest-tags 20
        acrfleet status fleet.yaml --images
    """
    run_command("flows.check_images", "check_images", **options)
