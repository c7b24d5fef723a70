"""The `acrfleet` command. Heavy imports happen inside the commands, so that help is quick."""

import click

from cli.adopt import adopt
from cli.apply import apply
from cli.check_expiry import check_expiry
from cli.check_images import check_images
from cli.demo import demo
from cli.deploy import deploy
from cli.explain import explain
from cli.fleet_file_commands import schema, validate
from cli.inspect_nodes import inspect
from cli.lab_command import lab
from cli.metrics import metrics
from cli.offboard import offboard
from cli.plan import plan
from cli.reconcile import reconcile
from cli.report import report
from cli.revoke import revoke
from cli.runs import onboard, rotate, verify
from cli.status import status

_EPILOG = """\b
Exit codes: 0 all is well, 1 a site failed, 2 wrong input (nothing was changed;
of plan: there are changes, and wrong input is 1; of reconcile: something drifted),
3 nothing failed but a site is still waiting, 130 stopped with Ctrl-C.
"""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="acrfleet")
def main() -> None:
    r"""Put an Azure connected registry on every edge site of a fleet.

    \b
    Example:
        acrfleet validate fleet.yaml
        acrfleet inspect fleet.yaml oslo
        acrfleet plan fleet.yaml oslo
        acrfleet onboard fleet.yaml --site oslo
        acrfleet status fleet.yaml
    """


_COMMANDS = (
    validate,
    schema,
    inspect,
    plan,
    apply,
    onboard,
    adopt,
    verify,
    reconcile,
    explain,
    rotate,
    check_expiry,
    check_images,
    revoke,
    offboard,
    status,
    report,
    metrics,
    deploy,
    demo,
    lab,
)
for command in _COMMANDS:
    main.add_command(command)

for command in (main, *main.commands.values()):
    # click wants the character; in a raw docstring it is a backslash and a letter.
    command.help = (command.help or "").replace("\\b", "\b")
