"""`python -m lab`: the outside world on this machine, until Ctrl-C."""

import argparse
import asyncio
import resource
import signal
import sys
import time
from pathlib import Path

from lab.azure.standalone import main as run_azure
from lab.faults import Faults
from lab.latency import load_latency
from lab.places import DISTRIBUTION, parse_distributions
from lab.world import World

_EXAMPLES = """examples:
  python -m lab up                                  three sites below .lab
  python -m lab up --sites 100 --latency satellite  a large fleet on bad links
  python -m lab azure --help                        Azure alone
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; return the exit status (0 after Ctrl-C, 1 when it could not start)."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["azure"]:
        return run_azure(given[1:])
    options = _parser().parse_args(given)
    try:
        return asyncio.run(_up(options))
    except (ValueError, OSError, TypeError) as error:
        sys.stderr.write(f"lab: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="The outside world on this machine: Azure, hosts, clusters, edge registries.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("azure", help="start the Azure part alone", add_help=False)
    up = commands.add_parser("up", help="start everything and run until Ctrl-C")
    up.add_argument("--sites", type=int, default=3, metavar="N", help="how many sites (3)")
    up.add_argument("--dir", type=Path, default=Path(".lab"), help="where its files go (.lab)")
    up.add_argument("--port", type=int, default=0, help="port of Resource Manager; control: one up")
    up.add_argument("--latency", default="none", help="none, lan, satellite or a YAML file (none)")
    up.add_argument("--faults", type=Path, metavar="FILE", help="YAML or JSON list of faults")
    up.add_argument("--minute", type=float, default=1.0, help="seconds a lab minute lasts (1)")
    up.add_argument(
        "--distribution",
        default=DISTRIBUTION,
        metavar="NAME",
        help="k3s, rke2 or containerd, also in a version: k3s@v1.28.5+k3s1; or SITE=NAME,... (k3s)",
    )
    up.add_argument("--profile", choices=("recorded", "spec"), default="recorded")
    return parser


async def _up(options: argparse.Namespace) -> int:
    started = time.monotonic()
    _allow_many_files()
    world = World(
        options.dir,
        sites=options.sites,
        port=options.port,
        latency=load_latency(options.latency),
        faults=Faults.load(options.faults) if options.faults else None,
        minute=options.minute,
        profile=options.profile,
        distribution=parse_distributions(options.distribution),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, world.stopping.set)
    await world.start(_say)
    try:
        _say(f"ready after {time.monotonic() - started:.1f} s; files are in {world.folder}:")
        _say("  fleet.yaml  lab.json  env.sh (source it)  audit.jsonl")
        _say(f"  control: {world.control.url}   stop: Ctrl-C")
        await world.stopping.wait()
    finally:
        _say("stopping")
        await world.stop()
    return 0


def _allow_many_files() -> None:
    """Use as many open files as the system allows: a site takes four, and more when it is busy."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
