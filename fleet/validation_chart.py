"""Which chart values the fleet file's `extra_values` may not hold, because fields of ours set them.

Value names are from the facts (connected-registry.md section 5.2).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fleet.validation import broken_rule

_FIELD_OF_VALUE = {
    "connectionString": "acrfleet makes it itself",
    "httpEnabled": "use chart.http_enabled",
    "sync.chunkSizeInMb": "use chart.chunk_size_mb",
    "pvc.storageClassName": "use chart.storage.class_name",
    "pvc.storageRequest": "use chart.storage.size",
    "service.type": "use chart.service.type",
    "service.clusterIP": "use chart.service.cluster_ip",
    "trustDistribution.enabled": "acrfleet configures the nodes itself",
    "tls.secret": "use chart.tls.secret",
    "tls.crt": "put it into a Secret, see chart.tls.secret",
    "tls.cacrt": "use chart.tls.ca_file",
}
_FIELD_OF_VALUE_WITH_HTTP = {
    "cert-manager.enabled": "off because of chart.http_enabled",
    "cert-manager.install": "off because of chart.http_enabled",
}
_FIELD_OF_VALUE_WITH_HTTPS = {
    "cert-manager.enabled": "use chart.tls.cert_manager",
    "cert-manager.install": "use chart.tls.cert_manager",
}


def refuse_typed_values(values: dict[str, Any], *, http: bool) -> dict[str, Any]:
    """Return the values, or refuse them when they set what a field of the fleet file sets.

    Names with dots, as `helm --set` has them, are refused in both spellings.
    """
    ours = _FIELD_OF_VALUE | (_FIELD_OF_VALUE_WITH_HTTP if http else _FIELD_OF_VALUE_WITH_HTTPS)
    clashes = [name for name in _names(values) if name in ours]
    if clashes:
        listed = ", ".join(f"{name} ({ours[name]})" for name in clashes)
        raise broken_rule(f"not allowed here: {listed}; remove it from extra_values")
    return values


def _names(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        yield name
        if isinstance(value, Mapping):
            yield from _names(value, f"{name}.")
