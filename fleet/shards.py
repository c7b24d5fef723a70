"""Shards: the sites of a run, cut into pieces that workers take up as runs of their own.

A shard has sites of one registry, so that runs are bounded per registry, and sites that feed each
other are in the same shard, because the order among them is kept inside a run. The same sites give
the same shards in whatever order they come: a run that is started again finds its own.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from fleet.dispatch_errors import ShardLostError
from fleet.failures import what_to_do
from fleet.nesting import Tree
from fleet.results import SiteResult, Status
from fleet.shard_settings import Shards
from fleet.sites import Fleet, Site


@dataclass(frozen=True, slots=True)
class Shard:
    """Sites of one registry that are worked on in one run; `attempt` is 2 when it was lost once."""

    registry: str
    sites: tuple[str, ...]
    attempt: int = 1

    @property
    def key(self) -> str:
        """Return a short name that stands for exactly these sites and this attempt."""
        content = "\n".join([self.registry, str(self.attempt), *self.sites])
        return sha256(content.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        """Say which sites these are, by the first and the last."""
        if len(self.sites) == 1:
            return self.sites[0]
        return f"{self.sites[0]} to {self.sites[-1]} ({len(self.sites)} sites)"


def cut(sites: Iterable[Site], tree: Tree, size: int) -> tuple[Shard, ...]:
    """Return the shards of a run, registries in turn, each with about the same number of sites.

    Args:
        sites: The sites of the run.
        tree: Which site is below which in the whole fleet.
        size: Most sites in a shard. Only sites that feed each other may be more, in one by
            themselves: nothing orders runs among each other.
    """
    families: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for site in sorted(sites, key=lambda site: site.name):
        head = (site, *tree.above(site))[-1].name
        families[site.registry][head].append(site.name)
    pieces = {
        registry: _pack(list(found.values()), size) for registry, found in sorted(families.items())
    }
    longest = max(map(len, pieces.values()), default=0)
    return tuple(
        Shard(registry, piece[turn])
        for turn in range(longest)
        for registry, piece in pieces.items()
        if turn < len(piece)
    )


def startable(
    waiting: Sequence[Shard], under_way: Iterable[Shard], settings: Shards
) -> tuple[Shard, ...]:
    """Return which of the waiting shards may start now, in their order."""
    busy = Counter(shard.registry for shard in under_way)
    room = settings.at_once - busy.total()
    most = settings.at_once_per_registry or settings.at_once
    chosen: list[Shard] = []
    for shard in waiting:
        if len(chosen) < room and busy[shard.registry] < most:
            chosen.append(shard)
            busy[shard.registry] += 1
    return tuple(chosen)


def rest_of(shard: Shard, results: Mapping[str, SiteResult]) -> Shard | None:
    """Return what is to be dispatched again after a shard was lost: once, and only what is open."""
    left = tuple(name for name in shard.sites if name not in results)
    if not left or shard.attempt > 1:
        return None
    return Shard(shard.registry, left, shard.attempt + 1)


def lost(verb: str, shard: Shard, why: str, results: Mapping[str, SiteResult]) -> list[SiteResult]:
    """Return results for those sites of a shard of which nothing is known."""
    error = ShardLostError(why)
    return [
        SiteResult(
            site=name,
            verb=verb,
            status=Status.FAILED,
            message=why,
            error=type(error).__name__,
            todo=what_to_do(error),
        )
        for name in shard.sites
        if name not in results
    ]


def fingerprint(fleet: Fleet) -> str:
    """Return a short name for everything that a fleet file says, comments left aside.

    Two machines that are to work on one fleet compare it, so that an old copy is noticed.
    """
    return sha256(fleet.model_dump_json().encode()).hexdigest()[:16]


def _pack(families: Sequence[Sequence[str]], size: int) -> list[tuple[str, ...]]:
    """Put families into as few pieces as there have to be, all about as large."""
    total = sum(map(len, families))
    pieces = -(-total // size)
    target = -(-total // pieces) if pieces else size
    packed: list[list[str]] = []
    for family in families:
        if packed and len(packed[-1]) + len(family) <= target:
            packed[-1].extend(family)
        else:
            packed.append(list(family))
    return [tuple(piece) for piece in packed]
