"""`acrfleet check-expiry`: which passwords end before long, by Azure alone."""

from typing import Any

import click

from cli.runs import run_command, with_run_options


@click.command("check-expiry")
@with_run_options
def check_expiry(**options: Any) -> None:
    r"""Fail when a password of FLEET_FILE ends within `rotation.alert_before`; changes nothing.

    Only Azure is asked, so sites that are away are checked too.

    \b
    Example:
        acrfleet check-expiry fleet.yaml
        acrfleet check-expiry fleet.yaml --tag ship --json
    """
    run_command("flows.check_expiry", "check_expiry", **options)
