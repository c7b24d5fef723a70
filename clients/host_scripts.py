"""The shell scripts that run on a K3s node: POSIX sh, coreutils or busybox, values as arguments.

Each script first says `STARTED`, so that noise of login shells before it is skipped, and a missing
line means that the script never ran. Refusals to write have exit codes of their own.
"""

STARTED = "acrfleet:started"

CHANGED, NOT_A_FILE, FAILED, LOCKED, DAMAGED, UNSURE = 70, 71, 72, 73, 74, 75

_START = rf"""
set -u
umask 077
LC_ALL=C; export LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:$PATH:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
echo {STARTED}
say() {{ printf '%s=%s\n' "$1" "$2"; }}
"""

# Reads one K3s option: the unit's command line wins over config.yaml, and later drop-ins over
# earlier ones. Only this option leaves the host, since the same places hold the cluster's token.
_SETTING = r"""
setting() {
  {
    for file in /etc/rancher/k3s/config.yaml /etc/rancher/k3s/config.yaml.d/*.yaml; do
      [ -f "$file" ] && sed -n "s/^[\"']\{0,1\}$1[\"']\{0,1\}[[:space:]]*:[[:space:]]*//p" "$file"
    done
    for unit in k3s k3s-agent; do
      systemctl show -p ExecStart "$unit" 2>/dev/null | sed -n "s/.*--$1[= ]\([^ ;]*\).*/\1/p"
    done
  } | sed "s/[[:space:]]#.*//; s/[[:space:]]*$//; s/^[\"']//; s/[\"']$//" | tail -n 1
}
"""

_DESCRIBE = r"""
describe() {
  say file.path "$1"
  if [ -L "$1" ]; then say file.kind link
  elif [ -f "$1" ]; then
    say file.kind file
    say file.mtime "$(stat -c %Y "$1")"
    say file.text "$(base64 < "$1" | tr -d '\n')"
  elif [ -e "$1" ]; then say file.kind other
  else say file.kind absent
  fi
  say file.backup "$(ls -1d "$1".acrfleet.* 2>/dev/null | sort | tail -n 1)"
}
"""

_PROPERTIES = (
    "LoadState,ActiveState,SubState,Result,UnitFileState,NRestarts,ExecMainStartTimestamp,"
    "ActiveEnterTimestamp,ActiveEnterTimestampMonotonic"
)

READ_SERVICE = (
    _START
    + rf"""
TZ=UTC systemctl show -p {_PROPERTIES} "$1" || exit {FAILED}
"""
)

READ_FILE = _START + _DESCRIBE + 'describe "$1"\n'

READ_FACTS = (
    _START
    + _SETTING
    + _DESCRIBE
    + rf"""
say user "$(id -un)"
say now "$(date +%s)"
say arch "$(uname -m)"
say os "$(. /etc/os-release 2>/dev/null; echo "${{PRETTY_NAME-}}")"
say version "$(k3s --version 2>/dev/null | head -n 1)"
say systemd "$(command -v systemctl)"
for unit in k3s k3s-agent; do
  TZ=UTC systemctl show -p {_PROPERTIES} "$unit" 2>/dev/null | sed "s/^/$unit./"
done
data=$(setting data-dir); data=${{data:-/var/lib/rancher/k3s}}
say data_dir "$data"
set -- $(df -Pk "$data" 2>/dev/null | tail -n 1)
say free_kb "${{4-}}"
for template in "$data"/agent/etc/containerd/config*.toml.tmpl; do
  [ -f "$template" ] && say template "$template"
done
registries=$(setting private-registry)
describe "${{registries:-/etc/rancher/k3s/registries.yaml}}"
"""
)

