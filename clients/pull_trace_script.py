"""What a node remembers of an image: whether it holds it, and which endpoints failed lately."""

from clients.host_facts_script import START

# containerd logs "trying next host" with the error of each endpoint that it passes over; the
# kubelet shows only the error of the last one (facts/edge-hosts.md §1.2).
READ_PULL_TRACES = (
    START
    + r"""
endpoint=$1 crictl=$2 log=$3 unit=$4 image=$5
if [ -n "$endpoint" ]; then
  CONTAINER_RUNTIME_ENDPOINT=$endpoint
  export CONTAINER_RUNTIME_ENDPOINT
fi
if $crictl inspecti "$image" >/dev/null 2>&1; then say cached yes; else say cached no; fi
if [ -n "$log" ]; then
  lines=$(tail -n 4000 "$log" 2>/dev/null)
else
  lines=$(journalctl --no-pager -u "$unit" -n 4000 2>/dev/null)
fi
say log "$(printf '%s\n' "$lines" | grep 'trying next host' | tail -n 8 | base64 | tr -d '\n')"
"""
)
