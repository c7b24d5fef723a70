#!/bin/bash
# Turns this process into a host: systemd as PID 1 over an overlay of the machine's own root.
# host.sh NAME SEED: SEED is a folder that is laid over the root. Runs in the suite's own
# mount, network and PID namespaces, after `unshare --mount` (docs/reference/acceptance.md).
set -euo pipefail
name=$1 seed=$2
# A host needs a control group of its own, else two k3s.service share one and stop each other.
for tree in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup/memory; do
  [ -e "$tree/cgroup.procs" ] || continue
  group=$tree/acrfleet/$ACRFLEET_ACCEPTANCE_RUN/$name
  # Again when another run has just cleared the empty folder away.
  until mkdir -p "$group" && echo $$ > "$group/cgroup.procs"; do sleep 0.1; done
done
mount --make-rprivate /
mount -t tmpfs -o size=4g,mode=755 tmpfs /mnt
mkdir -p /mnt/upper /mnt/work /mnt/host /mnt/root /mnt/rancher /mnt/containerd
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/host
host=/mnt/host
units=$host/etc/systemd/system
# Services that are installed on the machine must not boot in every host.
rm -rf "$units"/*.wants "$host/etc/hostname" "$host/etc/machine-id" "$host"/etc/ssh/ssh_host_*
rm -rf "$host/etc/rancher" "$host/etc/kubernetes" "$host/etc/containerd" "$host/usr/local/bin/k3s" "$host/usr/sbin/policy-rc.d" "$host/etc/resolv.conf"
: > "$host/etc/machine-id"
mkdir -p "$units/multi-user.target.wants" "$host/etc/rancher" "$host/etc/kubernetes" "$host/etc/containerd" "$host/home/edge"
for unit in systemd-logind.service console-getty.service getty.target systemd-timesyncd.service \
  systemd-update-utmp.service systemd-update-utmp-runlevel.service apt-daily.timer \
  systemd-firstboot.service e2scrub_all.timer fstrim.timer dpkg-db-backup.timer; do
  ln -sf /dev/null "$units/$unit"
done
echo 'edge:x:1500:1500::/home/edge:/bin/bash' >> "$host/etc/passwd"
echo 'edge:*:19000:0:99999:7:::' >> "$host/etc/shadow"
echo 'edge:x:1500:' >> "$host/etc/group"
cp -a "$seed/." "$host/"
[ ! -d "$host/rancher" ] || mv "$host"/rancher/* /mnt/rancher/
cp -a "$seed/home/edge/." /mnt/root/
chown -R 1500:1500 "$host/home/edge"
hide=()
[ ! -d /work ] || hide+=(--tmpfs=/work)
# A reboot, or a power cut (Host.cut_power), ends systemd-nspawn; the files stay. 133: boot again.
status=133
while [ "$status" = 133 ] || rm "$seed/boot-again" 2>/dev/null; do
  status=0
  systemd-nspawn --quiet --directory="$host" --boot --register=no --keep-unit \
    --network-namespace-path="/run/netns/$name" --machine="$name" --hostname="$name" \
    --bind=/mnt/root:/root --bind=/mnt/rancher:/var/lib/rancher \
    --bind=/mnt/containerd:/var/lib/containerd "${hide[@]}" --resolv-conf=off \
    --timezone=off --link-journal=no --console=pipe --kill-signal=SIGRTMIN+4 || status=$?
done
exit "$status"
