"""A session on a host's SSH connection: a command, a shell or SFTP, and how they go wrong on order.

See `lab.hosts.ssh_server` for the faults and for what counts as a round trip.
"""

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncssh

from lab.faults import Fault
from lab.hosts.execution import Channel
from lab.hosts.file_transfer import FileTransfer

if TYPE_CHECKING:
    from lab.hosts.ssh_server import SshServer


class Session(asyncssh.SSHServerProcess[bytes]):
    """One session channel of a connection."""

    def __init__(self, server: "SshServer", closed: Callable[[], None]) -> None:
        """Serve commands and files of `server`'s host; `closed` is called at the end."""
        self._closed = closed
        self._host = server.host
        super().__init__(
            partial(serve_command, server),
            lambda channel: FileTransfer(channel, server.host),
            sftp_version=3,
            allow_scp=False,
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for the next session."""
        self._closed()
        super().connection_lost(exc)

    def pty_requested(self, *_: Any) -> bool:
        """Give no terminal."""
        self._host.round_trips += 1
        return False

    def shell_requested(self) -> bool:
        """Count a login shell."""
        self._host.round_trips += 1
        return super().shell_requested()

    def exec_requested(self, command: str) -> bool:
        """Count a command."""
        self._host.round_trips += 1
        return super().exec_requested(command)

    def subsystem_requested(self, subsystem: str) -> bool:
        """Count a subsystem; there is only sftp."""
        self._host.round_trips += 1
        return subsystem == "sftp"


async def serve_command(server: "SshServer", process: "asyncssh.SSHServerProcess[bytes]") -> None:
    """Run one exec request to its end, with what was ordered to go wrong."""
    host, text = server.host, process.command
    host.commands.append(text or "")
    host.follow_clock()
    connection = process.channel.get_connection()
    faults = server.take(f"exec {text or ''}")
    for fault in faults:
        if await _misbehave_before(fault, process):
            return
    late = [fault for fault in faults if fault.kind == "drop-mid"]
    for fault in late:
        asyncio.get_running_loop().call_later(fault.seconds, connection.abort)
    after = {fault.kind for fault in faults}
    channel = Channel(process, host.executor)

    def tell(status: int) -> None:
        if status >= 0 and not after & {"drop-after", "no-status"}:
            _send_status(process, status)

    command = host.executor.login_command(text, process.get_extra_info("username"))
    status = await channel.run(command, tell)
    if "drop-after" in after:
        connection.abort()
    elif status < 0 and "no-status" not in after:
        process.exit_with_signal(_signal_name(-status))
    else:
        process.close()


def _send_status(process: "asyncssh.SSHServerProcess[bytes]", status: int) -> None:
    """Send the status alone; asyncssh's own `exit` would close the channel with it."""
    channel = process.channel
    if not channel.is_closing():
        channel._send_request(b"exit-status", status.to_bytes(4, "big"))  # noqa: SLF001 - see above


def _signal_name(number: int) -> str:
    return signal.Signals(number).name.removeprefix("SIG")


async def _misbehave_before(fault: Fault, process: "asyncssh.SSHServerProcess[bytes]") -> bool:
    """Return whether that was all that will happen to the command."""
    if fault.kind == "latency":
        await asyncio.sleep(fault.seconds)
    elif fault.kind == "hang":
        await asyncio.Event().wait()
    elif fault.kind == "drop":
        process.channel.get_connection().abort()
        return True
    elif fault.kind == "status":
        process.exit(fault.status)
        return True
    return False
