"""The scripts that change a node: files all or none under a dead-man, and a restart.

What undoes an unproven change is in `clients.dead_man_scripts`. POSIX sh, coreutils or busybox.
"""

from clients.dead_man_scripts import (
    CHANGED,
    COMMON,
    FAILED,
    LOCK,
    NOT_A_FILE,
    PENDING,
    RESTORE_SH,
)
from clients.host_facts_script import START

DESCRIPTION = "acrfleet puts files back unless a change is confirmed"

# All input is read before the lock is taken: a controller that vanishes while it sends must not
# keep others, and the dead-man, waiting.
_READ = r"""
newline='
'
input=$(cat; printf '\n.')
"""

# Arguments: id, seconds, unit, restart (yes or no); then for each file path, sha256 before, sha256
# wanted, mode, backup (yes or no). Standard input: each file's content, a line of base64.
# The same id twice is the same change: a caller who did not hear the answer asks again.
_BEGIN = rf"""
id=$1 seconds=$2 unit=$3 restart=$4
shift 4
state=$root/deadman-$id armed= temp=
each() {{
  step=$1 number=0
  shift
  while [ "$#" -gt 0 ]; do
    number=$((number + 1)) path=$1 before=$2 wanted=$3 mode=$4 keep=$5
    temp="$path.acrfleet-new.$id"
    shift 5
    "$step"
  done
}}
undo() {{
  if [ -n "$armed" ]; then
    /bin/sh "$state/restore.sh" held >/dev/null 2>&1 </dev/null
  else
    disarm
    forget
  fi
}}
check() {{
  case $path in
    /*) ;;
    *) fail {NOT_A_FILE} "$path is not an absolute path" ;;
  esac
  now=$(sum_of "$path") || fail {FAILED} "$path cannot be read"
  [ "$now" != link ] || fail {NOT_A_FILE} "$path is a symbolic link to $(readlink "$path")"
  [ "$now" != other ] || fail {NOT_A_FILE} "$path is not a regular file"
  [ "$now" = "$before" ] || fail {CHANGED} "the sha256 of $path is $now"
}}
remember() {{
  if [ "$before" != absent ]; then
    cp -p "$path" "$state/$number.old" && [ "$(sum "$state/$number.old")" = "$before" ]
  fi &&
    echo "$before" > "$state/$number.before" && echo "$wanted" > "$state/$number.wanted" &&
    echo "$path" > "$state/$number.path" || fail {FAILED} "cannot keep a copy of $path in $state"
}}
make_state() {{
  [ -d "$root" ] || mkdir "$root" || fail {FAILED} "cannot make $root"
  mkdir "$state" || fail {FAILED} "cannot make $state"
  echo "$unit" > "$state/unit" && echo "$seconds" > "$state/seconds" &&
    {{ [ -z "$unit" ] || property ActiveEnterTimestampMonotonic; }} > "$state/entered" &&
    describe_unit > "$state/service" && cat > "$state/restore.sh" <<'END_OF_RESTORE' ||
{RESTORE_SH}END_OF_RESTORE
    fail {FAILED} "cannot write to $state"
  each remember "$@"
}}
"""

_ARM = rf"""
sleeper() {{
  setsid /bin/sh -c 'echo $$ > "$2/pid"; sleep "$1"
[ ! -f "$2/restore.sh" ] || exec /bin/sh "$2/restore.sh" fired' "acrfleet-deadman-$id" \
    "$seconds" "$state" </dev/null >/dev/null 2>&1 9<&- &
  tries=0
  until [ -s "$state/pid" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 50 ] || return 1
    sleep 0.1 2>/dev/null || sleep 1
  done
}}
outlive_a_reboot() {{
  [ -d "$units" ] && command -v systemctl >/dev/null || return 1
  name=acrfleet-deadman-$id wants=$units/timers.target.wants
  true > "$state/at_boot" || return 1
  [ -d "$wants" ] || {{ true > "$state/made_wants"; (umask 022; mkdir "$wants") || return 1; }}
  (
    umask 022
    cat > "$units/$name.service" <<END_OF_SERVICE && cat > "$units/$name.timer" <<END_OF_TIMER
[Unit]
Description={DESCRIPTION}
ConditionPathExists=$state/restore.sh

[Service]
ExecStart=/bin/sh $state/restore.sh fired
END_OF_SERVICE
[Unit]
Description={DESCRIPTION}

[Timer]
OnActiveSec=$seconds
AccuracySec=1s
RemainAfterElapse=no
END_OF_TIMER
  ) && ln -s "../$name.timer" "$wants/$name.timer" &&
    flush "$units/$name.service" "$units/$name.timer" "$units" "$wants"
}}
arm() {{
  if command -v systemd-run >/dev/null && systemd-run --quiet --unit="acrfleet-deadman-$id" \
    --description="{DESCRIPTION}" \
    --on-active="$seconds" --timer-property=AccuracySec=1s \
    /bin/sh -c "[ ! -f '$state/restore.sh' ] || exec /bin/sh '$state/restore.sh' fired"
  then
    echo systemd-run > "$state/armed_by" || fail {FAILED} "cannot write to $state"
  else
    command -v setsid >/dev/null || fail {FAILED} "neither systemd-run nor setsid works here"
    echo process > "$state/armed_by" && sleeper || fail {FAILED} "cannot start the dead-man"
  fi
  outlive_a_reboot 2>/dev/null || note "a reboot would end the dead-man: cannot write to $units"
  note "armed for $seconds s, while files are changed and proven"
  flush "$state"/* "$state"
  armed=yes
}}
"""

