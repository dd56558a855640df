# A Slurm cluster of four nodes on this machine, on 127.0.0.1 alone, with keys and folders of its own:
# start_cluster, kill_node NAME, stop_cluster. Debian's slurmctld, slurmd, slurm-client and munge.

cluster=$work/cluster
export SLURM_CONF=$cluster/slurm.conf

# A port that nobody listens on, and the four after it.
free_ports() {
    local port i
    for ((port = 20000 + RANDOM % 20000; ; port++)); do
        for ((i = 0; i < 5; i++)); do
            ! (exec 3<>"/dev/tcp/127.0.0.1/$((port + i))") 2>/dev/null || continue 2
        done
        echo "$port"
        return
    done
}

start_cluster() {
    local port user node
    port=$(free_ports)
    user=$(id -un)
    mkdir -p "$cluster/state" "$cluster/munge"
    chmod 755 "$work" "$cluster"
    chmod 700 "$cluster/munge"
    head -c 64 /dev/urandom >"$cluster/munge/key"
    chmod 400 "$cluster/munge/key"
    munged --force --socket="$cluster/munge.socket" --key-file="$cluster/munge/key" \
        --log-file="$cluster/munge/log" --pid-file="$cluster/munged.pid" --seed-file="$cluster/munge/seed" \
        --num-threads=2 || return 1
    # cred_expire is how long Slurm waits before it starts a job again that was queued again.
    cat >"$SLURM_CONF" <<EOF
ClusterName=bitsweep
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$cluster/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool.%n
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/%n.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/%n.log
SlurmctldPort=$port
SlurmdTimeout=30
KillWait=10
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=n[1-4] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 4))] CPUs=1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
    slurmctld -f "$SLURM_CONF" || return 1
    for node in n1 n2 n3 n4; do slurmd -N $node -f "$SLURM_CONF" || return 1; done
    local i
    for ((i = 0; i < 240; i++)); do
        [ "$(sinfo -h -t idle -o %D 2>/dev/null)" != 4 ] || return 0
        sleep 0.5
    done
    sinfo
    return 1
}

# Everything of a node at once, as when its power fails.
kill_node() {
    kill -9 "$(cat "$cluster/$1.pid")"
    kill_jobs "$1"
}

# What the jobs of a node have started, and above them the slurmstepd that would tell of their end.
kill_jobs() {
    local folder parent processes=()
    for folder in /proc/[0-9]*; do
        has_environment "${folder#/proc/}" "SLURM_CONF=$SLURM_CONF" &&
            has_environment "${folder#/proc/}" "SLURMD_NODENAME=$1" || continue
        parent=$(sed -n 's/^PPid:[[:blank:]]*//p' "$folder/status" 2>/dev/null)
        ! grep -aq '^slurmstepd' "/proc/$parent/cmdline" 2>/dev/null || processes=("$parent" "${processes[@]}")
        processes+=("${folder#/proc/}")
    done
    [ ${#processes[@]} = 0 ] || kill -9 "${processes[@]}" 2>/dev/null
}

# Whether a process has this line in its environment.
has_environment() {
    { tr '\0' '\n' <"/proc/$1/environ" >.environ; } 2>/dev/null && grep -qxF "$2" .environ
}

# The process of bitsweep that runs a task of the array; nothing where none does.
task_process() {
    local folder name
    for folder in /proc/[0-9]*; do
        read -r name 2>/dev/null <"$folder/comm" && [ "$name" = bitsweep ] || continue
        ! has_environment "${folder#/proc/}" "SLURM_CONF=$SLURM_CONF" ||
            ! has_environment "${folder#/proc/}" "SLURM_ARRAY_TASK_ID=$1" || echo "${folder#/proc/}"
    done
}

stop_cluster() {
    local name
    scancel --user="$(id -un)" 2>/dev/null
    for name in n1 n2 n3 n4 slurmctld munged; do
        [ ! -s "$cluster/$name.pid" ] || kill "$(cat "$cluster/$name.pid")"
    done 2>/dev/null
    sleep 1
    for name in n1 n2 n3 n4; do kill_jobs $name; done
}
