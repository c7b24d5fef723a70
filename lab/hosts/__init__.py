"""Edge hosts: SSH servers with real shells on real folders, and K3s, RKE2 or plain containerd.

`HostLab` is one host. Its commands run in `lab.hosts.launcher`, each inside the host's own root
folder; programs that a laptop does not have (`sudo`, `systemctl`, `systemd-run`, `journalctl`,
`logger`, `k3s`, `rke2`, `crictl`, `ctr`) are stand-ins that ask the lab for their answers.

Operations for faults of the part `hosts`, by who documents their kinds:
    connect, auth, exec COMMAND, forward HOST:PORT    lab.hosts.ssh_server
    k3s start, rke2 start, containerd start           lab.hosts.node_service
    pull IMAGE                                        lab.hosts.crictl
"""

from lab.hosts.host import HostLab

__all__ = ["HostLab"]
