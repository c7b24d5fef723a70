"""One node over SSH: facts, files, the service, pulls. No decisions.

Every method is one command; see `clients.host_scripts`, `clients.change_scripts` and
`clients.dead_man_scripts` for what runs on the node, and `fleet.distributions` for what differs
between K3s, RKE2 and containerd.
"""

import base64
import shlex
import uuid
from collections.abc import Sequence

from pydantic import SecretStr

from clients import change_scripts as changes
from clients import dead_man_scripts as dead_man
from clients import host_scripts as scripts
from clients.host_facts_script import READ_FACTS, facts_arguments
from clients.node_answers import (
    Applied,
    PullResult,
    PullTraces,
    Restored,
    change_arguments,
    contents,
    lines_under,
    parse_pull,
    parse_traces,
    refusal,
    yes_or_no,
)
from clients.pull_trace_script import READ_PULL_TRACES
from clients.ssh_host import CommandResult, SshHost
from fleet.distributions import DISTRIBUTIONS, Distribution
from fleet.errors import FleetError
from fleet.host_errors import (
    CommandFailedError,
    DeadManFiredError,
    HostFileRefusedError,
    SudoRefusedError,
)
from fleet.host_files import FileChange, HostFile
from fleet.node_facts import (
    NodeFacts,
    parse_facts,
    parse_host_file,
    parse_lines,
    redact,
)
from fleet.restarts import ServiceState, parse_service

__all__ = ["Applied", "EdgeNode", "PullResult", "PullTraces", "Restored", "new_deadman"]

_STARTED = f"{scripts.STARTED}\n"


def new_deadman() -> str:
    """Return an id for a change: the same id twice is the same change asked for again."""
    return uuid.uuid4().hex[:12]


