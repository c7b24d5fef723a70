"""What a site's registry keeps on its volume claim: identity, content, credentials, settings.

Only a sync changes it (and a client's push, on a ReadWrite registry), so it shows what the site
knows, however much Azure has changed since.
"""

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Password:
    """One password of a client token, salted and hashed, with its end of life."""

    name: str
    salt: bytes
    digest: bytes
    expiry: datetime | None

    def matches(self, password: str, now: datetime) -> bool:
        """Tell whether `password` is this one and still valid."""
        if self.expiry is not None and now >= self.expiry:
            return False
        return hmac.compare_digest(hash_password(self.salt, password), self.digest)


@dataclass(frozen=True)
class ClientToken:
    """A token that may log in at the site; `actions` are those of its scope map."""

    name: str
    enabled: bool
    actions: frozenset[str]
    passwords: tuple[Password, ...]


@dataclass(frozen=True)
class Manifest:
    """A manifest's bytes and media type."""

    media_type: str
    content: bytes


@dataclass(frozen=True)
class Repository:
    """A repository as copied: tag -> digest, digest -> manifest, digest -> blob."""

    tags: dict[str, str]
    manifests: dict[str, Manifest]
    blobs: dict[str, bytes]


@dataclass(frozen=True)
class Pushed:
    """An image that a client pushed here and that the parent does not have yet."""

    repository: str
    tag: str | None
    digest: str
    manifest: Manifest
    blobs: dict[str, bytes]


@dataclass(frozen=True)
class Settings:
    """How the registry is configured in Azure, as last synced."""

    mode: str = "ReadOnly"
    schedule: str = "* * * * *"
    window: timedelta | None = None
    message_ttl: timedelta = timedelta(days=2)
    log_level: str = "Information"


@dataclass
class Volume:
    """The persistent part of one installation; the same volume is the same instance.

    `staged` are blobs that clients uploaded and no manifest has named yet, `outbox` the images
    that the next sync sends to the parent.
    """

    instance_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    signing_key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    activated: bool = False
    tokens: dict[str, ClientToken] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    staged: dict[str, bytes] = field(default_factory=dict)
    outbox: list[Pushed] = field(default_factory=list)
    settings: Settings = Settings()
    last_sync: datetime | None = None
    silent_since: datetime | None = None


def hash_password(salt: bytes, password: str) -> bytes:
    """Return the salted SHA-256 of a password (the lab's secrets are throw-away)."""
    return hashlib.sha256(salt + password.encode()).digest()
