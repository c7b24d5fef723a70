"""The small scripts that run on a node: POSIX sh, coreutils or busybox, values as arguments.

Each script first says `STARTED`, so that noise of login shells before it is skipped, and a missing
line means that the script never ran. What changes files is in `clients.change_scripts`.
"""

from clients.host_facts_script import DESCRIBE, PROPERTIES, SETTING, START, STARTED

__all__ = [
    "BECOME_ROOT",
    "PULL_IMAGES",
    "READ_FILE",
    "READ_JOURNAL",
    "READ_KUBECONFIG",
    "READ_PULLS",
    "READ_SERVICE",
    "STARTED",
]

READ_SERVICE = (
    START
    + rf"""
TZ=UTC systemctl show -p {PROPERTIES} "$1"
"""
)

READ_FILE = START + DESCRIBE + 'describe file "$1"\n'

READ_JOURNAL = START + 'journalctl --no-pager -u "$1" -n "$2"\n'

READ_KUBECONFIG = (
    START
    + SETTING
    + r"""
config_dir=$1 own_units=$2 kubeconfig=$3
ask_units
if [ "$config_dir" = /etc/containerd ]; then found=; else found=$(setting write-kubeconfig); fi
exec cat "${found:-$kubeconfig}"
"""
)

# What is being downloaded, and what interrupted downloads left behind, with how much is there.
READ_PULLS = (
    START
    + r"""
PATH=$PATH:/opt/rke2/bin
active=$(timeout 10 $1 content active 2>/dev/null) || exit 0
say known yes
printf '%s\n' "$active" | sed 1d | awk 'NF {
  size = $2; if ($3 ~ /^[kKMGT]?i?B$/) size = size $3; print "part=" $1 " " size
}'
"""
)

# crictl takes credentials from the environment; as an argument every user of the host sees them.
# The first pull that fails ends it.
PULL_IMAGES = (
    START
    + r"""
endpoint=$1 crictl=$2
shift 2
IFS= read -r CRICTL_AUTH; export CRICTL_AUTH
if [ -n "$endpoint" ]; then
  CONTAINER_RUNTIME_ENDPOINT=$endpoint
  export CONTAINER_RUNTIME_ENDPOINT
fi
for image in "$@"; do
  began=$(date +%s.%N)
  words=$($crictl pull "$image" 2>&1)
  status=$?
  words=$(printf '%s\n' "$words" | tail -n 10 | base64 | tr -d '\n')
  say pull "$status $began $(date +%s.%N) $words"
  [ "$status" = 0 ] || break
done
"""
)

# Becomes root by sudo unless the user is root already. It runs under /bin/sh whatever the login
# shell is.
BECOME_ROOT = '[ "$(id -u)" = 0 ] || set -- sudo -n "$@"; exec "$@"'
