"""What a lab leaves in its folder for its users: lab.json, fleet.yaml, env.sh, kubeconfigs."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import yaml

from lab.places import DISTRIBUTION

FLEET_NAME = "lab"
_MARK = "lab.json"
_OURS = ("hosts", "ca", "kubeconfigs", "fleet.yaml", "env.sh", "audit.jsonl")
_FLEET_HEAD = "# Written by `python -m lab up`; the next start writes it anew.\n"


def make_room(folder: Path) -> None:
    """Make the folder, and remove what an earlier lab left in it.

    Raises:
        ValueError: It holds something, but no lab.json: it is not ours to clear.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / _MARK).exists():
        raise ValueError(f"{folder} is not empty and holds no lab; choose another folder")
    for name in _OURS:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name, onerror=_remove_closed)
        (folder / name).unlink(missing_ok=True)
    (folder / _MARK).touch(mode=0o600)


def write_kubeconfig(folder: Path, site: str, content: str) -> str:
    """Write a site's kubeconfig (0600: it holds a client key) and return its path."""
    path = folder / "kubeconfigs" / f"{site}.yaml"
    path.parent.mkdir(exist_ok=True)
    _write_private(path, content)
    return str(path)


def write_files(folder: Path, info: dict[str, Any]) -> None:
    """Write lab.json, fleet.yaml and env.sh; only lab.json and env.sh hold a secret (0600)."""
    _write_private(folder / _MARK, json.dumps(info, indent=2) + "\n")
    _write_private(folder / "env.sh", _environment(info["azure"]))
    text = yaml.safe_dump(fleet_file(info), sort_keys=False, width=100)
    (folder / "fleet.yaml").write_text(_FLEET_HEAD + text)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)


def _environment(azure: dict[str, Any]) -> str:
    variables = {
        "AZURE_TENANT_ID": azure["tenant_id"],
        "AZURE_CLIENT_ID": azure["client_id"],
        "AZURE_CLIENT_SECRET": azure["client_secret"],
        "AZURE_AUTHORITY_HOST": azure["authority"],
    }
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def fleet_file(info: dict[str, Any]) -> dict[str, Any]:
    """Return the fleet file that describes a lab; it holds no secret."""
    return {
        "version": 1,
        "fleet": FLEET_NAME,
        "registries": {
            registry["name"]: _registry(registry, info["azure"]) for registry in info["registries"]
        },
        "defaults": {
            "repositories": {"include": ["vessel/*"], "exclude": ["vessel/engine-monitor-debug"]},
            "chart": {"version": "0.4.0"},
            "pull_secrets": {"namespaces": ["default"]},
            "tags": ["lab"],
        },
        "sites": [_site(site) for site in info["sites"]],
    }


def _registry(registry: dict[str, Any], azure: dict[str, Any]) -> dict[str, Any]:
    return {
        "subscription_id": azure["subscription_id"],
        "resource_group": registry["resource_group"],
        "name": registry["name"],
        "cloud": {
            "name": "custom",
            "authority": azure["authority"],
            "resource_manager": azure["resource_manager"],
            "audience": azure["audience"],
            "ca_file": azure["ca_file"],
        },
    }


def _site(site: dict[str, Any]) -> dict[str, Any]:
    first = site["nodes"][0]
    kind = site["distribution"]
    return {
        "name": site["name"],
        "registry": site["registry"],
        "nodes": [
            {
                "name": node["name"],
                "address": node["host"],
                "port": node["port"],
                "role": node["role"],
            }
            for node in site["nodes"]
        ],
        "ssh": {key: first[key] for key in ("user", "key_file", "known_hosts")},
        **({} if kind == DISTRIBUTION else {"host": {"distribution": kind}}),
    }


def _remove_closed(_function: Any, path: str, _error: Any) -> None:
    """Remove one of the hosts' closed files or folders, which a user who is not root can't open."""
    closed = Path(path)
    closed.chmod(0o700)
    if closed.is_dir():
        closed.rmdir()
    else:
        closed.unlink()