_WRITE = rf"""
make_folder() {{
  [ -z "$1" ] || [ -d "$1" ] || {{
    make_folder "${{1%/*}}" && echo "$1" >> "$state/folders" && (umask 022; mkdir "$1")
  }}
}}
like_the_old_one() {{
  chown "$(stat -c %u:%g "$path")" "$temp" || fail {FAILED} "cannot keep the owner of $path"
  chmod "$(stat -c %a "$path")" "$temp" || fail {FAILED} "cannot keep the mode of $path"
  if [ -e /sys/fs/selinux/enforce ] && command -v chcon >/dev/null; then
    chcon --reference="$path" "$temp" || fail {FAILED} "cannot keep the SELinux context of $path"
  fi
}}
back_up() {{
  backup="$path.acrfleet.$(date -u +%Y%m%dT%H%M%SZ)"
  [ ! -e "$backup" ] || backup="$backup-$$"
  echo "$backup" > "$state/$number.backup"
  cp "$path" "$backup" && chmod 600 "$backup" && flush "$backup" ||
    fail {FAILED} "cannot make a backup of $path"
}}
stage() {{
  content=${{input%%"$newline"*}} input=${{input#*"$newline"}}
  [ "$wanted" = absent ] || {{
    make_folder "${{path%/*}}" || fail {FAILED} "cannot make the folder of $path"
    rm -f "$path".acrfleet-new.*
    true > "$temp" || fail {FAILED} "cannot make a file beside $path"
    printf '%s' "$content" | base64 -d > "$temp"
    [ "$(sum "$temp")" = "$wanted" ] ||
      fail {FAILED} "the content of $path did not arrive whole, or there is no room for it"
    if [ "$before" = absent ]; then chmod "$mode" "$temp"; else like_the_old_one; fi ||
      fail {FAILED} "cannot set the mode of $path"
    flush "$temp"
  }}
  [ "$keep" = no ] || [ "$before" = absent ] || back_up
}}
replace() {{
  [ "$(sum_of "$path")" = "$before" ] || fail {CHANGED} "$path was changed just now"
  true > "$state/$number.replaced"
  if [ "$wanted" = absent ]; then rm "$path"; else mv -f -T "$temp" "$path"; fi ||
    fail {FAILED} "cannot replace $path"
  flush "${{path%/*}}"
  if [ "$before" = absent ] && [ -e /sys/fs/selinux/enforce ]; then
    restorecon "$path" 2>/dev/null
  fi
}}
read_back() {{
  [ "$(sum_of "$path")" = "$wanted" ] || fail {FAILED} "$path reads back differently"
}}
"""

_APPLY = rf"""
order() {{
  [ "$restart" = yes ] || return 0
  if [ -f "$state/ordered" ]; then
    [ "$(property ActiveState)" = active ] || return 0
    [ "$(property ActiveEnterTimestampMonotonic)" = "$(cat "$state/entered")" ] || return 0
  fi
  true > "$state/ordered"
  systemctl restart --no-block "$unit" 2> "$state/trouble" ||
    say trouble "$(tr '\n' ' ' < "$state/trouble")"
}}
for other in "$root"/deadman-*; do
  if [ -d "$other" ] && [ "$other" != "$state" ]; then
    fail {PENDING} "$other is the unfinished change of another run"
  fi
done
[ ! -d "$state" ] || [ -f "$state/done" ] || fail {PENDING} "$state was cut off half-way"
[ -f "$state/done" ] || {{
  each check "$@"
  trap undo EXIT
  trap 'exit {FAILED}' HUP INT TERM PIPE
  make_state "$@"
  arm
  each stage "$@"
  each replace "$@"
  each read_back "$@"
  true > "$state/done" || fail {FAILED} "cannot write to $state"
}}
trap '' HUP INT TERM PIPE
trap - EXIT
order
cat "$state/service"
for file in "$state"/*.backup; do [ ! -s "$file" ] || say backup "$(cat "$file")"; done
"""

APPLY = START + COMMON + _READ + LOCK + _BEGIN + _ARM + _WRITE + _APPLY

# Arguments: unit, and the ActiveEnterTimestampMonotonic that it had; a unit that has started since
# was restarted already. Without --no-block the command would wait for ever (TimeoutStartSec=0).
RESTART = (
    START
    + COMMON
    + r"""
unit=$1
if [ "$(property ActiveState)" = active ] &&
  [ "$(property ActiveEnterTimestampMonotonic)" != "$2" ]; then exit 0; fi
systemctl restart --no-block "$unit"
"""
)
