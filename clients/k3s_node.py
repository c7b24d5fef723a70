"""One K3s node over SSH: facts, the registries file, the service, a pull. No decisions.

Every method is one command; see `clients.host_scripts` for what runs on the node.
"""

import base64
import shlex
from dataclasses import dataclass

from pydantic import SecretStr

from clients import host_scripts as scripts
from clients.ssh_host import CommandResult, SshHost
from fleet.errors import (
    CommandFailedError,
    FleetError,
    HostFileChangedError,
    HostFileRefusedError,
    SudoRefusedError,
)
from fleet.node_facts import (
    HostFile,
    NodeFacts,
    parse_facts,
    parse_host_file,
    parse_lines,
    redact,
    sha256_of,
)
from fleet.restarts import ServiceState, parse_service

_STARTED = f"{scripts.STARTED}\n"


@dataclass(frozen=True, slots=True)
class PullResult:
    """Whether an image was pulled, and the last words of the program that tried."""

    ok: bool
    words: str


class K3sNode:
    """A node on which K3s runs.

    Raises:
        SudoRefusedError: From any method: sudo asks for a password, or refuses.
        SiteUnreachableError, ConnectionLostError, CommandTimedOutError: From any method: the
            network; also the other errors of `clients.ssh_host.SshHost`.
    """

    def __init__(self, host: SshHost, *, sudo: bool = True, name: str | None = None) -> None:
        """Take an SSH host; with `sudo`, a user who is not root uses `sudo -n`."""
        self.host, self.sudo = host, sudo
        self.name = name or host.endpoint.name or host.endpoint.address

    def read_facts(self) -> NodeFacts:
        """Return everything that is looked at before a change, in one round trip.

        Raises:
            CommandFailedError: The host does not even run the script.
        """
        return parse_facts(self.name, self._expect(scripts.READ_FACTS, what="look at the host"))

    def read_file(self, path: str) -> HostFile:
        """Return a file, its hash and its newest backup; a missing file is a file too."""
        output = self._expect(scripts.READ_FILE, path, what=f"read {path}")
        return parse_host_file(parse_lines(output))

    def write_registries(self, path: str, text: str, expected: str) -> str | None:
        """Replace the file in one step, or not at all; owner, mode and SELinux context stay.

        Args:
            path: The registries file.
            text: The new content.
            expected: The sha256 that the file must still have, or `absent`.

        Returns:
            The path of the backup; None when there was no file.

        Raises:
            HostFileChangedError: It is not the expected file any more.
            HostFileRefusedError: It could not be written; nothing was changed.
        """
        arguments = (path, expected, sha256_of(text))
        return self._write(scripts.WRITE_FILE, path, *arguments, stdin=text.encode())

    def remove_registries(self, path: str, expected: str) -> str | None:
        """Remove the file, keeping a backup; arguments and errors as `write_registries`."""
        return self._write(scripts.REMOVE_FILE, path, path, expected)

    def restart(self, unit: str) -> None:
        """Tell systemd to restart the unit, without waiting: how it went, only looking tells.

        Raises:
            CommandFailedError: systemd does not accept the order.
        """
        self._expect(scripts.RESTART, unit, what=f"restart {unit}", timeout=20)

    def read_service(self, unit: str) -> ServiceState:
        """Return what systemd says about the unit."""
        output = self._expect(scripts.READ_SERVICE, unit, what=f"look at {unit}", timeout=30)
        lines = parse_lines(output)
        return parse_service(unit, {key: values[-1] for key, values in lines.items()})

    def read_journal(self, unit: str, lines: int = 30) -> str:
        """Return the unit's last log lines, without what looks like a secret."""
        output = self._expect(scripts.READ_JOURNAL, unit, str(lines), what="read the journal")
        return redact(output.strip())

    def read_kubeconfig(self) -> SecretStr:
        """Return the administrator's kubeconfig.

        Raises:
            CommandFailedError: There is none; this is not a server, or it never came up.
        """
        return SecretStr(self._expect(scripts.READ_KUBECONFIG, what="read the kubeconfig"))

    def pull_image(
        self, reference: str, user: str, password: SecretStr, timeout: float = 600.0
    ) -> PullResult:
        """Let the node's containerd pull an image, as the kubelet would, with these credentials."""
        login = base64.b64encode(f"{user}:{password.get_secret_value()}".encode())
        result = self._run(scripts.PULL_IMAGE, reference, stdin=login + b"\n", timeout=timeout)
        words = result.words or result.stdout.decode(errors="replace").strip()
        for secret in (password.get_secret_value(), login.decode()):
            words = words.replace(secret, "...")
        return PullResult(result.status == 0, words)

    def _write(self, script: str, path: str, *arguments: str, stdin: bytes = b"") -> str | None:
        result = self._run(script, *arguments, stdin=stdin, timeout=120)
        if result.status == 0:
            return parse_lines(_body(result))["backup"][-1] or None
        where = f"{self.name}: {path}"
        if result.status == scripts.CHANGED:
            raise HostFileChangedError(
                f"{where} was changed by somebody else since it was read ({result.words}); it was "
                "left alone and is read again."
            )
        if result.status == scripts.UNSURE:
            raise HostFileRefusedError(
                f"{where} was replaced, but {result.words}; its backup is beside it. Look at the "
                "host's disk."
            )
        raise HostFileRefusedError(
            f"{where} could not be written, and nothing was changed: {result.words}"
        )

    def _expect(self, script: str, *arguments: str, what: str, timeout: float = 60.0) -> str:
        result = self._run(script, *arguments, timeout=timeout)
        if result.status != 0:
            raise CommandFailedError(
                f"{self.name}: could not {what} (exit status {result.status}): {result.words}"
            )
        return _body(result)

    def _run(
        self, script: str, *arguments: str, stdin: bytes = b"", timeout: float = 60.0
    ) -> CommandResult:
        command = ["/bin/sh", "-c", script, "sh", *arguments]
        if self.sudo:
            command = ["/bin/sh", "-c", scripts.BECOME_ROOT, "sh", *command]
        result = self.host.run(shlex.join(command), stdin, timeout)
        if _STARTED.encode() not in result.stdout:
            raise self._not_started(result)
        return result

    def _not_started(self, result: CommandResult) -> FleetError:
        if self.sudo and "sudo" in result.words:
            user = self.host.user or "USER"
            return SudoRefusedError(
                f"{self.name}: sudo does not let {user} run commands as root without a password: "
                f"{result.words}\nAdd this line with `visudo -f /etc/sudoers.d/acrfleet` on the "
                f"host:\n    {user} ALL=(root) NOPASSWD: /bin/sh\n(The commands are shell scripts: "
                "they read K3s's files, replace registries.yaml and restart K3s.)"
            )
        return CommandFailedError(
            f"{self.name}: the login shell did not run /bin/sh (exit status {result.status}): "
            f"{result.words or result.stdout.decode(errors='replace')[-500:]}"
        )


def _body(result: CommandResult) -> str:
    """Return the output behind the line that says that the script started."""
    return result.stdout.decode(errors="replace").partition(_STARTED)[2]
