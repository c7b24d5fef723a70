"""Cluster addresses and node ports of Services."""

import ipaddress
import random
from collections.abc import Iterable

from lab.cluster.errors import FieldError, invalid
from lab.cluster.kinds import Kind, Object


class ServiceAddresses:
    """Hands out cluster IPs from one range, and node ports."""

    def __init__(self, cidr: str) -> None:
        """Serve addresses from `cidr`."""
        self.network = ipaddress.ip_network(cidr)
        self._next_port = 30000

    def assign(self, kind: Kind, service: Object, others: Iterable[Object]) -> None:
        """Give a Service its cluster IP and node ports, in place.

        Raises:
            ApiError: 422 when it asks for an address outside the range or one that is taken.
        """
        spec = service["spec"]
        if spec["type"] == "ExternalName":
            return
        used = {other["spec"].get("clusterIP") for other in others}
        wanted = spec.get("clusterIP")
        if wanted and wanted != "None":
            self._check(kind, service["metadata"]["name"], wanted, used)
        elif not wanted:
            spec["clusterIP"] = self._free(used)
        spec["clusterIPs"] = [spec["clusterIP"]]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        if spec["type"] in {"NodePort", "LoadBalancer"}:
            for port in spec["ports"]:
                port.setdefault("nodePort", self._take_port())

    def _check(self, kind: Kind, name: str, wanted: str, used: set[str | None]) -> None:
        value = f'[]string{{"{wanted}"}}'
        try:
            inside = ipaddress.ip_address(wanted) in self.network
        except ValueError:
            text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            error = FieldError("spec.clusterIPs[0]", text, f'"{wanted}"')
            raise invalid(kind, name, [error]) from None
        if not inside:
            text = (
                f"failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid "
                f"range. The range of valid IPs is {self.network}"
            )
            raise invalid(kind, name, [FieldError("spec.clusterIPs", text, value)])
        if wanted in used:
            text = f"failed to allocate IP {wanted}: provided IP is already allocated"
            raise invalid(kind, name, [FieldError("spec.clusterIPs", text, value)])

    def _free(self, used: set[str | None]) -> str:
        while True:
            place = random.randrange(16, self.network.num_addresses - 1)
            address = str(self.network[place])
            if address not in used:
                return address

    def _take_port(self) -> int:
        self._next_port += 1
        return self._next_port
