#!/usr/bin/env bash
# A Slurm cluster on one Debian machine, for tests: munged, slurmctld, several slurmd and, unless
# SLURM_TEST_ACCOUNTING says otherwise, slurmdbd with its own MariaDB. It needs root, but neither
# systemd nor cgroups.
#
#   eval "$(tests/slurm/cluster.sh start)"   # prints `export SLURM_CONF=...`; the rest is on stderr
#   tests/slurm/cluster.sh stop              # ends it, removes its folder and users it made
#
# Packages that are missing are installed and stay, where EXPERTGRID_INSTALL=1 or CI=true says that
# they may be. Nothing else outside $SLURM_TEST_DIR is written,
# but two users: slurm-alice and slurm-bob. `start` on a cluster that is up starts again whatever
# has died; settings are those of the first start. Exit code 77: this machine cannot have a cluster,
# and the last line says why.
#
# A node is a set of namespaces (host name, processes, mounts, its own /tmp); node.sh disturbs it.
# Nodes n1 and n2 have pretended GPUs. Partitions: main; urgent, whose jobs preempt others;
# graceful, whose jobs have 8 s after a warning. With dbd: QOS `few`, five jobs of a user, two of
# them running. Periods are short: cred_expire 5 s, KillWait 3 s, SlurmdTimeout 10 s.
#
# Settings, with their defaults:
settings() {
    : "${SLURM_TEST_DIR:=/srv/slurm-test}"    # not below /tmp, which every node has for itself
    : "${SLURM_TEST_NODES:=4}"                # n1, n2, ...
    : "${SLURM_TEST_CPUS:=4}"                 # of each node, whatever the machine has
    : "${SLURM_TEST_GPUS:=2}"                 # of n1 and n2
    : "${SLURM_TEST_ACCOUNTING:=dbd}"         # dbd; filetxt: a file of jobs that have ended; none
    : "${SLURM_TEST_FS:=plain}"               # how nodes see $SLURM_TEST_DIR/shared, see node.sh
    : "${SLURM_TEST_NAMESPACES:=auto}"        # no: nodes are only processes
    : "${SLURM_TEST_PORT:=16817}"             # the first of some twenty ports
    : "${SLURM_TEST_MAX_ARRAY:=1001}"         # MaxArraySize; this is Slurm's default
    : "${SLURM_TEST_MIN_JOB_AGE:=300}"        # seconds until an ended job is forgotten; the default
    : "${SLURM_TEST_EXTRA:=}"                 # more lines of slurm.conf, separated by semicolons
}
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
say() { echo "slurm: $*" >&2; }
cannot() { say "cannot run here: $*"; exit 77; }

start() {
    exec 3>&1 1>&2
    requirements
    packages
    folders
    munge_up
    configuration
    database_up
    controller_up
    nodes_up
    say "up after $SECONDS s: $(sinfo -h -o '%P %D nodes, %c CPUs, %G;' | tr '\n' ' ')"
    printf 'export SLURM_CONF=%q SLURM_TEST_DIR=%q\n' "$conf" "$dir" >&3
}

