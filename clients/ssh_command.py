"""One command on an open SSH connection: input, output, exit status, all within one deadline.

An answer counts only with an exit status: a connection that breaks gives paramiko's callers an
empty answer and the status -1, which must never be taken for a command that said nothing.
"""

import threading
from dataclasses import dataclass

import paramiko

from clients.ssh_connection import Deadline, close_connection
from fleet.host_errors import CommandTimedOutError, ConnectionLostError

_MAX_OUTPUT = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command answered. The output is left out of the representation: it may be secret."""

    status: int
    stdout: bytes
    stderr: bytes

    def __repr__(self) -> str:
        """Show sizes only."""
        return f"CommandResult(status={self.status}, {len(self.stdout)}+{len(self.stderr)} bytes)"

    @property
    def words(self) -> str:
        """Return the last lines of the error output, for messages."""
        return "\n".join(self.stderr.decode(errors="replace").strip().splitlines()[-10:])


class RemoteCommand:
    """A command that runs in a channel of its own."""

    def __init__(self, channel: paramiko.Channel, name: str, deadline: Deadline) -> None:
        """Take an open session channel; `name` is what messages call the host."""
        self._channel, self._name, self._deadline = channel, name, deadline
        self._error: Exception | None = None
        self._output: dict[str, bytes] = {"stdout": b"", "stderr": b""}

    def run(self, command: str, stdin: bytes) -> CommandResult:
        """Run it to its end.

        Raises:
            CommandTimedOutError: It took too long; the connection is closed.
            ConnectionLostError: The connection broke, or the command ended without a status.
        """
        cut = threading.Timer(self._deadline.left(), self._cut)
        cut.daemon = True
        cut.start()
        try:
            self._start(command)
            self._pump(stdin)
            self._channel.status_event.wait(self._deadline.left())
            return self._result()
        finally:
            cut.cancel()
            self._channel.close()

    def _start(self, command: str) -> None:
        try:
            self._channel.exec_command(command)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._lost("before it was known whether the command started") from error

    def _pump(self, stdin: bytes) -> None:
        threads = [threading.Thread(target=self._drain, args=("stderr",), daemon=True)]
        if stdin:
            threads.append(threading.Thread(target=self._feed, args=(stdin,), daemon=True))
        else:
            self._feed(b"")
        for thread in threads:
            thread.start()
        self._drain("stdout")
        for thread in threads:
            thread.join(self._deadline.left())

    def _feed(self, stdin: bytes) -> None:
        try:
            self._channel.settimeout(self._deadline.left())
            self._channel.sendall(stdin)
            self._channel.shutdown_write()
        except (paramiko.SSHException, EOFError, OSError):
            # A command may end without reading its input; its status tells.
            return

    def _drain(self, stream: str) -> None:
        receive = self._channel.recv if stream == "stdout" else self._channel.recv_stderr
        parts, size = [], 0
        try:
            self._channel.settimeout(self._deadline.left())
            while part := receive(65536):
                parts.append(part)
                size += len(part)
                if size > _MAX_OUTPUT:
                    self._cut()
        except (TimeoutError, paramiko.SSHException, EOFError, OSError) as error:
            self._error = error
        self._output[stream] = b"".join(parts)

    def _result(self) -> CommandResult:
        status = self._channel.exit_status
        # The status may overtake the output: only an end that the host announced is an end.
        ended = self._channel.eof_received or self._channel.get_transport().is_active()
        if status >= 0 and ended and self._error is None:
            return CommandResult(status, self._output["stdout"], self._output["stderr"])
        if self._deadline.is_over or isinstance(self._error, TimeoutError):
            self._cut()
            raise CommandTimedOutError(
                f"{self._name}: a command did not end within {self._deadline.seconds:g} s; the "
                "connection was closed."
            )
        raise self._lost("before the command ended (or a signal killed it)")

    def _lost(self, when: str) -> Exception:
        if self._deadline.is_over:
            return CommandTimedOutError(
                f"{self._name}: a command did not start within {self._deadline.seconds:g} s; the "
                "connection was closed."
            )
        return ConnectionLostError(f"{self._name}: the SSH connection broke {when}.")

    def _cut(self) -> None:
        close_connection(self._channel.get_transport())
