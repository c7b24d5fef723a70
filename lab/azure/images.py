"""Repositories with real OCI images: a manifest, a configuration and tiny layers."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_BUILT = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Manifest:
    """A manifest as stored: its digest is the SHA-256 of exactly these bytes."""

    digest: str
    media_type: str
    data: bytes
    size: int
    created: datetime


@dataclass
class RepositoryContent:
    """One repository: tags name manifests, manifests name blobs."""

    name: str
    created: datetime
    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def find(self, reference: str) -> Manifest | None:
        """Return the manifest with this tag or digest."""
        return self.manifests.get(self.tags.get(reference, reference))

    def tags_of(self, digest: str) -> list[str]:
        """Return the tags that name this manifest."""
        return sorted(tag for tag, named in self.tags.items() if named == digest)


@dataclass
class RegistryContent:
    """All repositories of one registry."""

    repositories: dict[str, RepositoryContent] = field(default_factory=dict)

    def add_image(self, repository: str, tag: str, now: datetime | None = None) -> Manifest:
        """Build an image for `repository:tag`, push it and return its manifest.

        The image differs per repository and tag and is the same on every run.
        """
        now = now or datetime.now(UTC)
        found = self.repositories.get(repository)
        content = found or RepositoryContent(repository, now)
        self.repositories[repository] = content
        layers = [_layer("etc/os-release", "ID=lab\nPRETTY_NAME=acrfleet-lab\n")]
        layers.append(_layer("app/version", f"{repository}:{tag}\n"))
        config = _config(repository, tag, layers)
        blobs = [config, *(gzip.compress(layer, mtime=0) for layer in layers)]
        content.blobs.update({digest_of(blob): blob for blob in blobs})
        data = _manifest(blobs[0], blobs[1:])
        size = sum(len(blob) for blob in blobs) + len(data)
        manifest = Manifest(digest_of(data), MANIFEST, data, size, now)
        content.manifests[manifest.digest] = manifest
        content.tags[tag] = manifest.digest
        return manifest

    def size(self) -> int:
        """Return the bytes that all distinct blobs and manifests take."""
        blobs: dict[str, int] = {}
        for repository in self.repositories.values():
            blobs |= {digest: len(data) for digest, data in repository.blobs.items()}
            blobs |= {digest: len(each.data) for digest, each in repository.manifests.items()}
        return sum(blobs.values())


def digest_of(data: bytes) -> str:
    """Return the digest under which a registry keeps these bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _layer(path: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(path)
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def _config(repository: str, tag: str, layers: Iterable[bytes]) -> bytes:
    return _json(
        {
            "created": _BUILT,
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"org.opencontainers.image.ref.name": f"{repository}:{tag}"}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
    )


def _manifest(config: bytes, layers: Iterable[bytes]) -> bytes:
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [_descriptor(_LAYER, layer) for layer in layers],
        }
    )


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def _json(value: dict[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
