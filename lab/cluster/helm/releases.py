"""Releases the way helm keeps them: one Secret per revision, gzipped JSON inside."""

import base64
import gzip
import json
from dataclasses import dataclass, field
from datetime import datetime

import yaml

from lab.cluster.controllers.interface import Api
from lab.cluster.helm.values import Values
from lab.cluster.kinds import Object
from lab.cluster.metadata import timestamp

TYPE = "helm.sh/release.v1"
CONFIG_HASH = "helmcharts.helm.cattle.io/configHash"
_HISTORY = 10


@dataclass
class Release:
    """One revision of a release; `config` is what the user set."""

    name: str
    namespace: str
    revision: int
    status: str
    chart_version: str = ""
    config: Values = field(default_factory=dict)
    objects: list[Object] = field(default_factory=list)
    config_hash: str = ""

    @property
    def secret_name(self) -> str:
        """Return the name of its Secret."""
        return f"sh.helm.release.v1.{self.name}.v{self.revision}"


async def read_releases(api: Api, namespace: str, name: str) -> list[Release]:
    """Return all revisions of a release, oldest first."""
    found = await api.select("Secret", namespace, {"owner": "helm", "name": name})
    releases = [decode_release(secret) for secret in found if secret["type"] == TYPE]
    return sorted(releases, key=lambda release: release.revision)


async def write_release(api: Api, release: Release, now: datetime) -> None:
    """Create or change the Secret of one revision."""
    labels = {
        "owner": "helm",
        "name": release.name,
        "status": release.status,
        "version": str(release.revision),
        "modifiedAt": str(int(now.timestamp())),
    }
    if release.config_hash:
        labels[CONFIG_HASH] = release.config_hash
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": release.secret_name, "namespace": release.namespace, "labels": labels},
        "type": TYPE,
        "data": {"release": _encode(release, now)},
    }
    if await api.find("Secret", release.namespace, release.secret_name):
        await api.update(secret)
    else:
        await api.create(secret)


async def forget_releases(api: Api, releases: list[Release], keep: int = _HISTORY) -> None:
    """Delete all revisions but the newest `keep`."""
    for release in releases[: len(releases) - keep] if keep else releases:
        await api.delete("Secret", release.namespace, release.secret_name)


def _encode(release: Release, now: datetime) -> str:
    body = {
        "name": release.name,
        "namespace": release.namespace,
        "version": release.revision,
        "info": {"status": release.status, "last_deployed": timestamp(now)},
        "chart": {"metadata": {"name": "connected-registry", "version": release.chart_version}},
        "config": release.config,
        "manifest": "\n---\n".join(json.dumps(obj) for obj in release.objects),
    }
    packed = base64.b64encode(gzip.compress(json.dumps(body).encode()))
    return base64.b64encode(packed).decode()


def decode_release(secret: Object) -> Release:
    """Return the release in a Secret, whoever wrote it: the lab's helm or a real one."""
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    body = json.loads(gzip.decompress(packed))
    labels = secret["metadata"]["labels"]
    return Release(
        body["name"],
        body["namespace"],
        body["version"],
        labels["status"],
        body["chart"]["metadata"]["version"],
        body.get("config") or {},
        _objects(body["manifest"]),
        labels.get(CONFIG_HASH, ""),
    )


def _objects(manifest: str) -> list[Object]:
    """Return the objects of a manifest: the lab's helm writes JSON, a real one YAML."""
    if "# Source: " in manifest:
        return [obj for obj in yaml.safe_load_all(manifest) if obj]
    return [json.loads(part) for part in manifest.split("\n---\n") if part]
