"""The Azure part alone, for clients such as Terraform, az or your own scripts."""

import asyncio
import json
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


async def run(
    *,
    port: int = 0,
    folder: Path = Path("azure-lab"),
    profile: str = "recorded",
    faults: Path | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve one registry until the task is cancelled (Ctrl-C).

    Writes `azure.json` (the same keys as `azure` and `registries` in lab.json), the CA's
    certificate and `audit.log` into `folder`; says where, and `Ready` last.

    Args:
        port: The port of the login service and ARM; 0 takes a free one.
        folder: Where the files go.
        profile: `recorded` or `spec`.
        faults: A file of faults, as lab/faults.py reads it.
        say: Prints one line.
    """
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


def _write_description(file: Path, lab: AzureLab, registry: RegistryLab) -> Path:
    file.touch(mode=0o600)
    content = {"azure": describe(lab), "registries": [describe_registry(registry)]}
    file.write_text(json.dumps(content, indent=2) + "\n")
    return file
