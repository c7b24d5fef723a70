"""The script that looks at a node: one command, one round trip, nothing is changed.

POSIX sh with coreutils or busybox. It says `key=value` lines; `fleet.node_facts` reads them. Of a
host's secrets only the registries file and the administrator's kubeconfig leave it, both in base64;
of K3s' own configuration, where the cluster's token is, only the options that are asked for do.
"""

from fleet.distributions import UNITS, Distribution

STARTED = "acrfleet:started"

START = rf"""
set -u
umask 077
LC_ALL=C; export LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:$PATH:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
echo {STARTED}
say() {{ printf '%s=%s\n' "$1" "$2"; }}
"""

PROPERTIES = (
    "LoadState,ActiveState,SubState,Result,UnitFileState,NRestarts,ExecMainStartTimestamp,"
    "ActiveEnterTimestamp,ActiveEnterTimestampMonotonic"
)

# `setting NAME` reads one option: the unit's command line wins over config.yaml, and later drop-ins
# over earlier ones. `switch NAME` is the same for a flag, which may stand without a value. Both
# want `ask_units` first, which asks systemd once: a call of its own for each option takes longer
# than all the rest.
SETTING = r"""
configured() {
  for file in "$config_dir"/config.yaml "$config_dir"/config.yaml.d/*.yaml; do
    [ -f "$file" ] && sed -n "s/^[\"']\{0,1\}$1[\"']\{0,1\}[[:space:]]*:[[:space:]]*//p" "$file"
  done
}
ask_units() {
  started_by=$(for unit in $own_units; do systemctl show -p ExecStart "$unit" 2>/dev/null; done)
}
commands() { printf '%s\n' "$started_by"; }
bare() { sed "s/[[:space:]]#.*//; s/[[:space:]]*$//; s/^[\"']//; s/[\"']$//" | tail -n 1; }
setting() {
  { configured "$1"; commands | sed -n "s/.* --$1[= ]\([^ ;]*\).*/\1/p"; } | bare
}
switch() {
  {
    configured "$1"
    commands | sed -n -e "s/.* --$1=\([^ ;]*\).*/\1/p" -e "s/.* --$1 .*/true/p"
  } | bare
}
"""

# `describe PREFIX PATH` says everything of one file.
DESCRIBE = r"""
describe() {
  say "$1.path" "$2"
  if [ -L "$2" ]; then say "$1.kind" link
  elif [ -f "$2" ]; then
    say "$1.kind" file
    say "$1.mtime" "$(stat -c %Y "$2")"
    say "$1.text" "$(base64 < "$2" | tr -d '\n')"
  elif [ -e "$2" ]; then say "$1.kind" other
  else say "$1.kind" absent
  fi
  say "$1.backup" "$(ls -1d "$2".acrfleet.* 2>/dev/null | sort | tail -n 1)"
}
"""

_ARGUMENTS = r"""
login_server=$1 endpoint_host=$2 name=$3 own_units=$4 config_dir=$5 default_data=$6
default_registries=$7 config_toml=$8 certs_d=$9
shift 9
ca_file=$1 default_kubeconfig=$2 ctr=$3
PATH=$PATH:/opt/rke2/bin
ask_units
ask() {
  answer=$(timeout 15 "$@" 2>/dev/null)
  case $? in 124 | 143) say slow "$*" ;; esac
}
say_version() {
  key=$1
  shift
  ask "$@"
  say "$key" "$(printf '%s\n' "$answer" | head -n 1)"
}
below() { case $1 in /*) echo "$1" ;; *) echo "$data/$1" ;; esac; }
"""

_MACHINE = rf"""
say user "$(id -un)"
say now "$(date +%s)"
say arch "$(uname -m)"
say os "$(. /etc/os-release 2>/dev/null; echo "${{PRETTY_NAME-}}")"
say systemd "$(command -v systemctl)"
say openrc "$(command -v rc-service)"
say systemd_run "$(command -v systemd-run)"
say crictl "$(command -v crictl)"
say selinux "$(cat /sys/fs/selinux/enforce 2>/dev/null)"
for program in k3s rke2 containerd; do
  command -v "$program" >/dev/null && say_version "version.$program" "$program" --version
done
command -v k0s >/dev/null && say_version version.k0s k0s version
for unit in {" ".join(UNITS)}; do
  TZ=UTC systemctl show -p {PROPERTIES} "$unit" 2>/dev/null | sed "s/^/$unit./"
done
"""