class EdgeNode:
    """A node on which a distribution of Kubernetes runs.

    Raises:
        SudoRefusedError: From any method: sudo asks for a password, or refuses.
        SiteUnreachableError, ConnectionLostError, CommandTimedOutError: From any method: the
            network; also the other errors of `clients.ssh_host.SshHost`.
    """

    def __init__(
        self,
        host: SshHost,
        *,
        sudo: bool = True,
        name: str | None = None,
        distribution: Distribution = DISTRIBUTIONS["k3s"],
    ) -> None:
        """Take an SSH host; with `sudo`, a user who is not root uses `sudo -n`."""
        self.host, self.sudo = host, sudo
        self.name = name or host.endpoint.name or host.endpoint.address
        self.distribution = distribution

    def read_facts(self, login_server: str = "", endpoint_host: str = "") -> NodeFacts:
        """Return everything that is looked at before a change, in one round trip.

        Args:
            login_server: The cloud registry's name; empty: not known yet.
            endpoint_host: `address:port` of the site's registry; empty: not known yet.

        Raises:
            CommandFailedError: The host does not even run the script.
        """
        arguments = facts_arguments(self.distribution, login_server, endpoint_host)
        output = self._expect(READ_FACTS, *arguments, what="look at the host")
        return parse_facts(self.name, output, self.distribution)

    def read_file(self, path: str) -> HostFile:
        """Return a file, its hash and its newest backup; a missing file is a file too."""
        output = self._expect(scripts.READ_FILE, path, what=f"read {path}")
        return parse_host_file(parse_lines(output))

    def apply(
        self,
        files: Sequence[FileChange],
        *,
        unit: str,
        restart: bool,
        deadman_seconds: int,
        deadman: str = "",
    ) -> Applied:
        """Replace all files or none, and order a restart; undone by the host unless confirmed.

        Owner, mode and SELinux context of a file stay. Asking again with the same `deadman` is
        safe where an answer got lost: nothing is done twice.

        Args:
            files: Written in this order; each must still be what its `before` says.
            unit: The unit that reads them.
            restart: Whether to restart it; how that goes, only looking tells.
            deadman_seconds: After this time the host goes back by itself.
            deadman: From `new_deadman`; empty: a new one.

        Raises:
            HostFileChangedError: A file is not the expected one any more.
            HostFileRefusedError: It could not be done; nothing was changed.
            UnfinishedChangeError: An earlier run's change, or this one that was cut off, is
                neither confirmed nor undone.
            HostBusyError: Another run changes files at this moment.
        """
        name = deadman or new_deadman()
        arguments = (name, str(deadman_seconds), unit, yes_or_no(restart))
        result = self._run(
            changes.APPLY, *arguments, *change_arguments(files), stdin=contents(files), timeout=120
        )
        if result.status != 0:
            raise refusal(self.name, result)
        lines = parse_lines(_body(result))
        return Applied(
            deadman=name,
            files=tuple(files),
            backups=tuple(lines.get("backup", ())),
            before=parse_service(unit, lines_under("service.", lines)),
            trouble=" ".join(lines.get("trouble", ())),
        )

    def confirm(self, applied: Applied) -> None:
        """Cancel the dead-man after the proof, and remove its traces and the oldest backups.

        Raises:
            DeadManFiredError: It was too late: the host has put the old files back by itself.
            HostBusyError: Another run changes files at this moment.
        """
        pairs = [part for file in applied.files for part in (file.path, file.wanted_sha256)]
        result = self._run(dead_man.CONFIRM, applied.deadman, *pairs, timeout=60)
        if result.status == dead_man.UNDONE:
            raise DeadManFiredError(
                f"{self.name}: the change was not confirmed in time, so the host went back to its "
                f"old files by itself: {result.words}. `journalctl -t acrfleet` on the host tells "
                "when; the step is done again."
            )
        if result.status != 0:
            raise refusal(self.name, result)

    def restore(self, deadman: str) -> Restored:
        """Let the dead-man do its work now: old files back, unit restarted where that is due.

        Files that somebody else has written since are left alone.

        Raises:
            HostFileRefusedError: Not everything could be undone; the rest is left on the host.
            HostBusyError: Another run changes files at this moment.
        """
        result = self._run(dead_man.RESTORE, deadman, timeout=120)
        lines = parse_lines(_body(result))
        notes = tuple(lines.get("note", ()))
        if result.status == dead_man.LOCKED:
            raise refusal(self.name, result)
        if result.status != 0:
            words = "; ".join(filter(None, (*notes, result.words)))
            raise HostFileRefusedError(
                f"{self.name}: the old files could not all be put back: {words}. They are in "
                f"/var/lib/acrfleet/deadman-{deadman} on the host."
            )
        restarted, properties = lines.get("restarted") == ["yes"], lines_under("service.", lines)
        unit = properties.get("Id", "")
        before = parse_service(unit, properties) if restarted and unit else None
        return Restored(notes, restarted, "gone" in lines, before)

    def restart(self, unit: str, entered: int) -> None:
        """Tell systemd to restart the unit, without waiting: how it went, only looking tells.

        Args:
            unit: The unit.
            entered: Its `ServiceState.entered` when the restart was decided; a unit that has
                started since is left alone, so asking again is safe.

        Raises:
            CommandFailedError: systemd does not accept the order.
        """
        what = f"restart {unit}"
        self._expect(changes.RESTART, unit, str(entered), what=what, timeout=20)

    def read_service(self, unit: str) -> ServiceState:
        """Return what systemd says about the unit."""
        output = self._expect(scripts.READ_SERVICE, unit, what=f"look at {unit}", timeout=30)
        return parse_service(unit, lines_under("", parse_lines(output)))

    def read_journal(self, unit: str, lines: int = 30) -> str:
        """Return the unit's last log lines, without what looks like a secret."""
        output = self._expect(scripts.READ_JOURNAL, unit, str(lines), what="read the journal")
        return redact(output.strip())

    def read_kubeconfig(self) -> SecretStr:
        """Return the administrator's kubeconfig.

        Raises:
            CommandFailedError: There is none; this is not a server, or it never came up.
        """
        mine, what = self.distribution, "read the kubeconfig"
        arguments = (mine.config_dir, " ".join(mine.units.values()), mine.kubeconfig)
        return SecretStr(self._expect(scripts.READ_KUBECONFIG, *arguments, what=what))

    def pull_images(
        self, references: Sequence[str], user: str, password: SecretStr, timeout: float = 1200.0
    ) -> tuple[PullResult, ...]:
        """Let the node's containerd pull images, as the kubelet would, with these credentials.

        Without a user it logs in as nobody, as for a pod without a pull secret.

        Returns:
            One result for each image, in order; the first that fails is the last.

        Raises:
            CommandFailedError: The host does not run the script.
        """
        login = base64.b64encode(f"{user}:{password.get_secret_value()}".encode()) if user else b""
        arguments = (self.distribution.crictl_config, " ".join(self.distribution.crictl))
        result = self._run(
            scripts.PULL_IMAGES, *arguments, *references, stdin=login + b"\n", timeout=timeout
        )
        lines = parse_lines(_body(result)).get("pull", [])
        if result.status != 0 or not lines:
            raise CommandFailedError(f"{self.name}: could not pull images: {result.words}")
        hidden = tuple(filter(None, (password.get_secret_value(), login.decode())))
        return tuple(parse_pull(line, hidden) for line in lines)

    def read_pulls(self) -> dict[str, str] | None:
        """Return how much there is of each part of an image being downloaded; None: not known."""
        ctr, what = " ".join(self.distribution.ctr), "look at its downloads"
        lines = parse_lines(self._expect(scripts.READ_PULLS, ctr, what=what))
        parts = (part.partition(" ") for part in lines.get("part", ()))
        return {part: size for part, _, size in parts} if "known" in lines else None

    def read_pull_traces(self, data_dir: str, unit: str, image: str) -> PullTraces:
        """Return whether the node holds an image, and which endpoints containerd passed over."""
        mine = self.distribution
        log = mine.containerd_log and mine.below(data_dir, mine.containerd_log)
        arguments = (mine.crictl_config, " ".join(mine.crictl), log, unit, image)
        return parse_traces(self._expect(READ_PULL_TRACES, *arguments, what="look at its images"))

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
            user, title = self.host.user, self.distribution.title
            return SudoRefusedError(
                f"{self.name}: sudo does not let {user} run commands as root without a password: "
                f"{result.words}\nAdd this line with `visudo -f /etc/sudoers.d/zz-acrfleet` on the "
                f"host:\n    {user} ALL=(root) NOPASSWD: /bin/sh\n(Of sudo's rules the last one "
                "that fits counts, and files are read in the order of their names. The commands "
                f"are shell scripts: they read {title}'s files, replace those that say where "
                "images come from, restart its service and set a timer that undoes the change.)"
            )
        return CommandFailedError(
            f"{self.name}: the login shell did not run /bin/sh (exit status {result.status}): "
            f"{result.words or result.stdout.decode(errors='replace')[-500:]}"
        )


def _body(result: CommandResult) -> str:
    """Return the output behind the line that says that the script started."""
    return result.stdout.decode(errors="replace").partition(_STARTED)[2]
