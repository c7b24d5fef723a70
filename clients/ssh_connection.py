"""Opening one SSH connection: bounded in time, with the host's key verified before we log in.

paramiko by itself can wait for minutes or for ever in most phases (docs/decisions/0005), so the
socket is ours, every phase shares one deadline, and whoever misses it has the socket closed under
it.
"""

import logging
import random
import socket
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

import paramiko

from clients.ssh_algorithms import describe_mismatch
from clients.ssh_gates import one_of_few_logins
from clients.ssh_login import SshLogin
from fleet.errors import TemporaryError
from fleet.host_errors import LoginRefusedError, SiteUnreachableError, UnsupportedServerError

# paramiko writes a traceback per failed connection to the log; its errors reach us as exceptions.
_SILENT = "acrfleet.ssh.silent"
logging.getLogger(_SILENT).addHandler(logging.NullHandler())
logging.getLogger(_SILENT).propagate = False

_KEEPALIVE_SECONDS = 5
_DEAD_AFTER_SECONDS = 20.0
# Between two tries at a server that turns us away before it says who it is.
_PAUSES = (0.3, 0.6, 1.2, 2.4)


@dataclass(frozen=True, slots=True)
class SshEndpoint:
    """Where a host's SSH server is. `name` is what messages call the host; none: its address."""

    address: str
    port: int = 22
    user: str | None = None
    name: str | None = None

    def __str__(self) -> str:
        """Return what messages call it."""
        where = f"{self.address}:{self.port}"
        return f"{self.name} ({where})" if self.name else where


class Deadline:
    """A moment after which nobody waits any more."""

    def __init__(self, seconds: float) -> None:
        """Start counting."""
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left, never less than a few milliseconds."""
        return max(0.005, self._end - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Return whether the moment has passed."""
        return time.monotonic() >= self._end


class Tunnel(Protocol):
    """What can open a TCP connection from another host: an `SshHost` used as a jump host."""

    def open_tcp(self, address: str, port: int, timeout: float) -> paramiko.Channel:
        """Open a connection from there to `address`:`port`."""