requirements() {
    [ "$(id -u)" = 0 ] || cannot "starting daemons and namespaces needs root"
    [ -e /etc/debian_version ] || cannot "the packages are Debian's"
    [[ $dir != /tmp/* && $dir != /dev/shm/* ]] || cannot "SLURM_TEST_DIR must not be below /tmp"
    case $SLURM_TEST_FS in
        plain) return ;;
        locks | stale | nolocks) ;;
        *) say "SLURM_TEST_FS=$SLURM_TEST_FS is none of plain, locks, stale, nolocks"; exit 2 ;;
    esac
    [ -c /dev/fuse ] || cannot "SLURM_TEST_FS=$SLURM_TEST_FS needs FUSE (/dev/fuse)"
    [ "$SLURM_TEST_NAMESPACES" != no ] && unshare --mount --uts --pid --fork true 2>/dev/null ||
        cannot "SLURM_TEST_FS=$SLURM_TEST_FS needs namespaces (unshare)"
}

# The daemons must not start when they are installed, and another apt may be running.
packages() {
    local wanted="slurmctld slurmd slurm-client munge util-linux procps" missing="" package
    [ "$SLURM_TEST_ACCOUNTING" != dbd ] ||
        wanted+=" slurmdbd slurm-wlm-mysql-plugin mariadb-server-core mariadb-client-core"
    [ "$SLURM_TEST_FS" = plain ] || wanted+=" bindfs"
    for package in $wanted; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" ||
            missing+=" $package"
    done
    [ -n "$missing" ] || return 0
    [ "${EXPERTGRID_INSTALL:-}" = 1 ] || [ "${CI:-}" = true ] ||
        cannot "not installed:$missing (EXPERTGRID_INSTALL=1 installs them, as make test-slurm does)"
    say "installing$missing"
    local guard=/usr/sbin/policy-rc.d log
    log=$(mktemp)
    if [ ! -e $guard ]; then
        printf '#!/bin/sh\nexit 101\n' > $guard
        chmod +x $guard
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    local apt="apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3"
    $apt update > "$log" 2>&1 || say "apt-get update failed; the lists that are there are used"
    if ! $apt install -y --no-install-recommends $missing >> "$log" 2>&1; then
        tail -n 5 "$log"
        cannot "packages could not be installed:$missing"
    fi
    rm -f "$log"
}

folders() {
    mkdir -p "$dir"/{munge,state,log,run,conf,dev,tmp,view} "$dir"/shared
    chmod 755 "$dir" "$dir"/munge
    chmod 1777 "$dir"/shared
    local user
    for user in slurm-alice slurm-bob; do
        if ! id "$user" >/dev/null 2>&1; then
            useradd --no-create-home --home-dir "$dir/shared" --shell /bin/bash "$user"
            echo "$user" >> "$dir/run/users"
        fi
    done
}

# A process that was killed and that nobody has waited for yet has no command line any more.
alive() { [ -e "$dir/run/$1.pid" ] && grep -qs . "/proc/$(cat "$dir/run/$1.pid")/cmdline"; }

wait_for() { # seconds, what, command...
    local end=$((SECONDS + $1)) what=$2 said
    shift 2
    until said=$("$@" 2>&1); do
        if [ $SECONDS -ge $end ]; then
            say "$what did not come up: $said"
            tail -n 5 "$dir"/log/*.log
            exit 1
        fi
        sleep 0.2
    done
}

# A key and a socket of its own, so that one that the machine has is not touched.
munge_up() {
    ! alive munged || return 0
    rm -f "$dir"/munge/{socket,socket.lock}
    [ -e "$dir/munge/key" ] || (umask 077; head -c 1024 /dev/urandom > "$dir/munge/key")
    munged --force --foreground --num-threads=2 --key-file="$dir/munge/key" \
        --socket="$dir/munge/socket" --pid-file="$dir/munge/pid" --seed-file="$dir/munge/seed" \
        --log-file="$dir/log/munged.log" </dev/null >/dev/null 2>&1 3>&- &
    echo $! > "$dir/run/munged.pid"
    wait_for 10 munged munge --socket="$dir/munge/socket" -n
}

configuration() {
    [ ! -e "$conf" ] || return 0
    local new=$conf.new n setting
    cat > "$new" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
SlurmctldPort=$port
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/conf/slurmctld.pid
SlurmdPidFile=$dir/conf/slurmd-%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
SlurmdParameters=config_overrides
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=200
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,bf_continue,sched_interval=2,sched_min_interval=100000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
JobRequeue=1
MaxArraySize=$SLURM_TEST_MAX_ARRAY
MinJobAge=$SLURM_TEST_MIN_JOB_AGE
KillWait=3
SlurmdTimeout=10
SlurmctldTimeout=10
BatchStartTimeout=10
MessageTimeout=10
UnkillableStepTimeout=20
ReturnToService=2
InactiveLimit=0
GresTypes=gpu
$(accounting)
END
    : > "$dir/conf/gres.conf"
    for n in $(seq "$SLURM_TEST_NODES"); do
        echo "NodeName=n$n NodeAddr=127.0.0.1 Port=$((port + 10 + n)) CPUs=$SLURM_TEST_CPUS" \
            "RealMemory=4000 $(gpus "$n") Feature=fake State=UNKNOWN" >> "$new"
    done
    cat >> "$new" <<END
PartitionName=DEFAULT Nodes=ALL DefaultTime=5 MaxTime=60 State=UP
PartitionName=main Default=YES PriorityTier=1
PartitionName=urgent PriorityTier=10 PreemptMode=OFF
PartitionName=graceful PriorityTier=1 GraceTime=8
END
    echo "$SLURM_TEST_EXTRA" | tr ';' '\n' >> "$new"
    for setting in ${!SLURM_TEST_*}; do
        printf '%s=%q\n' "$setting" "${!setting}"
    done > "$dir/conf/settings"
    mv "$new" "$conf"
}

accounting() {
    case $SLURM_TEST_ACCOUNTING in
        dbd) cat <<END ;;
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((port + 2))
AccountingStoragePass=$dir/munge/socket
AccountingStorageEnforce=associations,limits,qos
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
END
        filetxt) cat <<END ;;
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/log/finished-jobs
END
        *) echo "AccountingStorageType=accounting_storage/none" ;;
    esac
}

# Each GPU must be a device file: where none is named, Slurm sets no CUDA_VISIBLE_DEVICES.
gpus() { # node's number
    local last=$((SLURM_TEST_GPUS - 1)) gpu
    [ "$1" -le 2 ] && [ $last -ge 0 ] || return 0
    for gpu in $(seq 0 $last); do ln -sf /dev/null "$dir/dev/nvidia$gpu"; done
    echo "NodeName=n$1 Name=gpu File=$dir/dev/nvidia[0-$last]" >> "$dir/conf/gres.conf"
    echo "Gres=gpu:$SLURM_TEST_GPUS"
}

sql() { mariadb --no-defaults -uroot -S "$dir/run/db.sock" "$@"; }

database_up() {
    [ "$SLURM_TEST_ACCOUNTING" = dbd ] || return 0
    if ! alive mariadbd; then
        [ -d "$dir/db/mysql" ] || mariadb-install-db --no-defaults --user=root --datadir="$dir/db" \
            --skip-test-db --auth-root-authentication-method=normal \
            > "$dir/log/mariadb-install.log" 2>&1
        mariadbd --no-defaults --user=root --datadir="$dir/db" --socket="$dir/run/db.sock" \
            --pid-file="$dir/run/db.pid" --bind-address=127.0.0.1 --port=$((port + 3)) \
            --innodb-buffer-pool-size=64M --innodb-log-file-size=16M \
            --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900 \
            </dev/null > "$dir/log/mariadbd.log" 2>&1 3>&- &
        echo $! > "$dir/run/mariadbd.pid"
        wait_for 60 mariadbd sql -e "select 1"
        sql -e "create database if not exists slurm_acct_db;
                create user if not exists slurm@127.0.0.1 identified by 'test';
                grant all on slurm_acct_db.* to slurm@127.0.0.1;"
    fi
    if ! alive slurmdbd; then
        (umask 077; cat > "$dir/conf/slurmdbd.conf") <<END
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=$((port + 2))
SlurmUser=root
LogFile=$dir/log/slurmdbd.log
PidFile=$dir/conf/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((port + 3))
StorageUser=slurm
StoragePass=test
StorageLoc=slurm_acct_db
END
        slurmdbd -D </dev/null >/dev/null 2>&1 3>&- &
        echo $! > "$dir/run/slurmdbd.pid"
        wait_for 60 slurmdbd sacctmgr -n show cluster
    fi
    [ -e "$dir/run/accounts" ] || accounts
}

# slurmctld must find its cluster in the database and, since limits are enforced, users their
# accounts.
accounts() {
    manage() { sacctmgr -i -Q "$@" >/dev/null 2>&1 || true; }
    local user users="root slurm-alice slurm-bob"
    manage add cluster test
    manage add account lab Cluster=test
    manage add qos few
    manage modify qos few set MaxSubmitJobsPerUser=5 MaxJobsPerUser=2
    for user in $users; do
        manage add user "$user" Account=lab Cluster=test
        manage modify user "$user" set QOS=normal,few DefaultQOS=normal
    done
    touch "$dir/run/accounts"
}

controller_up() {
    ! alive slurmctld || return 0
    slurmctld -D </dev/null >/dev/null 2>&1 3>&- &
    echo $! > "$dir/run/slurmctld.pid"
    wait_for 30 slurmctld scontrol ping
}

nodes_up() {
    local n
    for n in $(seq "$SLURM_TEST_NODES"); do
        alive "n$n" || "$here/node.sh" up "n$n" 3>&-
    done
    ready() {
        [ "$(sinfo -h -N -p main -t idle,alloc,mix -o %N | sort -u | wc -l)" -ge \
            "$SLURM_TEST_NODES" ]
    }
    wait_for 60 "a node" ready
}

stop() {
    [ -d "$dir" ] || { say "nothing at $dir"; return 0; }
    end slurmctld 10
    local pid view user node
    for pid in "$dir"/run/n[0-9]*.pid; do
        node=$(basename "$pid" .pid)
        [ ! -e "$pid" ] || "$here/node.sh" crash "$node" 2>/dev/null || true
    done
    sleep 0.5
    for view in "$dir"/view/*; do
        node=$(basename "$view")
        ! alive "view-$node" || kill -CONT "$(cat "$dir/run/view-$node.pid")"
        # Not `mountpoint`: it does not know one whose process was killed.
        ! grep -q " $view " /proc/self/mounts || fusermount -u "$view" 2>/dev/null || umount -l "$view"
    done
    end slurmdbd 5
    end mariadbd 20
    end munged 5
    for user in $(cat "$dir/run/users" 2>/dev/null || true); do userdel "$user" || true; done
    rm -rf "$dir"
    say "stopped"
}

end() { # daemon, seconds until it is killed
    alive "$1" || return 0
    local pid
    pid=$(cat "$dir/run/$1.pid")
    kill "$pid"
    for _ in $(seq $(($2 * 5))); do
        alive "$1" || return 0
        sleep 0.2
    done
    kill -9 "$pid" 2>/dev/null || true
}

dir=${SLURM_TEST_DIR:-/srv/slurm-test}
[ ! -e "$dir/conf/settings" ] || . "$dir/conf/settings"
settings
dir=$SLURM_TEST_DIR port=$SLURM_TEST_PORT host=$(hostname -s) conf=$dir/conf/slurm.conf
export SLURM_CONF=$conf
case ${1:-} in
    start | stop) "$1" ;;
    *) sed -n '2,21p' "$0" >&2; exit 2 ;;
esac
