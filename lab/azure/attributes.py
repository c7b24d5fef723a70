"""What ACR's own API tells about repositories, tags and manifests."""

from typing import Any

from lab.azure.images import Manifest, RepositoryContent
from lab.azure.rendering import stamp

_UNLOCKED = {
    "deleteEnabled": True,
    "writeEnabled": True,
    "readEnabled": True,
    "listEnabled": True,
}


def repository_attributes(content: RepositoryContent) -> dict[str, Any]:
    """Describe a repository."""
    times = [content.created, *(each.created for each in content.manifests.values())]
    return {
        "createdTime": stamp(content.created),
        "lastUpdateTime": stamp(max(times)),
        "manifestCount": len(content.manifests),
        "tagCount": len(content.tags),
        "changeableAttributes": dict(_UNLOCKED),
    }


def tag_attributes(content: RepositoryContent, tag: str) -> dict[str, Any]:
    """Describe a tag."""
    manifest = content.manifests[content.tags[tag]]
    return {
        "name": tag,
        "digest": manifest.digest,
        "createdTime": stamp(manifest.created),
        "lastUpdateTime": stamp(manifest.created),
        "signed": False,
        "changeableAttributes": dict(_UNLOCKED),
    }


def manifest_attributes(content: RepositoryContent, manifest: Manifest) -> dict[str, Any]:
    """Describe a manifest."""
    return {
        "digest": manifest.digest,
        "imageSize": manifest.size,
        "createdTime": stamp(manifest.created),
        "lastUpdateTime": stamp(manifest.created),
        "architecture": "amd64",
        "os": "linux",
        "mediaType": manifest.media_type,
        "tags": content.tags_of(manifest.digest),
        "changeableAttributes": dict(_UNLOCKED),
    }
