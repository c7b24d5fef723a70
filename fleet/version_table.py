"""What versions of distributions are known to do wrong, as data; preflight warns or refuses by it.

Collected in shared/facts/edge-hosts.md 1.8 from the issues that each row names. K3s and RKE2 share
code and version numbers. Whether certs.d is read is looked up on the host; `Row.certs_d` only
explains it.
"""

import re
from collections.abc import Iterator
from typing import Literal

from fleet.strict import Strict
from fleet.yaml_nodes import Plain

Condition = Literal["always", "default-endpoint", "tls-only", "wildcard"]
Verdict = Literal["note", "warn", "refuse"]
_SUSE = ("k3s", "rke2")


class Range(Strict):
    """Versions MINOR.FIRST to MINOR.LAST of major version 1, both included."""

    minor: int
    first: int = 0
    last: int = 999


class Row(Strict):
    """One row of the table.

    Attributes:
        distributions: Whose versions these are.
        ranges: Which versions.
        effect: What they do, and what to do about it.
        verdict: note and warn are told; refuse stops before anything is written.
        condition: What the registries file must hold for the row to count: always, an endpoint
            that is the registry itself or stands there twice, TLS settings without a mirror, or a
            mirror for all hosts.
        certs_d: Whether containerd reads hosts.toml, so that a change needs no restart.
        source: Where it was reported.
    """

    distributions: tuple[str, ...]
    ranges: tuple[Range, ...]
    effect: str
    verdict: Verdict
    source: str
    condition: Condition = "always"
    certs_d: bool = True


def _from(minor: int, upto: int = 99) -> tuple[Range, ...]:
    return tuple(Range(minor=number) for number in range(minor, upto + 1))


TABLE = (
    Row(
        distributions=_SUSE,
        ranges=(
            *(Range(minor=number) for number in range(26)),
            Range(minor=26, last=12),
            Range(minor=27, last=9),
            Range(minor=28, last=5),
            Range(minor=29, last=0),
        ),
        effect="mirrors are part of containerd's main configuration, so every change of them needs "
        "a restart; upgrade if you can",
        verdict="warn",
        certs_d=False,
        source="k3s#8972, k3s#9128",
    ),
    Row(
        distributions=_SUSE,
        ranges=(Range(minor=27, first=10, last=10),),
        effect="endpoints that are bare host names are broken; upgrade",
        verdict="warn",
        source="k3s#9322",
    ),
    Row(
        distributions=_SUSE,
        ranges=(Range(minor=27, first=11, last=11), Range(minor=28, first=7, last=7)),
        effect="a mirror that lists its own registry, or an endpoint twice, breaks its hosts.toml; "
        "take that endpoint out, or upgrade to v1.27.12 or v1.28.8",
        verdict="refuse",
        condition="default-endpoint",
        source="k3s#9341, k3s#9626, k3s#9694",
    ),
    Row(
        distributions=_SUSE,
        ranges=(Range(minor=29, first=3, last=3),),
        effect="TLS settings of a registry without a mirror are ignored or break its hosts.toml; "
        "add a mirror for it, or upgrade",
        verdict="warn",
        condition="tls-only",
        source="k3s#9839, k3s#9983",
    ),
    Row(
        distributions=_SUSE,
        ranges=(
            Range(minor=31, first=6, last=6),
            Range(minor=32, first=2, last=2),
        ),
        effect='a mirror for "*" loses the fallback to the registry itself; upgrade',
        verdict="warn",
        condition="wildcard",
        source="k3s#11857",
    ),
    Row(
        distributions=_SUSE,
        ranges=(Range(minor=31, first=6), *_from(32)),
        effect="containerd 2 reads the template config-v3.toml.tmpl; the old name still works",
        verdict="note",
        source="rke2-docs docs/advanced.md",
    ),
    Row(
        distributions=_SUSE,
        ranges=_from(35),
        effect="the kubelet asks the registry again about images that were pulled with another "
        "secret; pull secrets are changed in place, never replaced",
        verdict="note",
        source="kubernetes pkg/features/kube_features.go KubeletEnsureSecretPulledImages",
    ),
    Row(
        distributions=("k0s",),
        ranges=_from(0),
        effect="k0s manages containerd's configuration itself, and from v1.36 a drop-in of the old "
        "form keeps it from starting; acrfleet does not configure k0s",
        verdict="refuse",
        source="k0s docs/runtime.md",
    ),
)


def rows_for(distribution: str, version: str) -> Iterator[Row]:
    """Yield the rows that a version falls under, whatever their condition."""
    match = re.match(r"v?1\.(\d+)\.(\d+)", version)
    if not match:
        return
    minor, patch = int(match[1]), int(match[2])
    for row in TABLE:
        fits = any(r.minor == minor and r.first <= patch <= r.last for r in row.ranges)
        if distribution in row.distributions and fits:
            yield row


def applies(row: Row, registries: Plain) -> bool:
    """Return whether a registries file, as plain data, meets the row's condition."""
    top = _map(registries)
    mirrors, configs = _map(top.get("mirrors")), _map(top.get("configs"))
    if row.condition == "default-endpoint":
        return any(_lists_itself_or_twice(name, mirror) for name, mirror in mirrors.items())
    if row.condition == "tls-only":
        return any(_map(one).get("tls") and name not in mirrors for name, one in configs.items())
    return row.condition == "always" or "*" in mirrors


def _lists_itself_or_twice(name: str, mirror: Plain) -> bool:
    listed = _map(mirror).get("endpoint")
    hosts = [_host(str(one)) for one in listed] if isinstance(listed, list) else []
    return name in hosts or len(set(hosts)) < len(hosts)


def _host(url: str) -> str:
    return url.rpartition("://")[2].partition("/")[0]


def _map(value: Plain) -> dict[str, Plain]:
    return value if isinstance(value, dict) else {}
