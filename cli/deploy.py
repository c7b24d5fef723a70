"""`acrfleet deploy`: put schedules and forms of the flows on a Prefect server."""

from pathlib import Path

import click

from cli.input_errors import readable


@click.command()
@click.option("--pool", help="Work pool of all deployments; without it as the file says.")
@click.option("--create-pool", is_flag=True, help="Make the work pool (process) if it is missing.")
@click.option("--fleet-file", help="Path of the fleet file on the worker's machine.")
@click.option(
    "--notify",
    metavar="TYPE/NAME",
    help="Send alarms through this notification block, such as slack-webhook/ops.",
)
@click.option(
    "--file",
    "deployment_file",
    type=click.Path(path_type=Path),
    default=Path("deployments/prefect.yaml"),
    show_default=True,
    help="The file of deployments.",
)
def deploy(
    pool: str | None,
    create_pool: bool,
    fleet_file: str | None,
    notify: str | None,
    deployment_file: Path,
) -> None:
    r"""Put the schedules and the forms of all flows on the Prefect server; twice is once.

    Run it in the project folder: workers on this machine run the flows from there. What is left
    out goes back to what the file of deployments says.

    \b
    Example:
        acrfleet deploy --pool edge --create-pool --fleet-file /etc/acrfleet/fleet.yaml
        acrfleet deploy --pool edge --fleet-file /etc/acrfleet/fleet.yaml --notify slack-webhook/ops
        prefect worker start --pool edge
    """
    with readable():
        from fleet.deployment_file import pools_of, when_of, with_choices
        from tasks.automations import apply_automations, prepare_automations
        from tasks.deploying import apply_deployments, read_deployment_file, require_pool

        folder = Path.cwd()
        content = read_deployment_file(deployment_file)
        chosen = with_choices(content, str(folder), pool, fleet_file)
        pools = pools_of(chosen)
        for name in pools:
            if require_pool(name, create=create_pool):
                click.echo(f"work pool {name}: created")
        alarms = prepare_automations(deployment_file.parent / "automations", notify)
        apply_deployments(chosen, folder)
        told = apply_automations(alarms)
    for entry in chosen["deployments"]:
        click.echo(f"{entry['entrypoint'].rpartition(':')[2]}/{entry['name']}: {when_of(entry)}")
    for name, what in told.items():
        click.echo(f"automation {name}: {what}")
    click.echo(f"{len(chosen['deployments'])} deployments are on the server. Now start a worker:")
    for name in pools:
        click.echo(f"  prefect worker start --pool {name}")
