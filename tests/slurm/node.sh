#!/usr/bin/env bash
# One node of the test cluster that cluster.sh started.
#
#   node.sh up n1        starts it
#   node.sh crash n1     it loses power: every process on it is gone at once
#   node.sh lose n1      only its slurmd is killed: jobs go on unheard, as when the network is cut
#   node.sh find n1      starts a slurmd again beside the jobs that are still there
#   node.sh hang n1      its shared folder does not answer, as a hard NFS mount without its server
#   node.sh thaw n1      the shared folder answers again
#   node.sh exec n1 ...  runs a command on it, as root
#
# SLURM_TEST_FS says how a node sees the shared folder:
#   plain    the folder itself; cannot hang
#   locks    by FUSE; names are looked up each time and flock is shared between nodes, as NFS 4
#   stale    the same, but a node remembers for 20 s what it knows of a name, and that there is
#            none: NFS's attribute cache
#   nolocks  by FUSE; flock holds within a node only: Lustre with `localflock`
# By FUSE every lock that fcntl asks for is granted on every node.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,19p' "$0" >&2; exit 2; }
what=$1 node=$2
shift 2
dir=${SLURM_TEST_DIR:-/srv/slurm-test}
. "$dir/conf/settings"
export SLURM_CONF=$dir/conf/slurm.conf

has_namespaces() { [ ! -e "$dir/run/$node.plain" ]; }

# The node's first process, by its number outside the node.
first() { cat "$dir/run/$node.pid"; }

inside() {
    if has_namespaces; then
        nsenter --target "$(first)" --mount --uts --pid "$@"
    else
        "$@"
    fi
}

# Its slurmd, by its number outside the node.
slurmd_of() {
    if has_namespaces; then pgrep --ns "$(first)" --nslist pid -x slurmd; else first; fi
}

up() {
    mkdir -p "$dir/spool-$node"
    rm -f "$dir/run/$node.plain"
    if [ "$SLURM_TEST_NAMESPACES" = no ] ||
        ! unshare --mount --uts --pid --fork true 2>/dev/null; then
        touch "$dir/run/$node.plain"
        find_again
        return
    fi
    view=
    [ "$SLURM_TEST_FS" = plain ] || mount_view
    export dir node view
    # Bash would wait for slurmd alone; the loop also reaps what jobs leave behind.
    setsid unshare --mount --uts --pid --fork --kill-child --mount-proc --propagation private \
        bash -c '
            echo "$node" > /proc/sys/kernel/hostname
            mount -t tmpfs -o mode=1777 tmpfs /tmp
            [ -z "$view" ] || mount --bind "$view" "$dir/shared"
            trap "" HUP INT
            slurmd -D -N "$node" &
            while :; do wait; sleep 0.2; done' </dev/null >/dev/null 2>&1 &
    local outer=$! pid
    for _ in $(seq 50); do
        pid=$(pgrep -P "$outer" || true)
        [ -z "$pid" ] || break
        sleep 0.1
    done
    echo "${pid:?$node did not start}" > "$dir/run/$node.pid"
}

mount_view() {
    local seconds=0 options=--enable-lock-forwarding
    view=$dir/view/$node
    [ "$SLURM_TEST_FS" != stale ] || seconds=20
    [ "$SLURM_TEST_FS" != nolocks ] || options=
    ! mountpoint -q "$view" || return 0
    mkdir -p "$view"
    bindfs -f $options --multithreaded \
        -o "attr_timeout=$seconds,entry_timeout=$seconds,negative_timeout=$seconds" \
        "$dir/shared" "$view" </dev/null >> "$dir/log/view-$node.log" 2>&1 &
    echo $! > "$dir/run/view-$node.pid"
    for _ in $(seq 50); do
        ! mountpoint -q "$view" || return 0
        sleep 0.1
    done
    echo "slurm: cannot run here: $(tail -n 1 "$dir/log/view-$node.log")" >&2
    exit 77
}

find_again() {
    if has_namespaces; then
        inside setsid slurmd -D -N "$node" </dev/null >/dev/null 2>&1 &
    else
        setsid slurmd -D -N "$node" </dev/null >/dev/null 2>&1 &
        echo $! > "$dir/run/$node.pid"
    fi
}

crash() {
    if has_namespaces; then
        kill -9 "$(first)"
    else
        # The process that keeps the books of a job dies before the job, or it would report the end.
        local jobs books job parent
        jobs=$(grep -lz "^SLURMD_NODENAME=$node\$" /proc/[0-9]*/environ 2>/dev/null |
            cut -d/ -f3 || true)
        books=$(for job in $jobs; do
            parent=$(ps -o ppid= "$job" || true)
            ! grep -qs slurmstepd /proc/${parent// /}/cmdline || echo "$parent"
        done | sort -u)
        kill -9 $(slurmd_of) $books $jobs 2>/dev/null || true
    fi
    rm -f "$dir/run/$node.pid"
}

case $what in
    up) up ;;
    crash) crash ;;
    lose) kill -9 $(slurmd_of) ;;
    find) find_again ;;
    hang) kill -STOP "$(cat "$dir/run/view-$node.pid")" ;;
    thaw) kill -CONT "$(cat "$dir/run/view-$node.pid")" ;;
    exec) inside "$@" ;;
    *) sed -n '2,10p' "$0" >&2; exit 2 ;;
esac
