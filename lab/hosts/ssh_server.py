"""A host's SSH server: who may in, what a connection may do, and how it misbehaves on order.

Fault kinds, beyond what `lab.faults` says, by operation:
    connect              refuse (reset, as MaxStartups does), hang (accepts, never a banner),
                         junk (lines that are no banner, for ever)
    auth                 refuse (no key is good enough)
    exec COMMAND         drop-mid (starts it, drops the connection after `seconds`; it goes on),
                         no-status (does it, closes the channel without a status),
                         status (exits with `status`, does nothing)
    forward HOST:PORT    refuse
A match may name one host of a site: `oslo-1: exec *`.

Round trips are what a client has to wait for: every channel it opens, every request on a channel
(exec, shell, subsystem, pty) and every forwarding it asks for. A login is none, nor is data; SFTP's
own requests inside its channel are not counted.
"""

import asyncio
import contextlib
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from lab.faults import Fault
from lab.hosts.forwarding import copy_both_ways, delay_both_ways
from lab.hosts.ssh_session import Session

if TYPE_CHECKING:
    from lab.hosts.host import HostLab

_BACKLOG = 256
_JUNK_PAUSE = 0.2
_MAX_SESSIONS = 10


class SshServer:
    """Listens on one loopback port for one host."""

    def __init__(self, host: "HostLab") -> None:
        """Serve `host`; its attributes are read anew for each connection and request."""
        self.host = host
        self.port = 0
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: set[socket.socket] = set()

    def listen(self, port: int = 0) -> None:
        """Open the port."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
        self.port = listener.getsockname()[1]
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._accept)

    @property
    def is_listening(self) -> bool:
        """Return whether the port is open."""
        return self._listener is not None

    def close(self) -> None:
        """Close the port and drop every connection; commands that run go on."""
        if self._listener:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for connection in list(self.connections):
            connection.abort()
        for task in self._tasks:
            task.cancel()
        for client in list(self._sockets):
            client.close()
        self._sockets.clear()

    async def stop(self) -> None:
        """Close, and wait until nothing is left."""
        self.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self.connections):
            with contextlib.suppress(OSError, asyncssh.Error):
                await connection.wait_closed()

    def take(self, operation: str) -> list[Fault]:
        """Return the faults for an operation on this host or on any host of its site."""
        host = self.host
        own = f"{host.name}: "
        hit = host.faults.take("hosts", operation, host.site)
        if any(fault.match.startswith(own) for fault in host.faults.active):
            hit += host.faults.take("hosts", own + operation, host.site)
        return hit

    def spawn(self, work: Any) -> None:
        """Run a coroutine until the server closes."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while self._listener:
                client, _ = self._listener.accept()
                client.setblocking(False)
                self._sockets.add(client)
                self.spawn(self._greet(client))

    async def _greet(self, client: socket.socket) -> None:
        for fault in self.take("connect"):
            if not await self._misbehave_at_the_door(fault, client):
                return
        self._sockets.discard(client)
        with contextlib.suppress(OSError, asyncssh.Error):
            end = await self._over_the_link(client)
            await asyncssh.run_server(end, options=self.host.ssh_options, config=None)

    async def _misbehave_at_the_door(self, fault: Fault, client: socket.socket) -> bool:
        if fault.kind == "latency":
            await asyncio.sleep(fault.seconds)
            return True
        if fault.kind == "hang":
            return False
        if fault.kind == "junk":
            with contextlib.suppress(OSError):
                while True:
                    await asyncio.get_running_loop().sock_sendall(client, b"not a banner\r\n")
                    await asyncio.sleep(_JUNK_PAUSE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        self._sockets.discard(client)
        return False

    async def _over_the_link(self, client: socket.socket) -> socket.socket:
        if not self.host.rtt:
            return client
        near, far = socket.socketpair()
        outside = await asyncio.open_connection(sock=client)
        inside = await asyncio.open_connection(sock=far)
        self.spawn(delay_both_ways(outside, inside, self.host.rtt / 2))
        return near


class Connection(asyncssh.SSHServer):
    """One client's connection."""

    def __init__(self, server: SshServer) -> None:
        """Belong to `server`."""
        self._server = server
        self._host = server.host
        self._refused = self._is_in = False
        self._connection: asyncssh.SSHServerConnection | None = None
        self._dialled: set[asyncio.StreamWriter] = set()
        self._forwards: set[asyncio.Task[Any]] = set()

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Remember the connection so that it can be dropped."""
        self._connection = conn
        self.sessions = 0
        self._server.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it, and end what it forwarded; also what was dialled for a channel in vain."""
        if self._connection:
            self._server.connections.discard(self._connection)
            self._connection = None
            self._host.clients -= self._is_in
        for writer in self._dialled:
            writer.close()
        for task in self._forwards:
            task.cancel()

    async def begin_auth(self, username: str) -> bool:
        """Stall or refuse when ordered; a key is always needed."""
        for fault in self._server.take("auth"):
            await self._misbehave(fault)
            self._refused |= fault.kind == "refuse"
        return True

    def public_key_auth_supported(self) -> bool:
        """Only keys."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Let the host's user in, and root where the host allows it."""
        users = (self._host.user, "root") if self._host.root_login else (self._host.user,)
        return (
            not self._refused
            and username in users
            and key.public_data == self._host.client_key.public_data
        )

    def auth_completed(self) -> None:
        """Count the login."""
        self._is_in = True
        self._host.logins += 1
        self._host.clients += 1
        self._host.most_clients = max(self._host.most_clients, self._host.clients)

    def session_requested(self) -> "asyncssh.SSHServerSession[bytes]":
        """Open a session; the eleventh at once on a connection is too many (MaxSessions)."""
        self._host.round_trips += 1
        if self.sessions >= _MAX_SESSIONS:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "open failed")
        self.sessions += 1
        return Session(self._server, self._session_closed)

    def _session_closed(self) -> None:
        self.sessions -= 1

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        """Refuse to listen for a client."""
        self._host.round_trips += 1
        return False

    async def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Any:
        """Forward to an address as this host sees the network."""
        self._host.round_trips += 1
        if not self._host.allow_forwarding:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "open failed"
            )
        for fault in self._server.take(f"forward {dest_host}:{dest_port}"):
            await self._misbehave(fault)
            if fault.kind == "refuse":
                raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "Connection refused")
        try:
            stream = await self._host.dial(dest_host, dest_port)
        except OSError as error:
            reason = error.strerror or "Connection refused"
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, reason) from None

        self._dialled.add(stream[1])
        if self._connection is None:
            stream[1].close()

        async def handle(reader: Any, writer: Any) -> None:
            self._dialled.discard(stream[1])
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - asyncssh runs it as a task
            self._forwards.add(task)
            task.add_done_callback(self._forwards.discard)
            await copy_both_ways((reader, writer), stream)

        return asyncssh.stream.SSHTCPStreamSession(handle)

    async def _misbehave(self, fault: Fault) -> None:
        if fault.kind == "latency":
            await asyncio.sleep(fault.seconds)
        elif fault.kind == "hang":
            await asyncio.Event().wait()
        elif fault.kind == "drop" and self._connection:
            self._connection.abort()


def ssh_options(
    server: SshServer, host_key: asyncssh.SSHKey
) -> asyncssh.SSHServerConnectionOptions:
    """Return how asyncssh serves this host."""
    return asyncssh.SSHServerConnectionOptions(
        server_factory=lambda: Connection(server),
        server_host_keys=[host_key],
        encoding=None,
        allow_pty=False,
        login_timeout=120,
        server_version="OpenSSH_9.2p1_Debian-2",
    )


def read_key(path: Path) -> asyncssh.SSHKey:
    """Return the private key in a file; a new one when there is none."""
    if path.exists():
        return asyncssh.read_private_key(path)
    key = asyncssh.generate_private_key("ssh-ed25519")
    path.touch(mode=0o600)
    key.write_private_key(path)
    return key
