"""The `acrfleet` command. Heavy imports happen inside the commands, so that help is quick."""

import click

from cli.demo import demo
from cli.fleet_file_commands import schema, validate
from cli.lab_command import lab
from cli.runs import onboard, verify
from cli.status import status

_EPILOG = """\b
Exit codes: 0 all is well, 1 a site failed, 2 wrong input (nothing was changed),
3 nothing failed but a site is still waiting, 130 stopped with Ctrl-C.
"""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="acrfleet")
def main() -> None:
    r"""Put an Azure connected registry on every edge site of a fleet.

    \b
    Example:
        acrfleet validate fleet.yaml
        acrfleet onboard fleet.yaml --site oslo
        acrfleet status fleet.yaml
    """


for command in (validate, schema, onboard, verify, status, demo, lab):
    main.add_command(command)