def open_connection(
    endpoint: SshEndpoint, login: SshLogin, via: Tunnel | None, timeout: float
) -> paramiko.Transport:
    """Connect, verify the host's key, log in.

    A server that turns us away because too many log in at once (MaxStartups) is asked again, and
    of our own logins only a few go to the same server at a time.

    Args:
        endpoint: Where to.
        login: Who logs in, and the host keys that are good.
        via: The jump host, if any.
        timeout: Seconds for one try, everything together; no try starts after this time.

    Raises:
        SiteUnreachableError: No connection in time, or it broke; worth another try.
        HostKeyUnknownError, HostKeyChangedError: The host's key is not one that we trust.
        UnsupportedServerError: We and the server have no algorithm in common.
        LoginRefusedError: The server accepts none of the keys.
        KeyFileError: The key or its passphrase cannot be used.
    """
    until, pauses = Deadline(timeout), list(_PAUSES)
    while True:
        try:
            return _open_once(endpoint, login, via, timeout)
        except _TurnedAwayError as error:
            if not pauses or until.is_over:
                raise SiteUnreachableError(str(error)) from error
        # Jitter: who was turned away together must not come back together.
        time.sleep(pauses.pop(0) * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


class _TurnedAwayError(Exception):
    """The server closed the connection before it said who it is, as sshd does with MaxStartups."""


def _open_once(
    endpoint: SshEndpoint, login: SshLogin, via: Tunnel | None, timeout: float
) -> paramiko.Transport:
    with ExitStack() as stack:
        keys = stack.enter_context(login.open_keys())
        if via is None:
            stack.enter_context(one_of_few_logins(endpoint.address, endpoint.port))
        deadline = Deadline(timeout)
        transport = paramiko.Transport(_connect(endpoint, via, deadline))
        try:
            _negotiate(transport, endpoint, login, deadline)
            _authenticate(transport, endpoint, login, keys, deadline)
        except BaseException:
            close_connection(transport)
            raise
    transport.set_keepalive(_KEEPALIVE_SECONDS)
    return transport


def close_connection(transport: paramiko.Transport) -> None:
    """Close the connection and its socket, and wait a moment for its thread to end."""
    transport.close()
    # Ends the handshake's timer, which would run on after a failed handshake.
    transport.packetizer.complete_handshake()
    # close() does nothing for a connection that broke by itself; its socket is still ours.
    transport.sock.close()
    if transport.is_alive():
        transport.join(2.0)


def _connect(
    endpoint: SshEndpoint, via: Tunnel | None, deadline: Deadline
) -> "socket.socket | paramiko.Channel":
    if via is not None:
        return via.open_tcp(endpoint.address, endpoint.port, deadline.left())
    try:
        sock = socket.create_connection((endpoint.address, endpoint.port), deadline.left())
    except socket.gaierror as error:
        raise SiteUnreachableError(
            f"{endpoint}: the name {endpoint.address} cannot be resolved: {error.strerror}."
        ) from error
    except TimeoutError as error:
        raise _too_slow(endpoint, "did not accept the connection", deadline) from error
    except OSError as error:
        raise SiteUnreachableError(
            f"{endpoint}: no connection: {error.strerror or error}."
        ) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        milliseconds = int(_DEAD_AFTER_SECONDS * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return sock


def _negotiate(
    transport: paramiko.Transport, endpoint: SshEndpoint, login: SshLogin, deadline: Deadline
) -> None:
    host_keys = login.read_host_keys()
    transport.set_log_channel(_SILENT)
    transport.banner_timeout = transport.handshake_timeout = deadline.left()
    _prefer(transport, host_keys.key_types(endpoint.address, endpoint.port))
    done = threading.Event()
    transport.start_client(event=done)
    done.wait(deadline.left())
    if not done.is_set():
        raise _too_slow(
            endpoint, "accepted the connection but did not finish the SSH handshake", deadline
        )
    if not transport.is_active():
        raise _failed_handshake(transport, endpoint, deadline)
    host_keys.check(endpoint.address, endpoint.port, transport.get_remote_server_key())


def _prefer(transport: paramiko.Transport, known: tuple[str, ...]) -> None:
    wanted: list[str] = []
    for key_type in known:
        wanted += ["rsa-sha2-512", "rsa-sha2-256"] if key_type == "ssh-rsa" else [key_type]
    options = transport.get_security_options()
    first = [key_type for key_type in wanted if key_type in options.key_types]
    options.key_types = (*first, *(k for k in options.key_types if k not in first))


def _authenticate(
    transport: paramiko.Transport,
    endpoint: SshEndpoint,
    login: SshLogin,
    keys: tuple[paramiko.PKey, ...],
    deadline: Deadline,
) -> None:
    user = login.user_on(endpoint.user)
    for key in keys:
        transport.auth_timeout = deadline.left()
        try:
            needed = transport.auth_publickey(user, key)
        except paramiko.BadAuthenticationType as error:
            raise LoginRefusedError(
                f"{endpoint} lets {user} log in with {', '.join(error.allowed_types)} only: "
                "allow public keys (PubkeyAuthentication yes)."
            ) from None
        except paramiko.AuthenticationException as error:
            if "timeout" in str(error).lower() or not transport.is_active():
                raise _translate(error, endpoint, deadline) from error
            continue
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise _translate(error, endpoint, deadline) from error
        if not needed:
            return
        raise LoginRefusedError(
            f"{endpoint} wants {', '.join(needed)} from {user} besides the key: allow the key "
            "alone."
        )
    raise LoginRefusedError(_refused(endpoint, user, keys))


def _refused(endpoint: SshEndpoint, user: str, keys: tuple[paramiko.PKey, ...]) -> str:
    tried = ", ".join(f"{key.get_name()} {key.fingerprint}" for key in keys)
    return (
        f"{endpoint} does not let {user} log in with {tried}: add the public key to "
        f"~{user}/.ssh/authorized_keys, or name another user or key."
    )


def _failed_handshake(
    transport: paramiko.Transport, endpoint: SshEndpoint, deadline: Deadline
) -> Exception:
    cause = transport.get_exception()
    if isinstance(cause, paramiko.ssh_exception.IncompatiblePeer):
        what = describe_mismatch(str(cause), transport.get_security_options())
        return UnsupportedServerError(f"{endpoint} and this program {what}")
    error = _translate(cause, endpoint, deadline)
    turned_away = not (transport.remote_version or deadline.is_over)
    return _TurnedAwayError(str(error)) if turned_away else error


def _translate(error: Exception | None, endpoint: SshEndpoint, deadline: Deadline) -> Exception:
    if isinstance(error, TemporaryError):
        return error
    if deadline.is_over or "timeout" in str(error).lower():
        return _too_slow(endpoint, "did not finish the SSH login", deadline)
    words = str(error) if error and str(error) else "it closed the connection"
    return SiteUnreachableError(
        f"{endpoint}: the SSH connection could not be made: {words}. A busy server (MaxStartups) "
        "and a port that is not SSH look like this too."
    )


def _too_slow(endpoint: SshEndpoint, what: str, deadline: Deadline) -> SiteUnreachableError:
    return SiteUnreachableError(f"{endpoint} {what} within {deadline.seconds:g} s.")
