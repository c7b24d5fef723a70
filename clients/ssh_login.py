"""How to log in to a host: a private key from text, from a file or from an agent."""

import getpass
import io
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import ssh
from pydantic import SecretStr

from clients.known_hosts import HostKeys
from fleet.host_errors import HostKeyUnknownError, KeyFileError

_AGENT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class SshLogin:
    """Who logs in with which key, and which host keys are good.

    The key's text wins over the file; with neither, the keys of the running agent are tried. The
    same holds for known_hosts; with neither, it is `~/.ssh/known_hosts`.
    """

    user: str | None = None
    private_key: SecretStr | None = None
    passphrase: SecretStr | None = None
    key_file: Path | None = None
    known_hosts: str | None = None
    known_hosts_file: Path | None = None

    def user_on(self, own: str | None) -> str:
        """Return who logs in to a host whose own user is `own`; nobody told: the local user."""
        return own or self.user or getpass.getuser()

    @contextmanager
    def open_keys(self) -> Iterator[tuple[paramiko.PKey, ...]]:
        """Yield the keys to try, in order; an agent stays connected meanwhile.

        Raises:
            KeyFileError: The key cannot be read, or there is none at all.
        """
        if self.private_key is not None:
            text = self.private_key.get_secret_value()
            yield (load_private_key(text, self.passphrase, "The private key of the SSH block"),)
        elif self.key_file is not None:
            yield (self._read_key_file(self.key_file.expanduser()),)
        else:
            with _open_agent() as keys:
                yield keys

    def read_host_keys(self) -> HostKeys:
        """Return the host keys that are good.

        Raises:
            HostKeyUnknownError: The known_hosts file cannot be read, so no host is known.
        """
        if self.known_hosts is not None:
            return HostKeys(self.known_hosts, "the block's known_hosts")
        path = (self.known_hosts_file or Path("~/.ssh/known_hosts")).expanduser()
        try:
            return HostKeys(path.read_text(errors="replace"), str(path))
        except FileNotFoundError:
            return HostKeys("", f"{path} (which does not exist)")
        except OSError as error:
            raise HostKeyUnknownError(
                f"{path} cannot be read, so no host key can be verified: {error.strerror}."
            ) from error

    def _read_key_file(self, path: Path) -> paramiko.PKey:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            raise KeyFileError(f"The SSH key file {path} is not a text file.") from None
        except OSError as error:
            raise KeyFileError(
                f"The SSH key file {path} cannot be read: {error.strerror}."
            ) from error
        return load_private_key(text, self.passphrase, f"The SSH key file {path}")


def load_private_key(text: str, passphrase: SecretStr | None, what: str) -> paramiko.PKey:
    """Return the key held by OpenSSH, PEM or PKCS#8 text.

    paramiko refuses PKCS#8, and reads each kind of key in its own class; `cryptography` reads them
    all, so it reads and paramiko gets the result.

    Args:
        text: The key file's content.
        passphrase: Opens an encrypted key.
        what: What messages call the key.

    Raises:
        KeyFileError: It is not a private key, or the passphrase is missing or wrong.
    """
    secret = passphrase.get_secret_value().encode() if passphrase else None
    data = (text.strip().replace("\r\n", "\n") + "\n").encode()
    if b"PRIVATE KEY-----" not in data:
        raise KeyFileError(f"{what} is not a private key in OpenSSH, PEM or PKCS#8 form.")
    if b"ENCRYPTED" in data and not secret:
        raise KeyFileError(f"{what} is encrypted: give its passphrase.")
    try:
        return _to_paramiko(_load(data, secret), what)
    except TypeError:
        if secret and b"ENCRYPTED" not in data:
            return load_private_key(text, None, what)
        raise KeyFileError(f"{what} is encrypted: give its passphrase.") from None
    except UnsupportedAlgorithm as error:
        raise KeyFileError(f"{what} is of a kind that is not supported: {error}.") from None
    except ValueError:
        wrong = " or the passphrase is wrong" if secret else ""
        raise KeyFileError(f"{what} cannot be read: it is damaged{wrong}.") from None


def _load(data: bytes, secret: bytes | None) -> object:
    if b"BEGIN OPENSSH PRIVATE KEY" in data:
        return ssh.load_ssh_private_key(data, secret)
    return serialization.load_pem_private_key(data, secret)


def _to_paramiko(key: object, what: str) -> paramiko.PKey:
    if isinstance(key, rsa.RSAPrivateKey):
        return paramiko.RSAKey(key=key)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return paramiko.ECDSAKey(vals=(key, key.public_key()))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        text = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        return paramiko.Ed25519Key(file_obj=io.StringIO(text.decode()))
    raise KeyFileError(f"{what} is neither an Ed25519, an ECDSA nor an RSA key.")


@contextmanager
def _open_agent() -> Iterator[tuple[paramiko.PKey, ...]]:
    agents: list[paramiko.Agent] = []

    def ask() -> None:
        # paramiko leaves a socket open when nobody listens, so that is found out first.
        with suppress(paramiko.SSHException, OSError):
            with socket.socket(socket.AF_UNIX) as knock:
                knock.connect(os.environ.get("SSH_AUTH_SOCK", ""))
            agents.append(paramiko.Agent())

    # An agent that hangs has no time limit of its own in paramiko.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_AGENT_SECONDS)
    try:
        keys = agents[0].get_keys() if agents else ()
        if not keys:
            raise KeyFileError(
                "There is no SSH key to log in with: the SSH block holds none, the fleet file "
                "names no key_file, and no SSH agent offers one."
            )
        yield tuple(keys)
    finally:
        for agent in agents:
            agent.close()