# Everything that writes takes the lock on the folder, so that no lock file is left behind.
_LOCK = rf"""
path=$1 expected=$2
folder=${{path%/*}} temp= backup= written=
fail() {{ status=$1; shift; echo "$*" >&2; exit "$status"; }}
clean() {{
  [ -z "$temp" ] || rm -f "$temp"
  [ -n "$written" ] || [ -z "$backup" ] || rm -f "$backup"
}}
trap clean EXIT
trap 'exit {FAILED}' HUP INT TERM PIPE
sum() {{ sha256sum < "$1" | cut -d ' ' -f 1; }}
command -v flock >/dev/null || fail {FAILED} "the program flock (util-linux) is missing"
[ -d "$folder" ] || (umask 022; mkdir -p "$folder") || fail {FAILED} "cannot make $folder"
exec 9< "$folder" || fail {FAILED} "cannot open $folder"
tries=0
until flock -n 9; do
  tries=$((tries + 1))
  [ "$tries" -lt 20 ] || fail {LOCKED} "another program holds the lock on $folder"
  sleep 1
done
[ ! -L "$path" ] || fail {NOT_A_FILE} "it is a symbolic link to $(readlink "$path")"
[ ! -e "$path" ] || [ -f "$path" ] || fail {NOT_A_FILE} "it is not a regular file"
current=absent
[ ! -f "$path" ] || current=$(sum "$path") || fail {FAILED} "cannot read $path"
[ "$current" = "$expected" ] || fail {CHANGED} "its sha256 is $current"
flush() {{ sync "$1" 2>/dev/null || sync; }}
keep() {{
  backup="$path.acrfleet.$(date -u +%Y%m%dT%H%M%SZ)"
  [ ! -e "$backup" ] || backup="$backup-$$"
  cp "$path" "$backup" && chmod 600 "$backup" && flush "$backup"
}}
prune() {{
  ls -1d "$path".acrfleet.* 2>/dev/null | sort -r | tail -n +6 | while IFS= read -r old; do
    rm -f "$old"
  done
}}
"""

WRITE_FILE = (
    _START
    + _LOCK
    + rf"""
wanted=$3
rm -f "$path".acrfleet-new.*
temp=$(mktemp "$path.acrfleet-new.XXXXXX") || fail {FAILED} "cannot make a file in $folder"
cat > "$temp" || fail {FAILED} "cannot write $temp"
[ "$(sum "$temp")" = "$wanted" ] || fail {DAMAGED} "the content did not arrive whole"
if [ -f "$path" ]; then
  chown "$(stat -c %u:%g "$path")" "$temp" || fail {FAILED} "cannot keep the owner"
  chmod "$(stat -c %a "$path")" "$temp" || fail {FAILED} "cannot keep the mode"
  if [ -e /sys/fs/selinux/enforce ] && command -v chcon >/dev/null; then
    chcon --reference="$path" "$temp" || fail {FAILED} "cannot keep the SELinux context"
  fi
  keep || fail {FAILED} "cannot make a backup"
else
  chmod 600 "$temp" || fail {FAILED} "cannot set the mode"
fi
flush "$temp"
mv -f -T "$temp" "$path" || fail {FAILED} "cannot replace the file"
written=yes
flush "$folder"
if [ "$current" = absent ] && [ -e /sys/fs/selinux/enforce ]; then
  restorecon "$path" 2>/dev/null
fi
[ "$(sum "$path")" = "$wanted" ] || fail {UNSURE} "the file reads back differently"
prune
say backup "$backup"
"""
)

REMOVE_FILE = (
    _START
    + _LOCK
    + rf"""
keep || fail {FAILED} "cannot make a backup"
rm "$path" || fail {FAILED} "cannot remove the file"
written=yes
flush "$folder"
prune
say backup "$backup"
"""
)

# Without --no-block the command would wait for ever: K3s's unit has TimeoutStartSec=0.
RESTART = _START + 'systemctl restart --no-block "$1"\n'

READ_JOURNAL = _START + 'journalctl --no-pager -u "$1" -n "$2"\n'

READ_KUBECONFIG = (
    _START
    + _SETTING
    + r"""
file=$(setting write-kubeconfig)
exec cat "${file:-/etc/rancher/k3s/k3s.yaml}"
"""
)

# crictl takes credentials from the environment; as an argument every user of the host sees them.
PULL_IMAGE = (
    _START
    + r"""
IFS= read -r CRICTL_AUTH; export CRICTL_AUTH
exec k3s crictl pull "$1"
"""
)

# Becomes root by sudo unless the user is root already. It runs under /bin/sh whatever the login
# shell is.
BECOME_ROOT = '[ "$(id -u)" = 0 ] || set -- sudo -n "$@"; exec "$@"'
