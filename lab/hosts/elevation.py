"""`sudo` on a host, with the rule it is set to.

allowed    NOPASSWD for everything
shell      NOPASSWD for /bin/sh alone
password   the user may do everything, after a password that nobody types
absent     not installed
"""

import asyncio
import signal
from typing import Literal

from lab.hosts.arguments import Arguments, UsageError
from lab.hosts.execution import Executor
from lab.hosts.folder import USER_ID
from lab.hosts.shells import Command
from lab.hosts.stand_ins import Reply, ToolCall

Rule = Literal["allowed", "shell", "password", "absent"]
SECURE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT = ("TERM", "LANG", "LC_ALL", "TZ")
_PASSWORD = "sudo: a password is required\n"  # noqa: S105 - a message
_NO_TERMINAL = (
    "sudo: a terminal is required to read the password; either use the -S option to read from "
    "standard input or configure an askpass helper\n"
)
_VALUES = {"-u": "user", "--user": "user", "-g": "group", "--group": "group", "-p": "prompt"}
_FLAGS = {
    "-n": "quiet", "--non-interactive": "quiet", "-H": "home", "-E": "keep", "-S": "stdin",
    "-k": "forget", "-K": "forget", "-v": "validate", "-l": "list", "-i": "login", "-s": "shell",
    "--stdin": "stdin", "--list": "list", "--validate": "validate", "--preserve-env": "keep",
}  # fmt: skip


class Sudo:
    """Answers `sudo` for one host's user."""

    def __init__(self, executor: Executor, user: str) -> None:
        """Run commands with `executor`; `user` is the host's login account."""
        self.rule: Rule = "allowed"
        self.secure_path = SECURE_PATH
        self._executor = executor
        self._user = user

    async def run(self, call: ToolCall) -> Reply:
        """Run one command line; the command gets the caller's own standard files."""
        try:
            asked = Arguments(call.arguments, _VALUES, _FLAGS, stop_at_word=True)
        except UsageError as error:
            return Reply(stderr=f"sudo: {error}\nusage: sudo -h | -K | -k | -V\n", exit=1)
        is_root = call.uid == 0 and self._executor.namespace
        if not is_root and not asked.has("forget") and not self._needs_none(asked.words):
            return Reply(
                stderr=_PASSWORD if asked.has("quiet") else _NO_TERMINAL + _PASSWORD, exit=1
            )
        if asked.has("list"):
            rules = f"User {self._user} may run the following commands:\n    (ALL) NOPASSWD: ALL\n"
            return Reply(rules)
        if asked.has("validate") or (asked.has("forget") and not asked.words):
            return Reply()
        return await self._execute(call, asked)

    def _needs_none(self, words: list[str]) -> bool:
        """Return whether the rule lets a command run without a password."""
        shell = words[:1] in (["/bin/sh"], ["/usr/bin/sh"], ["sh"])
        return self.rule == "allowed" or (self.rule == "shell" and shell)

    async def _execute(self, call: ToolCall, asked: Arguments) -> Reply:
        words = list(asked.words)
        extra: dict[str, str] = {}
        while words and "=" in words[0] and words[0].partition("=")[0].isidentifier():
            name, _, value = words.pop(0).partition("=")
            extra[name] = value
        if asked.has("login") or asked.has("shell"):
            words = ["/bin/sh", "-c", " ".join(words)] if words else ["/bin/sh"]
        if not words:
            return Reply(stderr="usage: sudo -h | -K | -k | -V\n", exit=1)
        command = self._command(call, words, asked.last("user") or "root", extra)
        if command is None:
            return Reply(stderr=f"sudo: unknown user {asked.last('user')}\n", exit=1)
        return Reply(exit=await self._wait(call, command))

    def _command(
        self, call: ToolCall, words: list[str], target: str, extra: dict[str, str]
    ) -> Command | None:
        numbers = {"root": 0, "#0": 0, self._user: USER_ID, f"#{USER_ID}": USER_ID}
        if target not in numbers:
            return None
        number = numbers[target]
        name = "root" if number == 0 else self._user
        home = "/root" if number == 0 else f"/home/{self._user}"
        environment = {
            **{key: call.environment[key] for key in _KEPT if key in call.environment},
            "HOME": self._executor.path(home),
            "USER": name,
            "LOGNAME": name,
            "SHELL": "/bin/sh",
            "PATH": self._executor.search_path(self.secure_path),
            "SUDO_USER": self._user if call.uid else "root",
            "SUDO_UID": str(call.uid),
            "SUDO_GID": str(call.uid),
            "SUDO_COMMAND": " ".join(words),
            **extra,
        }
        return Command(
            tuple(words),
            environment,
            uid=number,
            gid=number,
            folder=call.folder,
            umask=call.umask | 0o022,
            not_found=f"sudo: {words[0]}: command not found\n",
            not_found_exit=1,
        )

    async def _wait(self, call: ToolCall, command: Command) -> int:
        """Wait for the command; when sudo itself is killed, the command is told to end."""
        running = await self._executor.run(command, call.files)
        try:
            status = await asyncio.shield(running.status)
        except asyncio.CancelledError:
            await self._executor.signal(running, signal.SIGTERM)
            raise
        return status if status >= 0 else 128 - status
