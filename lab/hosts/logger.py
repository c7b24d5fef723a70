"""`logger` on a host: a line for the journal from a script."""

import asyncio
import os

from lab.hosts.arguments import Arguments, UsageError
from lab.hosts.journal import Journal
from lab.hosts.stand_ins import Reply, ToolCall

_VALUES = {
    "-t": "tag", "--tag": "tag", "-p": "priority", "--priority": "priority", "--id": "id",
}  # fmt: skip
_FLAGS = {"-s": "stderr", "--stderr": "stderr", "-i": "process", "-e": "no-empty"}
_PROCESS = 5000


async def run_logger(call: ToolCall, journal: Journal, unit: str) -> Reply:
    """Log the words of the command line, or each line of standard input, as `unit`'s."""
    try:
        asked = Arguments(call.arguments, _VALUES, _FLAGS, stop_at_word=True)
    except UsageError as error:
        return Reply(stderr=f"logger: {error}\n", exit=1)
    lines = [" ".join(asked.words)] if asked.words else await _lines(call.files[0])
    tag = asked.last("tag") or call.environment.get("USER", "root")
    for line in lines:
        journal.write(unit, line, source=tag, process=_PROCESS)
    echo = "".join(f"<13>{tag}: {line}\n" for line in lines) if asked.has("stderr") else ""
    return Reply(stderr=echo)


async def _lines(file: int) -> list[str]:
    """Read to the end, in a thread: the file is the caller's and may block."""
    content = b""
    while data := await asyncio.to_thread(os.read, file, 65536):
        content += data
    return content.decode(errors="replace").splitlines()
