"""Files on a host, as they are and as they shall be."""

import hashlib
from datetime import datetime

from pydantic import SecretStr

from fleet.strict import Strict

ABSENT = "absent"
"""The hash of a file that is not there."""


class HostFile(Strict):
    """A file on a host. `text` is secret because registries.yaml may hold passwords of others."""

    path: str
    kind: str = "absent"
    text: SecretStr | None = None
    sha256: str = ABSENT
    modified: datetime | None = None
    newest_backup: str | None = None

    @property
    def content(self) -> str | None:
        """Return the text, or None when there is no file."""
        return None if self.text is None else self.text.get_secret_value()


class FileChange(Strict):
    """One file of a host and the text that it shall have; None: it shall not be there.

    `mode` is for a file that is not there yet; one that is keeps owner, mode and SELinux context.
    With `keep_backup` the old file stays beside the new one.
    """

    before: HostFile
    wanted: SecretStr | None
    mode: int = 0o600
    keep_backup: bool = True

    @property
    def path(self) -> str:
        """Return the file's path."""
        return self.before.path

    @property
    def wanted_sha256(self) -> str:
        """Return the hash of the file as it shall be."""
        return ABSENT if self.wanted is None else sha256_of(self.wanted.get_secret_value())

    @property
    def is_due(self) -> bool:
        """Return whether the file differs from what it shall be."""
        return self.before.sha256 != self.wanted_sha256


def sha256_of(text: str) -> str:
    """Return what `sha256sum` prints for a file with this text."""
    return hashlib.sha256(text.encode()).hexdigest()
