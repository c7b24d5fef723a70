"""The lab's audit log: one JSON line for everything that changes something in any part."""

import json
import time
from pathlib import Path
from typing import Any


class AuditLog:
    """Appends one line per change: time, part, site, action, target."""

    def __init__(self, path: Path) -> None:
        """Start an empty log at `path`."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")

    def write(self, part: str, site: str | None, action: str, target: str, **more: Any) -> None:
        """Append one line. `part` is azure, cluster, hosts or registry; never pass a secret."""
        line = {"time": time.time(), "part": part, "site": site, "action": action, "target": target}
        with self.path.open("a") as file:
            file.write(json.dumps(line | more) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """Return all lines so far."""
        return [json.loads(line) for line in self.path.read_text().splitlines()]
