"""The Azure part alone, for clients such as Terraform, az or your own scripts."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from lab.audit import AuditLog
from lab.azure.azure_lab import AzureLab
from lab.azure.registry_lab import RegistryLab
from lab.certificates import Authority
from lab.clock import Clock
from lab.faults import Faults

GROUP = "edge"
REGISTRY = "acrfleet"
REPOSITORIES = {
    "vessel/navigation": ("1.4.0", "1.5.0"),
    "vessel/telemetry": ("2.0.1",),
    "shore/reporting": ("3.2.0",),
}


def main(arguments: list[str]) -> int:
    """Run the Azure part until Ctrl-C; return the exit status (1 when it could not start)."""
    options = _parser().parse_args(arguments)
    try:
        asyncio.run(_until_stopped(options))
    except (ValueError, OSError, TypeError) as error:
        sys.stderr.write(f"lab: {error}\n")
        return 1
    return 0


async def run(
    *,
    port: int = 0,
    folder: Path = Path(".lab-azure"),
    profile: str = "recorded",
    faults: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Serve one registry until the task is cancelled (Ctrl-C).

    Writes `azure.json` (the same keys as `azure` and `registries` in lab.json), the CA's
    certificate and `audit.log` into `folder`; says where, and `Ready` last.

    Args:
        port: The port of the login service and ARM; 0 takes a free one.
        folder: Where the files go.
        profile: `recorded` or `spec`.
        faults: A file of faults, as lab/faults.py reads it.
        say: Prints one line; by default to standard output, at once.
    """
    say = say or _say
    ordered = Faults.load(faults) if faults else Faults()
    audit, authority = AuditLog(folder / "audit.log"), Authority(folder)
    lab = AzureLab(audit, ordered, Clock(), authority, profile=profile)
    await lab.start(port=port)
    try:
        registry = await lab.add_registry(REGISTRY, GROUP, repositories=REPOSITORIES)
        file = _write_description(folder / "azure.json", lab, registry)
        say(f"Azure: {lab.resource_manager}")
        say(f"Registry {registry.name}: https://{registry.login_server}")
        say(f"Login and addresses: {file}")
        say("Ready")
        await asyncio.Event().wait()
    finally:
        await lab.stop()


def describe(lab: AzureLab) -> dict[str, str]:
    """Return what a client needs to log in, as it stands below `azure` in lab.json."""
    return {
        "resource_manager": lab.resource_manager,
        "authority": lab.authority_url,
        "tenant_id": lab.tenant_id,
        "subscription_id": lab.subscription_id,
        "client_id": lab.client_id,
        "client_secret": lab.client_secret,
        "ca_file": str(lab.ca_file.resolve()),
    }


def describe_registry(registry: RegistryLab) -> dict[str, str]:
    """Return one entry of `registries` in lab.json."""
    return {
        "name": registry.name,
        "login_server": registry.login_server,
        "resource_group": registry.state.group,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab azure",
        description="Azure alone: login, Resource Manager and one registry, until Ctrl-C.",
        epilog="example: python -m lab azure --port 8443 --dir /tmp/azure --profile spec",
    )
    parser.add_argument("--port", type=int, default=0, help="port of Resource Manager (a free one)")
    parser.add_argument("--dir", type=Path, default=Path(".lab-azure"), help="where its files go")
    parser.add_argument("--profile", choices=("recorded", "spec"), default="recorded")
    parser.add_argument("--faults", type=Path, metavar="FILE", help="YAML or JSON list of faults")
    return parser


async def _until_stopped(options: argparse.Namespace) -> None:
    serving = asyncio.create_task(
        run(port=options.port, folder=options.dir, profile=options.profile, faults=options.faults)
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    await asyncio.wait([serving])
    if not serving.cancelled():
        serving.result()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _write_description(file: Path, lab: AzureLab, registry: RegistryLab) -> Path:
    file.touch(mode=0o600)
    content = {"azure": describe(lab), "registries": [describe_registry(registry)]}
    file.write_text(json.dumps(content, indent=2) + "\n")
    return file
