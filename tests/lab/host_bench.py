"""Lab hosts in a background loop, and paramiko to log in to them over the wire."""

import asyncio
import socket
from contextlib import contextmanager
from dataclasses import dataclass, field

import paramiko

from lab.audit import AuditLog
from lab.clock import Clock
from lab.faults import Faults
from lab.hosts import HostLab
from lab.loops import LoopThread

MINUTE = 0.6


@dataclass
class Result:
    status: int
    out: str
    err: str


class Login:
    """One SSH connection of a user."""

    def __init__(self, host, user="edge", **more):
        self.client = paramiko.SSHClient()
        keys = self.client.get_host_keys()
        entry = paramiko.hostkeys.HostKeyEntry.from_line(host.known_hosts)
        keys.add(entry.hostnames[0], entry.key.get_name(), entry.key)
        address = getattr(host, "address", "127.0.0.1")
        line = socket.create_connection((address, host.port), timeout=10)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.client.connect(
                address,
                host.port,
                user,
                key_filename=str(host.key_file),
                sock=line,
                look_for_keys=False,
                allow_agent=False,
                **more,
            )
        except BaseException:
            self.client.close()
            line.close()
            raise

    def run(self, command, stdin=b"", timeout=20):
        channel = self.client.get_transport().open_session(timeout=timeout)
        channel.settimeout(timeout)
        channel.exec_command(command)
        channel.sendall(stdin)
        channel.shutdown_write()
        out, err = channel.makefile("rb").read(), channel.makefile_stderr("rb").read()
        if not channel.status_event.wait(timeout):
            raise TimeoutError(command)
        return Result(channel.exit_status, out.decode(), err.decode())

    def root(self, script, stdin=b"", timeout=20):
        quoted = script.replace("'", "'\\''")
        return self.run(f"sudo -n /bin/sh -c '{quoted}'", stdin, timeout)

    def forward(self, host, port):
        transport = self.client.get_transport()
        return transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=5)


@dataclass
class Bench:
    """Makes hosts and keeps what they share."""

    folder: object
    loop: LoopThread
    faults: Faults = field(default_factory=Faults)
    clock: Clock = field(default_factory=lambda: Clock(MINUTE))
    hosts: list = field(default_factory=list)
    logins: list = field(default_factory=list)

    def __post_init__(self):
        self.audit = AuditLog(self.folder / "audit.jsonl")

    def host(self, name="oslo-1", role="server", **more):
        host = HostLab(
            self.audit,
            self.faults,
            self.clock,
            site="oslo",
            name=name,
            role=role,
            folder=self.folder / name,
            **more,
        )
        self.loop.call(host.start)
        self.hosts.append(host)
        return host

    def login(self, host, **more):
        self.logins.append(Login(host, **more))
        return self.logins[-1]

    def actions(self):
        return [(line["action"], line["target"]) for line in self.audit.read()]

    def close(self):
        for login in self.logins:
            login.client.close()
        for host in self.hosts:
            self.loop.call(host.stop)
        self.loop.close()


@contextmanager
def a_bench(folder):
    bench = Bench(folder, LoopThread("hosts"))
    try:
        yield bench
    finally:
        bench.close()


async def echo_server():
    async def handle(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    return await asyncio.start_server(handle, "127.0.0.1", 0)
