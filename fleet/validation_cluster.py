"""What single values about clusters and hosts may be; the rules are Kubernetes' and Helm's own."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from fleet.validation import PATH_PART, WORD, Matches, broken_rule

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_HOST_PART = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

# --- Kubernetes
NamespaceName = Annotated[
    str,
    Matches(_LABEL, "1 to 63 lower-case letters, digits and '-' (DNS-1123)", "choose such a name"),
]
ReleaseName = Annotated[
    str,
    Matches(
        r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?",
        "1 to 53 lower-case letters, digits and '-'",
        "choose such a name",
    ),
]
ObjectName = Annotated[
    str,
    Matches(
        rf"(?=.{{1,253}}$){_SUBDOMAIN}",
        "lower-case letters, digits, '-' and '.' (DNS-1123)",
        "choose such a name",
    ),
]
LabelKey = Annotated[
    str,
    Matches(
        rf"({_SUBDOMAIN}/)?{WORD}",
        "Kubernetes label keys: [prefix/]name, the name 1 to 63 characters",
        "mend the key",
    ),
]
LabelValue = Annotated[
    str,
    Matches(
        rf"({WORD})?",
        "up to 63 letters, digits, '.', '_' and '-', with a letter or digit at both ends",
        "choose a value that a Kubernetes label can have",
    ),
]
StorageSize = Annotated[
    str,
    Matches(
        r"0*[1-9][0-9]*(\.[0-9]+)?(Mi|Gi|Ti|Pi|M|G|T|P)",
        "sizes such as 500Mi, 20Gi or 1.5Ti",
        "give a number above zero with its unit",
    ),
]
ChartReference = Annotated[
    str,
    Matches(
        rf"oci://{_HOST_PART}(\.{_HOST_PART})*(:[0-9]{{1,5}})?(/{PATH_PART})+",
        "oci://HOST/PATH without a tag",
        "put the version into chart.version",
    ),
]
ChartVersion = Annotated[
    str,
    Matches(
        r"v?(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?",
        "exact versions such as 0.4.0",
        "pin the version, no ranges and no 'latest'",
    ),
]

# --- hosts
UserName = Annotated[
    str,
    Matches(
        r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?",
        "Unix user names",
        "write the user alone, and the host under address",
    ),
]
NodeName = Annotated[
    str,
    Matches(
        r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?",
        "names that `kubectl get nodes` shows",
        "copy it from there",
    ),
]


def _host_address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        pass
    numeric = re.fullmatch(r"[0-9.]+", value)
    if numeric or not re.fullmatch(rf"(?=.{{1,253}}$){_HOST_PART}(\.{_HOST_PART})*\.?", value):
        raise broken_rule(
            "allowed are host names, IPv4 and IPv6 addresses without brackets; "
            "put the port under port and the user under user"
        )
    return value


def _registry_endpoint(value: str) -> str:
    """Take `host`, `host:port`, `[::1]` or `[::1]:8080`, as connection strings do."""
    match = re.fullmatch(
        r"(\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]]+))(:(?P<port>\d{1,5}))?", value
    )
    if match is None or not 1 <= int(match["port"] or 1) <= 65535:
        raise broken_rule(
            "allowed is HOST or HOST:PORT without https:// and path; put IPv6 addresses in brackets"
        )
    if match["six"] and ":" not in _host_address(match["six"]):
        raise broken_rule("only IPv6 addresses stand in brackets; remove them")
    if match["host"]:
        _host_address(match["host"])
    return value


def _cluster_ip(value: Any) -> Any:
    if value is None or isinstance(value, IPv4Address | IPv6Address):
        return value
    try:
        address = ip_address(str(value))
    except ValueError:
        address = None
    if address is None or not _is_service_address(address):
        raise broken_rule(
            "allowed are addresses of the cluster's service network; "
            "pick a free one, for K3s from 10.43.0.0/16, or remove the line"
        )
    return address


def _is_service_address(address: IPv4Address | IPv6Address) -> bool:
    return not (
        address.is_loopback
        or address.is_multicast
        or address.is_unspecified
        or address.is_link_local
        or str(address) == "255.255.255.255"
    )


HostAddress = Annotated[str, AfterValidator(_host_address)]
RegistryEndpoint = Annotated[str, AfterValidator(_registry_endpoint)]
ClusterIp = Annotated[
    IPv4Address | IPv6Address | None,
    BeforeValidator(_cluster_ip),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]}),
]
