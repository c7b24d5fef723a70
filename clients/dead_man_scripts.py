"""The dead-man of a change: what puts files back on a node unless the change is confirmed.

It is a folder `/var/lib/acrfleet/deadman-ID`, root's alone, with the old files and the script
`restore.sh`, and a timer that runs it: a transient unit of systemd, or a process that sleeps where
there is no systemd-run. Neither outlives a reboot, so a timer of the same name lies in
/etc/systemd/system, which systemd first reads when the host boots. Confirming a change removes all
of it; else the script puts the files back when the time is over. It is also what a controller runs
to go back at once, so there is one way back (docs/decisions/0012-dead-man.md).

Every script here holds the lock on /var/lib while it works: a folder that is always there, so that
no lock file is left behind. POSIX sh with coreutils or busybox.
"""

from clients.host_facts_script import PROPERTIES, START

CHANGED, NOT_A_FILE, FAILED, LOCKED, UNDONE, PENDING = 70, 71, 72, 73, 74, 75

COMMON = rf"""
root=/var/lib/acrfleet units=/etc/systemd/system
fail() {{ status=$1; shift; echo "$*" >&2; exit "$status"; }}
note() {{ logger -t acrfleet -- "dead-man $id: $*" 2>/dev/null; }}
sum() {{ sha256sum < "$1" | cut -d ' ' -f 1; }}
sum_of() {{
  if [ -L "$1" ]; then echo link
  elif [ -f "$1" ]; then sum "$1"
  elif [ -e "$1" ]; then echo other
  else echo absent
  fi
}}
flush() {{ sync "$@" 2>/dev/null || sync; }}
property() {{ systemctl show -p "$1" "$unit" 2>/dev/null | sed -n "s/^$1=//p"; }}
describe_unit() {{
  [ -z "$unit" ] || TZ=UTC systemctl show -p {PROPERTIES} "$unit" | sed 's/^/service./'
}}
disarm() {{
  unit_of_timer=acrfleet-deadman-$id
  pid=$(cat "$state/pid" 2>/dev/null)
  [ -z "$pid" ] || case "$(cat "/proc/$pid/cmdline" 2>/dev/null | tr '\0' ' ')" in
    *"$unit_of_timer"*) kill -TERM "-$pid" 2>/dev/null ;;
  esac
  systemctl stop "$unit_of_timer.timer" 2>/dev/null
  systemctl reset-failed "$unit_of_timer.service" 2>/dev/null
  return 0
}}
forget() {{
  if [ -f "$state/at_boot" ]; then
    rm -f "$units/timers.target.wants/acrfleet-deadman-$id.timer"
    # Once read at a boot, the unit stays known for as long as timers.target is known to want it.
    fragment=$(systemctl show -p FragmentPath "acrfleet-deadman-$id.timer" 2>/dev/null)
    [ "$fragment" != "FragmentPath=$units/acrfleet-deadman-$id.timer" ] || systemctl daemon-reload
    rm -f "$units/acrfleet-deadman-$id.timer" "$units/acrfleet-deadman-$id.service"
    [ ! -f "$state/made_wants" ] || rmdir "$units/timers.target.wants" 2>/dev/null
  fi
  rm -rf "$state"
  rmdir "$root" 2>/dev/null
  return 0
}}
"""

LOCK = rf"""
command -v flock >/dev/null || fail {FAILED} "the program flock (util-linux) is missing"
exec 9< /var/lib || fail {FAILED} "cannot open /var/lib"
tries=0
until flock -n 9; do
  tries=$((tries + 1))
  [ "$tries" -lt 20 ] || fail {LOCKED} "another run changes files on this host"
  sleep 1
done
"""

