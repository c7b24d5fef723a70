"""What a dead-man shows and leaves on a real host."""

from tests.acceptance.host import Host

_UNITS = "systemctl list-units --all --plain --no-legend 'acrfleet-*'"
_FILES = "find /etc/rancher /etc/containerd /var/lib/rancher/*/agent/etc /var/lib/acrfleet"


def is_armed(host: Host) -> bool:
    """Return whether an armed dead-man is on the host and its change is complete."""
    return host.attempt("ls /var/lib/acrfleet/deadman-*/done").returncode == 0


def timers(host: Host) -> list[str]:
    """Return the dead-men that systemd holds."""
    return [line.split()[0] for line in host.root(_UNITS).splitlines() if ".timer" in line]


def sleepers(host: Host) -> list[str]:
    """Return the processes that wait to undo a change."""
    return host.root("pgrep -af '[a]crfleet-deadman' || true").splitlines()


def leftovers(host: Host) -> list[str]:
    """Return units, processes, folders and half-written files of ours; none is good."""
    found = host.root(f"{_FILES} 2>/dev/null || true").splitlines()
    files = [path for path in found if "acrfleet-new" in path or "/acrfleet/deadman-" in path]
    files += host.root("find /etc/systemd/system -name '*acrfleet*'").splitlines()
    return [*host.root(_UNITS).splitlines(), *sleepers(host), *files]


def told(host: Host) -> str:
    """Return what the dead-men said to the journal."""
    return host.root("journalctl --no-pager -q -o cat -t acrfleet || true")
