"""One real host: systemd as PID 1, journald, OpenSSH and the stand-in k3s, with an own address."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tests.acceptance.link import Link
from tests.acceptance.machine import GATEWAY, answers_ssh, children, run
from tests.acceptance.observations import Service, Stat
from tests.acceptance.seed import FLAVORS, PROGRAMS, STAND_IN, write_seed

REGISTRIES = FLAVORS["k3s"].registries
CERTS_D = FLAVORS["k3s"].certs_d
T = TypeVar("T")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Host:
    """A running host. `root` runs a command on it past SSH, `ssh` through OpenSSH's own client.

    Attributes:
        link: Its network, when it was made with `emulated=True`: delay, loss, black hole.
        flavor: Paths, units and tools of its distribution.
        unit: The service that a change of registries may restart.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        name: str,
        role: str,
        *,
        distribution: str = "k3s",
        emulated: bool = False,
    ) -> None:
        """Describe a host; `start` makes it."""
        self.folder, self.name, self.role = folder, name, role
        self.address = f"198.18.{number // 200 + 1}.{number % 200 + 2}"
        self.port, self.user = 22, "edge"
        self.distribution, self.flavor = distribution, FLAVORS[distribution]
        self.unit = self.flavor.units[role]
        self.key_file = folder.parent / "id_ed25519"
        self._device = f"h{number}"
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._settings: dict[str, object] = {}
        self.link = Link(self.name, self._device) if emulated else None

    # --- life -------------------------------------------------------------------------------

    def start(self, settings: dict[str, object], files: dict[str, str]) -> None:
        """Boot it; returns when SSH answers, usually after half a second."""
        self.folder.mkdir(parents=True)
        self._settings = {**settings, "name": self.name, "address": self.address}
        public = write_seed(
            self._seed,
            distribution=self.distribution,
            role=self.role,
            login_key=self.key_file,
            settings=self._settings,
            files=files,
        )
        self.known_hosts.write_text(f"{self.address} {public}\n")
        self._plug_in()
        with (self.folder / "console.log").open("wb") as console:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "/bin/bash", PROGRAMS / "host.sh", self.name, self._seed],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self.until(self._is_listening, what="SSH to answer", patience=30)
        self._leader = self._find_leader()

    def stop(self) -> None:
        """Pull the plug: everything on the host is gone."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.kill(self._leader or self._process.pid, 9)
        self._process.kill()
        self._process.wait(10)
        self._process = None
        if self.link:
            self.link.close()
        run("ip", "netns", "delete", self.name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def reboot(self) -> None:
        """Reboot without waiting for services; its files stay. Returns when SSH answers."""
        before = self._leader
        self.attempt("systemctl reboot --force")
        self._until_back(before)

    def cut_power(self) -> None:
        """Kill it and boot it again; what had been written stays. Returns when SSH answers."""
        before = self._leader
        (self._seed / "boot-again").touch()
        os.kill(before, signal.SIGKILL)
        self._until_back(before)

    def _until_back(self, before: int) -> None:
        self.until(lambda: not Path(f"/proc/{before}").exists(), what="it to go down")
        self._leader = 0
        self.until(self._is_listening, what="SSH to answer", patience=30)
        self._leader = self._find_leader()

    # --- commands ---------------------------------------------------------------------------

    def root(
        self, command: str, *, stdin: str = "", check: bool = True, timeout: float = 30
    ) -> str:
        """Run a shell command on it as root, past SSH and link; returns its output.

        Raises:
            AssertionError: It failed, unless `check` is False.
        """
        done = self.attempt(command, stdin=stdin, timeout=timeout)
        assert not check or done.returncode == 0, f"{self.name}: {command}: {done.stderr}"
        return done.stdout

    def attempt(
        self, command: str, *, stdin: str = "", timeout: float = 30
    ) -> "subprocess.CompletedProcess[str]":
        """Run a shell command on it as root and return how it went."""
        inside = ["nsenter", "--target", str(self._leader), "--all", "/usr/bin/env", "-i"]
        inside += [
            "HOME=/root",
            "LC_ALL=C",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
        ]
        return subprocess.run(
            [*inside, "/bin/sh", "-c", command],
            input=stdin,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def ssh(self, command: str, *, user: str = "edge", timeout: float = 30) -> str:
        """Run a command through OpenSSH's client; raises CalledProcessError."""
        options = ["-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "BatchMode=yes"]
        where = ["-p", str(self.port), "-i", str(self.key_file), f"{user}@{self.address}"]
        done = subprocess.run(
            ["ssh", "-F", "none", *options, *where, command],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
        )
        return done.stdout

    # --- files ------------------------------------------------------------------------------

    def read(self, path: str) -> str:
        """Return a file's text."""
        return self.root(f"cat {shlex.quote(path)}")

    def write(self, path: str, text: str, mode: str = "0600") -> None:
        """Write a file, and its folder, as somebody else on the host would."""
        quoted, folder = shlex.quote(path), shlex.quote(str(Path(path).parent))
        self.root(f"mkdir -p {folder} && cat > {quoted} && chmod {mode} {quoted}", stdin=text)

    def exists(self, path: str) -> bool:
        """Return whether there is anything at a path."""
        return self.attempt(f"test -e {shlex.quote(path)}").returncode == 0

    def find(self, pattern: str) -> list[str]:
        """Return the paths that a shell pattern matches."""
        return self.root(f"ls -1d {pattern} 2>/dev/null || true").split()

    def stat(self, path: str) -> Stat:
        """Return inode, time of change (ns), mode and owner."""
        words = self.root(f"stat -c '%i|%y|%a|%U:%G' {shlex.quote(path)}").strip().split("|")
        return Stat(int(words[0]), words[1], words[2], words[3])

    # --- services ---------------------------------------------------------------------------

    def service(self, unit: str | None = None) -> Service:
        """Return what systemd says about K3s' unit, or another."""
        names = ("ActiveState", "SubState", "NRestarts", "ActiveEnterTimestampMonotonic", "MainPID")
        text = self.root(f"systemctl show -p {','.join(names)} {unit or self.unit}")
        found = dict(line.split("=", 1) for line in text.splitlines())
        active, sub, *numbers = (found[name] for name in names)
        return Service(active, sub, *(int(number) for number in numbers))

    def journal(self, unit: str | None = None, lines: int = 200) -> str:
        """Return the last lines of K3s' journal, or of another unit's ("" for all)."""
        chosen = self.unit if unit is None else unit
        which = f"-u {shlex.quote(chosen)}" if chosen else ""
        return self.root(f"journalctl --no-pager -q -n {lines} {which}")

    def fail_when(self, text: str, how: str = "exit", words: str = "ordered by the test") -> None:
        """Have K3s fail while registries.yaml holds `text`: `exit` at each start, or `hang`."""
        self._settings["fail"] = {"text": text, "how": how, "words": words}
        self.write(STAND_IN, json.dumps(self._settings))

    def stop_failing(self) -> None:
        """Take back what `fail_when` ordered."""
        self._settings.pop("fail", None)
        self.write(STAND_IN, json.dumps(self._settings))

    # --- containerd -------------------------------------------------------------------------

    def pull(self, image: str, login: str = "") -> "subprocess.CompletedProcess[str]":
        """Let containerd pull an image, as the kubelet would; `login` is `user:password`."""
        prefix = 'read -r L; CRICTL_AUTH=$(printf %s "$L" | base64 -w0); export CRICTL_AUTH; '
        command = f"{self.flavor.crictl} pull {shlex.quote(image)}"
        return self.attempt(prefix * bool(login) + command, stdin=login + "\n", timeout=90)

    def images(self) -> list[str]:
        """Return the names under which containerd has images, without the digests."""
        return [
            name
            for name in self.root(f"{self.flavor.ctr} images ls -q").split()
            if "sha256:" not in name
        ]

    def forget_images(self) -> None:
        """Remove every image, so that the next pull has to ask a registry."""
        ctr = self.flavor.ctr
        self.root(f"{ctr} images ls -q | xargs -r {ctr} images rm --sync")
        self.root(f"{ctr} content ls -q | xargs -r {ctr} content rm")

    def forget(self, repository: str) -> None:
        """Remove one repository's images and what only they hold; others are left in peace."""
        ctr, mine = self.flavor.ctr, shlex.quote(f"/{repository}[:@]")
        # An image has several names, one of them a bare digest: they go together.
        chosen = "$1 ~ mine { digests[$3] } { digest[$1] = $3 }"
        chosen += " END { for (name in digest) if (digest[name] in digests) print name }"
        names = f"{ctr} images ls | awk -v mine={mine} {shlex.quote(chosen)}"
        self.root(f"{names} | xargs -r {ctr} images rm --sync")

    # --- waiting ----------------------------------------------------------------------------

    def until_k3s_runs(self, patience: float = 60) -> None:
        """Wait until systemd says that K3s runs and containerd answers."""
        self.until(
            lambda: (
                self.attempt(f"{self.flavor.crictl} version").returncode == 0
                and self.service().sub == "running"
            ),
            what=f"{self.unit} to run",
            patience=patience,
        )

    def until(self, look: Callable[[], T], *, what: str, patience: float = 20) -> T:
        """Look until the answer is true; raises AssertionError with the console's end."""
        end = time.monotonic() + patience
        while not (answer := look()):
            assert time.monotonic() < end, f"waited {patience:g} s for {what}: {self._last_words()}"
            assert self._process is None or self._process.poll() is None, self._last_words()
            time.sleep(0.1)
        return answer

    # --- how it is made ---------------------------------------------------------------------

    @property
    def known_hosts(self) -> Path:
        """Return a file with this host's key alone."""
        return self.folder / "known_hosts"

    @property
    def _seed(self) -> Path:
        return self.folder / "seed"

    def _plug_in(self) -> None:
        run("ip", "netns", "add", self.name)
        if self.link:
            self.link.open()
        else:
            peer = ("type", "veth", "peer", "name", "eth0", "netns", self.name)
            run("ip", "link", "add", self._device, *peer)
            run("ip", "link", "set", self._device, "master", "br0", "up")
        inside = ("ip", "-n", self.name)
        run(*inside, "address", "add", f"{self.address}/16", "dev", "eth0")
        run(*inside, "link", "set", "eth0", "up")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "route", "add", "default", "via", GATEWAY)

    def _is_listening(self) -> bool:
        return answers_ssh(self.address)

    def _find_leader(self) -> int:
        """Return the host's PID 1 as this machine numbers it: the child of systemd-nspawn."""
        assert self._process is not None
        below = [one for nspawn in children(self._process.pid) for one in children(nspawn)]
        for child in below:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return child
        raise AssertionError(f"{self.name}: systemd is not among {below}: {self._last_words()}")

    def _last_words(self) -> str:
        """Return what the host said last: on its console, and in its journal if it came so far."""
        words = (self.folder / "console.log").read_text(errors="replace")[-2000:]
        journal = self.attempt("journalctl --no-pager -q -n 30").stdout if self._leader else ""
        return f"{self.name}: {words}\n{journal}"
