"""One host over SSH: commands, and the TCP ports that it reaches. No decisions.

One connection is opened when it is first needed, used for everything, and opened again when it
dropped. Nothing here waits without an end, and a broken connection is always an error.
"""

import threading
from types import TracebackType
from typing import Self

import paramiko

from clients.ssh_command import CommandResult, RemoteCommand
from clients.ssh_connection import (
    Deadline,
    SshEndpoint,
    Tunnel,
    close_connection,
    open_connection,
)
from clients.ssh_forward import Forward
from clients.ssh_login import SshLogin
from fleet.host_errors import ForwardingRefusedError, PortClosedError, SiteUnreachableError

__all__ = ["CommandResult", "Forward", "SshEndpoint", "SshHost", "SshLogin"]

_PROHIBITED = 1


class SshHost:
    """A host that is reached by SSH, straight or through another one.

    Safe to share between threads. Use it in a `with`, or close it.
    """

    def __init__(
        self,
        endpoint: SshEndpoint,
        login: SshLogin,
        via: "Tunnel | None" = None,
        *,
        connect_timeout: float = 30.0,
        open_timeout: float = 20.0,
    ) -> None:
        """Remember how to connect; nothing is opened yet.

        Args:
            endpoint: Where the host is.
            login: Who logs in, and which host keys are good.
            via: The jump host; it stays the caller's to close.
            connect_timeout: Seconds for a connection and login together.
            open_timeout: Seconds for opening a channel.
        """
        self.endpoint = endpoint
        self._login, self._via = login, via
        self._connect_timeout, self._open_timeout = connect_timeout, open_timeout
        self._lock = threading.Lock()
        self._transport: paramiko.Transport | None = None

    def __enter__(self) -> Self:
        """Use it in a `with`; the connection is opened when needed."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    @property
    def user(self) -> str:
        """Return the SSH user: the one that was told, else the local user's name."""
        return self._login.user_on(self.endpoint.user)

    def connect(self) -> None:
        """Open the connection now, if it is not open.

        Raises:
            SiteUnreachableError: See `clients.ssh_connection.open_connection`, also for the other
                errors that everything here can raise.
        """
        self._live()

    def run(self, command: str, stdin: bytes = b"", timeout: float = 60.0) -> CommandResult:
        """Run a command line in the user's shell and return what it answered.

        The caller quotes every value. A connection that dropped is opened again before the command
        starts; a command that may have started is never started again.

        Args:
            command: The command line.
            stdin: Written to the command, then closed.
            timeout: Seconds from start to end.

        Raises:
            CommandTimedOutError: It took longer; the connection is closed.
            ConnectionLostError: The connection broke; what the command did is unknown.
        """
        channel = self._open_channel("session", None, self._open_timeout)
        return RemoteCommand(channel, str(self.endpoint), Deadline(timeout)).run(command, stdin)

    def open_tcp(self, address: str, port: int, timeout: float | None = None) -> paramiko.Channel:
        """Open a TCP connection from this host; the caller closes it.

        Raises:
            PortClosedError: The host reaches nothing there, or not in time.
            ForwardingRefusedError: The SSH server allows no forwarding.
        """
        seconds = timeout or self._open_timeout
        return self._open_channel("direct-tcpip", (address, port), seconds)

    def probe(self, address: str, port: int, timeout: float | None = None) -> None:
        """Return if this host can open a TCP connection there.

        Raises:
            PortClosedError, ForwardingRefusedError: As `open_tcp`.
        """
        self.open_tcp(address, port, timeout).close()

    def forward(self, address: str, port: int) -> Forward:
        """Return a local port that leads to `address`:`port` as this host reaches it.

        Use it in a `with`: `with host.forward("127.0.0.1", 6443) as forward: forward.port`. The
        first connection is opened at once; later ones survive a dropped SSH connection.

        Raises:
            PortClosedError, ForwardingRefusedError: As `open_tcp`.
        """
        return Forward(lambda: self.open_tcp(address, port))

    def close(self) -> None:
        """Close the connection; a later call opens a new one."""
        with self._lock:
            transport, self._transport = self._transport, None
        if transport is not None:
            close_connection(transport)

    def _live(self) -> paramiko.Transport:
        with self._lock:
            if self._transport is not None and not self._transport.is_active():
                close_connection(self._transport)
                self._transport = None
            if self._transport is None:
                self._transport = open_connection(
                    self.endpoint, self._login, self._via, self._connect_timeout
                )
            return self._transport

    def _drop(self, transport: paramiko.Transport) -> None:
        with self._lock:
            if self._transport is transport:
                self._transport = None
        close_connection(transport)

    def _open_channel(
        self, kind: str, target: tuple[str, int] | None, timeout: float
    ) -> paramiko.Channel:
        """Open a channel; where the connection turns out to be dead, once more on a new one."""
        transport = self._live()
        try:
            return _open(transport, kind, target, timeout)
        except paramiko.ChannelException as error:
            raise self._refused(error, target) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            if target is not None and transport.is_active():
                raise self._silent(target, timeout) from error
        self._drop(transport)
        try:
            return _open(self._live(), kind, target, timeout)
        except paramiko.ChannelException as error:
            raise self._refused(error, target) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise SiteUnreachableError(
                f"{self.endpoint}: the SSH connection is open but does not answer."
            ) from error

    def _refused(
        self, error: paramiko.ChannelException, target: tuple[str, int] | None
    ) -> Exception:
        if target is None:
            return SiteUnreachableError(
                f"{self.endpoint} opens no further session ({error.text}); MaxSessions may be used "
                "up."
            )
        where = f"{target[0]}:{target[1]}"
        if error.code == _PROHIBITED:
            return ForwardingRefusedError(
                f"{self.endpoint} does not forward to {where}: set AllowTcpForwarding yes (or "
                "local) in its sshd_config, and see PermitOpen and DisableForwarding."
            )
        return PortClosedError(f"{self.endpoint} cannot connect to {where}: {error.text}.")

    def _silent(self, target: tuple[str, int], timeout: float) -> PortClosedError:
        return PortClosedError(
            f"{self.endpoint} got no answer from {target[0]}:{target[1]} within {timeout:g} s."
        )


def _open(
    transport: paramiko.Transport, kind: str, target: tuple[str, int] | None, timeout: float
) -> paramiko.Channel:
    if target is None:
        return transport.open_channel(kind, timeout=timeout)
    return transport.open_channel(kind, target, ("127.0.0.1", 0), timeout=timeout)
