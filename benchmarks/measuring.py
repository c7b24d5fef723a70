"""What a runner says of itself: one line of JSON, the last that it prints."""

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable

from fleet.results import SiteResult, Status


def measure(work: Callable[[], Iterable[SiteResult]]) -> None:
    """Run `work` and print wall and CPU seconds, peak memory in MB, sites and changes.

    Importing the product comes before, so that a run of ten sites is not about that. A site that
    is not done makes the figures worthless: then they are not printed, and the exit status is 1.
    """
    began, cpu = time.monotonic(), time.process_time()
    results = list(work())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "wall": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
        "memory": usage.ru_maxrss / 1024,
        "sites": len(results),
        "changes": sum(result.changes for result in results),
    }
    bad = [result for result in results if result.status is not Status.DONE]
    if bad or not results:
        counts = Counter(f"{one.status}: {one.error}: {one.message[:200]}" for one in bad)
        sys.exit(f"{len(bad)} of {len(results)} sites are not done: {counts.most_common(3)}")
    print(json.dumps(figures))
