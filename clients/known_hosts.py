"""Host keys: which keys a host may show, read from known_hosts text as OpenSSH writes it.

paramiko's own reader knows no wildcards and gives up on a file that holds a marker, so this one
reads the format itself (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from fnmatch import fnmatchcase

import paramiko

from fleet.host_errors import HostKeyChangedError, HostKeyUnknownError


@dataclass(frozen=True, slots=True)
class KnownHost:
    """One line: for which names which key is good, revoked, or an authority."""

    names: tuple[str, ...]
    key_type: str
    key: bytes
    marker: str = ""

    def covers(self, name: str) -> bool:
        """Return whether the line speaks about a host of this name."""
        if any(_matches(pattern[1:], name) for pattern in self.names if pattern.startswith("!")):
            return False
        return any(_matches(pattern, name) for pattern in self.names)


def parse_known_hosts(text: str) -> tuple[KnownHost, ...]:
    """Return the lines that make sense; OpenSSH skips the others too."""
    entries = []
    for line in text.splitlines():
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 3 or fields[0].startswith("#"):
            continue
        try:
            key = base64.b64decode(fields[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        entries.append(KnownHost(tuple(fields[0].split(",")), fields[1], key, marker))
    return tuple(entries)


def host_key_name(address: str, port: int) -> str:
    """Return the name under which OpenSSH files a host's key."""
    return address.lower() if port == 22 else f"[{address.lower()}]:{port}"


def fingerprint(key: bytes) -> str:
    """Return the key's fingerprint as `ssh-keygen -l` prints it."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


class HostKeys:
    """The keys that hosts may show."""

    def __init__(self, text: str, source: str) -> None:
        """Read known_hosts text; `source` is what messages call it."""
        self.source = source
        self._entries = parse_known_hosts(text)

    def key_types(self, address: str, port: int) -> tuple[str, ...]:
        """Return the key types known for a host, to ask the server for those first."""
        return tuple(dict.fromkeys(entry.key_type for entry in self._known(address, port)))

    def check(self, address: str, port: int, key: paramiko.PKey) -> None:
        """Accept the key that a host shows, or say why not.

        Raises:
            HostKeyUnknownError: No line speaks about this host.
            HostKeyChangedError: Lines do, but with other keys, or this key is revoked.
        """
        name, shown = host_key_name(address, port), key.asbytes()
        if any(entry.key == shown for entry in self._marked(name, "@revoked")):
            raise HostKeyChangedError(
                f"{name} shows a host key that {self.source} marks as @revoked: "
                f"{key.get_name()} {fingerprint(shown)}. Do not use this host until it has a new "
                "key."
            )
        known = self._known(address, port)
        if any(entry.key == shown for entry in known):
            return
        if known:
            raise HostKeyChangedError(_changed(name, self.source, known, key))
        raise HostKeyUnknownError(self._unknown(address, port, key))

    def _known(self, address: str, port: int) -> tuple[KnownHost, ...]:
        return self._marked(host_key_name(address, port), "")

    def _marked(self, name: str, marker: str) -> tuple[KnownHost, ...]:
        return tuple(e for e in self._entries if e.marker == marker and e.covers(name))

    def _unknown(self, address: str, port: int, key: paramiko.PKey) -> str:
        name = host_key_name(address, port)
        text = (
            f"The host key of {name} is not in {self.source}: it shows {key.get_name()} "
            f"{fingerprint(key.asbytes())}. Compare this fingerprint with the host's own "
            "(`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its console): whoever sits in "
            f"between shows another one. Then add the output of `ssh-keyscan -p {port} {address}`."
        )
        if self._marked(name, "@cert-authority"):
            text += (
                " A @cert-authority line covers this host, but host certificates are not supported:"
                " add the host's own key."
            )
        return text


def _changed(name: str, source: str, known: tuple[KnownHost, ...], key: paramiko.PKey) -> str:
    expected = ", ".join(f"{entry.key_type} {fingerprint(entry.key)}" for entry in known)
    return (
        f"{name} shows another host key than {source} holds. Expected: {expected}. Got: "
        f"{key.get_name()} {fingerprint(key.asbytes())}. Either the host was reinstalled, or "
        "somebody sits in between. Compare on the host's console, then replace its line in "
        f"{source}; nothing was sent to the host."
    )


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        return _matches_hash(pattern, name)
    # In OpenSSH's patterns only * and ? are special; brackets stand for themselves.
    return fnmatchcase(name, pattern.lower().replace("[", "[[]"))


def _matches_hash(pattern: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part) for part in pattern[3:].split("|"))
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)
