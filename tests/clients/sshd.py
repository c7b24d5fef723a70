"""A real OpenSSH server on a loopback port, for tests."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/sbin")


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "", *more: str) -> Path:
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run([*command, *more], check=True)
    return path


class Sshd:
    """One server process; use it in a `with`."""

    def __init__(
        self, folder: Path, *settings: str, host_keys: tuple[str, ...] = ("ed25519",)
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.settings = folder, settings
        self.key_file = folder / "id"
        if not self.key_file.exists():
            make_key(self.key_file)
        self.authorized = folder / "authorized_keys"
        self.authorized.write_text(self.key_file.with_suffix(".pub").read_text())
        self.host_keys = [make_key(folder / f"host_{kind}", kind) for kind in host_keys]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def known_hosts(self) -> str:
        keys = [key.with_suffix(".pub").read_text() for key in self.host_keys]
        return "".join(f"[127.0.0.1]:{self.port} {' '.join(key.split()[:2])}\n" for key in keys)

    def __enter__(self) -> "Sshd":
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(
            "\n".join(
                [
                    # Of this setting alone sshd takes the last value, not the first.
                    "MaxStartups 500:30:1000",
                    *self.settings,
                    *(f"HostKey {key}" for key in self.host_keys),
                    f"AuthorizedKeysFile {self.authorized}",
                    "PidFile none",
                    "UsePAM no",
                    "StrictModes no",
                    "UseDNS no",
                    "PasswordAuthentication no",
                    "Subsystem sftp internal-sftp",
                ]
            )
        )
        assert SSHD is not None
        self.log = (self.folder / "sshd.log").open("ab")
        listen = f"ListenAddress=127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(config), "-o", listen], stderr=self.log
        )
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        raise AssertionError((self.folder / "sshd.log").read_text())

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.log.close()