# Written to the host as restore.sh. `fired`: started by the timer; `held`: the caller has the lock.
# What it does, it does to the end: a caller whose connection breaks must not stop it half-way.
RESTORE_SH = (
    r"""# acrfleet: puts files back as they were before a change that nobody confirmed.
set -u
umask 077
LC_ALL=C; export LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:$PATH:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
trap '' HUP INT TERM PIPE
mode=$1 state=${0%/restore.sh} id=${0%/restore.sh}; id=${id##*/deadman-}
"""
    + COMMON
    + r"""
tell() { note "$*"; [ "$mode" = fired ] || echo "note=$*"; }
put_back() {
  path=$(cat "$state/$1.path") before=$(cat "$state/$1.before") wanted=$(cat "$state/$1.wanted")
  temp="$path.acrfleet-new.$id" now=$(sum_of "$path")
  rm -f "$temp"
  if [ "$now" != "$before" ] && [ "$now" != "$wanted" ]; then
    tell "$path was changed by somebody else since; it stays as it is"
    [ -f "$state/$1.replaced" ] || [ ! -s "$state/$1.backup" ] || rm -f "$(cat "$state/$1.backup")"
    return 0
  fi
  if [ "$now" != "$before" ]; then
    touched=yes
    if [ "$before" = absent ]; then
      rm -f "$path" || return 1
      tell "removed $path, which was not there before"
    else
      cp -p "$state/$1.old" "$temp" && [ "$(sum "$temp")" = "$before" ] || return 1
      if [ -e /sys/fs/selinux/enforce ]; then chcon --reference="$path" "$temp" 2>/dev/null; fi
      mv -f -T "$temp" "$path" || return 1
      flush "${path%/*}"
      tell "put the old $path back"
    fi
  fi
  [ ! -s "$state/$1.backup" ] || rm -f "$(cat "$state/$1.backup")"
}
put_all_back() {
  number=1
  while [ -f "$state/$number.path" ]; do number=$((number + 1)); done
  while [ "$number" -gt 1 ]; do
    number=$((number - 1))
    put_back "$number" || { failed=yes; tell "could not put $path back; see $state/$number.old"; }
  done
  [ ! -f "$state/folders" ] || sort -r "$state/folders" | while IFS= read -r folder; do
    rmdir "$folder" 2>/dev/null
  done
}
must_restart() {
  [ -n "$unit" ] || return 1
  [ ! -f "$state/ordered" ] || return 0
  [ "$touched" = yes ] || return 1
  [ "$(property ActiveState)" != active ] ||
    [ "$(property ActiveEnterTimestampMonotonic)" != "$(cat "$state/entered")" ]
}
if [ "$mode" = fired ]; then
  exec 9< /var/lib && flock 9
  [ -d "$state" ] || exit 0
  true > "$state/fired"
  note "nobody confirmed the change within $(cat "$state/seconds") s; going back"
fi
touched= failed= restarted= unit=$(cat "$state/unit")
put_all_back
[ "$mode" = fired ] || { [ -z "$unit" ] || echo "service.Id=$unit"; describe_unit; }
if must_restart; then
  systemctl reset-failed "$unit" 2>/dev/null
  if systemctl restart --no-block "$unit"; then
    tell "told $unit to restart"
    restarted=yes
  else
    failed=yes
    tell "could not restart $unit"
  fi
fi
[ "$mode" = fired ] || disarm
[ "$mode" = fired ] || echo "restarted=$restarted"
if [ -n "$failed" ]; then
  note "not everything could be undone; what is left to do is in $state"
  exit 1
fi
forget
exit 0
"""
)

# Arguments: id, then path and sha256 wanted of each file. The newest five backups of each stay.
# A folder that is gone and a file that is as we wrote it: an earlier answer was lost on its way.
CONFIRM = (
    START
    + COMMON
    + LOCK
    + rf"""
id=$1 state=$root/deadman-$1
shift
[ ! -f "$state/fired" ] || fail {UNDONE} "the old files are back, or should be: see $state"
if [ ! -d "$state" ]; then
  while [ "$#" -gt 0 ]; do
    [ "$(sum_of "$1")" != "$2" ] || exit 0
    shift 2
  done
  fail {UNDONE} "the old files are back"
fi
trap '' HUP INT TERM PIPE
disarm
note "confirmed: the change was proven"
while [ "$#" -gt 0 ]; do
  ls -1d "$1".acrfleet.* 2>/dev/null | sort -r | tail -n +6 | while IFS= read -r old; do
    rm -f "$old"
  done
  # containerd takes a folder without hosts.toml for an answer, and asks no `_default` any more.
  case $2:$1 in absent:*/certs.d/*/hosts.toml) rmdir "${{1%/*}}" 2>/dev/null || true ;; esac
  shift 2
done
forget
"""
)

# Argument: id. Before `armed_by` is there nothing was changed, and restore.sh may be cut off.
RESTORE = (
    START
    + COMMON
    + LOCK
    + r"""
id=$1 state=$root/deadman-$1
if [ ! -d "$state" ]; then
  echo gone=yes
elif [ -f "$state/armed_by" ]; then
  exec /bin/sh "$state/restore.sh" held
else
  disarm
  forget
fi
"""
)
