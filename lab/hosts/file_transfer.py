"""SFTP on a host's folder, with the permissions that the login user would have."""

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from lab.hosts.folder import USER_ID, resolve

if TYPE_CHECKING:
    from lab.hosts.host import HostLab

_OPEN_FOR_WRITING = (
    asyncssh.FXF_WRITE | asyncssh.FXF_APPEND | asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC
)


class FileTransfer(asyncssh.SFTPServer):
    """Serves files as OpenSSH's sftp-server does: `rename` refuses an existing target.

    Only the host's own folder is seen, not the machine's /usr that commands see.
    """

    def __init__(self, channel: Any, host: "HostLab") -> None:
        """Serve `host`; SFTP changes are reported like those of commands."""
        super().__init__(channel, chroot=os.fsencode(host.root))
        self._host = host
        self._user = channel.get_extra_info("username")
        self._home = "/root" if self._user == "root" else f"/home/{self._user}"
        host.changes.begin()

    def exit(self) -> None:
        """Report what is left to report."""
        self._host.changes.end()

    def map_path(self, path: bytes) -> bytes:
        """Resolve a path inside the host, links in its folders too, its last part as it is."""
        name = posixpath.normpath(posixpath.join(self._home, os.fsdecode(path)))
        folder, last = posixpath.split(name)
        return os.fsencode(resolve(self._host.root, folder) / last)

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        """Open a file; a new one belongs to the user."""
        writing = bool(pflags & _OPEN_FOR_WRITING)
        path = self._follow(path)
        self._require(path, writing=writing)
        is_new = not os.path.lexists(self.map_path(path))
        file = super().open(path, pflags, attrs)
        if is_new:
            self._own(path)
        return file

    def close(self, file_obj: object) -> None:
        """Close a file and report what it changed."""
        super().close(file_obj)
        self._host.changes.check()

    def remove(self, path: bytes) -> None:
        """Remove a file."""
        self._change(path)
        super().remove(path)
        self._host.changes.check()

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Make a folder that belongs to the user."""
        self._change(path)
        super().mkdir(path, attrs)
        self._own(path)
        self._host.changes.check()

    def rmdir(self, path: bytes) -> None:
        """Remove a folder."""
        self._change(path)
        super().rmdir(path)
        self._host.changes.check()

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename, unless the new name exists."""
        self._change(oldpath, newpath)
        super().rename(oldpath, newpath)
        self._host.changes.check()

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename over what is there."""
        self._change(oldpath, newpath)
        super().posix_rename(oldpath, newpath)
        self._host.changes.check()

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        """Make a symbolic link with the target as given."""
        self._change(newpath)
        Path(os.fsdecode(self.map_path(newpath))).symlink_to(os.fsdecode(oldpath))
        self._own(newpath)

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Change mode, owner or times."""
        self._change(self._follow(path))
        super().setstat(self._follow(path), attrs)

    def _follow(self, path: bytes) -> bytes:
        name = posixpath.join(self._home, os.fsdecode(path))
        inside = resolve(self._host.root, name).relative_to(self._host.root)
        return os.fsencode(f"/{inside}")

    def _change(self, *paths: bytes) -> None:
        for path in paths:
            self._require(path, writing=True)

    def _require(self, path: bytes, *, writing: bool) -> None:
        name = "/" + os.path.relpath(os.fsdecode(self.map_path(path)), self._host.root)
        own = (self._home, "/tmp", "/var/tmp")  # noqa: S108 - the host's own
        if self._user == "root" or any(name.startswith(f"{folder}/") for folder in own):
            return
        if writing or not self._others_may_read(name):
            raise asyncssh.SFTPPermissionDenied("Permission denied")

    def _others_may_read(self, name: str) -> bool:
        path = self._host.root / name.lstrip("/")
        above = [parent for parent in path.parents if parent.is_relative_to(self._host.root)]
        if not all(folder.stat().st_mode & 0o001 for folder in above if folder.exists()):
            return False
        return not path.exists() or bool(path.stat().st_mode & 0o004)

    def _own(self, path: bytes) -> None:
        if os.geteuid() == 0 and self._user != "root":
            os.chown(self.map_path(path), USER_ID, USER_ID, follow_symlinks=False)