_SETTINGS = r"""
data=$default_data
if [ "$name" != containerd ]; then
  found=$(setting data-dir); data=${found:-$data}
  for option in private-registry bind-address https-listen-port snapshotter; do
    say "setting.$option" "$(setting "$option")"
  done
  for option in embedded-registry disable-default-registry-endpoint disable-helm-controller \
    disable-kube-proxy; do
    say "setting.$option" "$(switch "$option")"
  done
  say setting.disable "$(
    {
      configured disable
      for file in "$config_dir"/config.yaml "$config_dir"/config.yaml.d/*.yaml; do
        [ -f "$file" ] || continue
        awk '/^disable:/ {on = 1; next} /^[^ -]/ {on = 0} on && /^ *- / {print $2}' "$file"
      done
      commands | tr ' ' '\n' | sed -n 's/^--disable=//p'
      commands | sed 's/ --disable /\n--disable /g' | sed -n 's/^--disable \([^ ;]*\).*/\1/p'
    } | tr '\n' ' '
  )"
fi
say data_dir "$data"
case $data in /*) place=$data ;; *) place=/ ;; esac
until [ -e "$place" ]; do place=${place%/*}; [ -n "$place" ] || place=/; done
set -- $(df -Pk "$place" 2>/dev/null | tail -n 1); say free_kb "${4-}"
set -- $(df -Pi "$place" 2>/dev/null | tail -n 1); say free_inodes "${4-}"
"""

# The table that the CRI plugin reads has one name in containerd 1 and another in 2, and other
# plugins have a config_path too. `containerd config dump` follows imports and knows defaults.
_CONTAINERD = r"""
config=$(below "$config_toml")
answer=
[ "$name" != containerd ] || ask containerd config dump
dump=$answer
[ -z "$dump" ] || say config_dump yes
rendered() { if [ -n "$dump" ]; then printf '%s\n' "$dump"; else cat "$config" 2>/dev/null; fi; }
config_path=$(rendered | awk -v quote="'" '
  /^[ \t]*\[/ { table = $0; gsub(/[ \t"]/, "", table); gsub(quote, "", table) }
  table ~ /^\[plugins\.io\.containerd\.(grpc\.v1\.cri|cri\.v1\.images)\.registry\]/ &&
  /^[ \t]*config_path[ \t]*=/ {
    sub(/^[^=]*=[ \t]*/, ""); gsub(/"/, ""); gsub(quote, ""); sub(/[ \t]+(#.*)?$/, ""); print
  }' | tail -n 1)
say config_path "$config_path"
say config_toml "$config"
say config_version "$(
  rendered | sed -n 's/^version[[:space:]]*=[[:space:]]*\([0-9]*\).*/\1/p' | head -n 1
)"
[ -f "$config" ] && say config_mtime "$(stat -c %Y "$config")"
login="registry\.configs\.[\"']\(.*\)[\"']\.auth\]"
rendered | sed -n "s/^[[:space:]]*\[plugins\..*\.$login.*/auth_host=\1/p"
for template in "${config%/*}"/config*.toml.tmpl; do
  [ -f "$template" ] && say template "$template"
done
for program in "$data"/data/current/bin/containerd "$data"/bin/containerd; do
  [ -x "$program" ] && say_version containerd "$program" --version
done
active=$(timeout 5 $ctr content active 2>/dev/null) &&
  say pulls "$(printf '%s\n' "$active" | sed 1d | grep -c .)"
"""

