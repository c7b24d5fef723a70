"""`date` on a host, once the lab's clock has jumped away from this machine's."""

from datetime import datetime

from lab.hosts.execution import Executor
from lab.hosts.shells import Command
from lab.hosts.stand_ins import Reply, ToolCall

_NAMES_A_MOMENT = ("-d", "--date", "-r", "--reference", "-s", "--set", "-f", "--file")


async def run_date(call: ToolCall, executor: Executor, now: datetime) -> Reply:
    """Run the machine's own `date` at the lab's time, unless it is asked for another moment."""
    asked = any(word.startswith(_NAMES_A_MOMENT) for word in call.arguments)
    moment = () if asked else (f"-d@{now.timestamp():.6f}",)
    command = Command(
        ("/bin/date", *moment, *call.arguments),
        call.environment,
        uid=call.uid,
        gid=call.uid,
        folder=call.folder,
    )
    running = await executor.run(command, call.files)
    return Reply(exit=await running.status)
