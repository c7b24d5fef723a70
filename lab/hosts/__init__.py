"""Edge hosts: SSH servers with real shells on real folders, and K3s as its operators know it."""

from lab.hosts.host import HostLab

__all__ = ["HostLab"]