_FILES = r"""
mode() { [ -e "$1" ] && say mode "$(stat -c '%a %U:%G' "$1") $1"; }
if [ -n "$default_registries" ]; then
  found=$(setting private-registry); registries=${found:-$default_registries}
  describe file "$registries"
  mode "$registries"
fi
describe ca "$ca_file"
certs=${config_path%%:*}
[ -n "$certs" ] || certs=$(below "$certs_d")
say certs_d "$certs"
# Not told yet: the endpoint that an earlier run wrote comes first in its hosts.toml.
if [ -n "$login_server" ] && [ -z "$endpoint_host" ]; then
  endpoint_host=$(sed -n 's|^ *\[host\."[a-z]*://\([^"/]*\).*|\1|p' \
    "$certs/$login_server/hosts.toml" 2>/dev/null | head -n 1)
fi
number=0
for host in "$login_server" "$endpoint_host"; do
  [ -n "$host" ] || continue
  old=$host
  case $host in *:*) old=${host%:*}_${host##*:}_ ;; esac
  for folder in "$host" "$old"; do
    [ "$number" = 0 ] || [ "$folder" != "$last" ] || continue
    last=$folder number=$((number + 1))
    say "hosts.$number.folder" "$folder"
    describe "hosts.$number" "$certs/$folder/hosts.toml"
    mode "$certs/$folder/hosts.toml"
  done
done
for folder in "$certs"/*/; do
  [ -d "$folder" ] || continue
  folder=${folder%/}
  header=
  [ -f "$folder/hosts.toml" ] && header=$(head -n 1 "$folder/hosts.toml" | cut -c 1-80)
  case $header in '#'* | '') ;; *) header=other ;; esac
  say certs "$header|${folder##*/}"
done
mode "$config"
"""

_REST = r"""
for folder in /var/lib/acrfleet/deadman-*/; do
  [ -d "$folder" ] || continue
  folder=${folder%/}; id=${folder##*/deadman-}
  say deadman "$id"
  say "deadman.$id.armed_by" "$(head -n 1 "$folder/armed_by" 2>/dev/null)"
  say "deadman.$id.armed_at" "$(stat -c %Y "$folder/restore.sh" 2>/dev/null)"
  [ -f "$folder/fired" ] && say "deadman.$id.fired_at" "$(stat -c %Y "$folder/fired")"
done
{
  for unit in $own_units; do
    cat "/etc/systemd/system/$unit.service.env" "/etc/default/$unit" "/etc/sysconfig/$unit" \
      2>/dev/null
    systemctl show -p Environment "$unit" 2>/dev/null | sed 's/^Environment=//' | tr ' ' '\n'
  done
} | sed "s/[\"']//g" | grep -E '^(CONTAINERD_)?(HTTPS?|NO)_PROXY=' |
  sed -e 's#//.*@#//...@#' -e '/\/\//!s#=.*@#=...@#' -e 's/^/proxy./'
if [ "$name" = containerd ]; then found=; else found=$(setting write-kubeconfig); fi
kubeconfig=${found:-$default_kubeconfig}
[ -f "$kubeconfig" ] && say kubeconfig "$(base64 < "$kubeconfig" | tr -d '\n')"
mode "$kubeconfig"
exit 0
"""

READ_FACTS = (
    START + SETTING + DESCRIBE + _ARGUMENTS + _MACHINE + _SETTINGS + _CONTAINERD + _FILES + _REST
)


def facts_arguments(
    distribution: Distribution, login_server: str = "", endpoint_host: str = ""
) -> tuple[str, ...]:
    """Return the arguments of `READ_FACTS`.

    Args:
        distribution: The one that the fleet file names; its places are looked at.
        login_server: The cloud registry's name; empty: not known yet.
        endpoint_host: `address:port` of the site's registry; empty: not known yet, so the one
            that an earlier run wrote is looked at.
    """
    return (
        login_server,
        endpoint_host,
        distribution.name,
        " ".join(dict.fromkeys(distribution.units.values())),
        distribution.config_dir,
        distribution.data_dir,
        distribution.registries or "",
        distribution.config_toml,
        distribution.certs_d,
        distribution.ca_file(login_server),
        distribution.kubeconfig,
        " ".join(distribution.ctr),
    )
