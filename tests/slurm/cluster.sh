#!/bin/bash
# A sweep on a cluster of four nodes, by a Slurm of its own on this machine: a time limit cuts each task,
# one node fails in the middle, and what is merged in the end is one run: nothing is lost, and nothing
# that was kept is done again. `make slurm`.
. "$(dirname "${BASH_SOURCE[0]}")/../cli/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
. "$project/tests/slurm/cluster.bash"
trap 'stop_cluster; clean_up' EXIT
export PATH=$PATH:/usr/sbin
patience=1200 nodes=4

cp -r "$project/datasets/tiny" model
make_texts
write_config() {
    config sweep.yaml "$1" <<'EOF'
sweep:
  - algorithm: [rtn, gptq]
    weights: {bits: [3, 4, 5, 6, 8], group_size: [channel, 64]}
  - algorithm: [rtn, gptq, awq]
    weights: {bits: 4, group_size: 32}
charts: [pareto]
EOF
    sed -i "/^calibration/s/windows: 2, tokens: 64/windows: $1, tokens: 64/" sweep.yaml
}
trials=24

# A sweep that takes a processor twenty seconds or more, whatever the machine is and what else it does: a task
# has time for several checkpoints then.
measured() {
    local windows seconds
    for ((windows = 16; ; windows *= 2)); do
        write_config $windows
        rm -rf reference.h5
        TIMEFORMAT=%U
        { time run run --quiet --threads 1 --output reference.h5 sweep.yaml; } 2>.seconds
        seconds=$(sed -n '$s/\..*//p' .seconds)
        [ "$status" = 0 ] && [ "$seconds" -lt 20 ] && [ $windows -lt 1024 ] || break
    done
    echo "a run takes $seconds s of a processor"
    expect_status 0
    [ "$(labels reference.h5 | wc -l)" = $trials ] || problem "expected $trials trials, found $(labels reference.h5 | wc -l)"
}
check "one run" measured

check "a Slurm cluster of $nodes nodes" start_cluster

# The last line of a log that says where a walk stopped, or went on.
kept_from='s/^bitsweep: stopped: .* is kept from \(block [0-9]* of [0-9]*\) on; .*/stopped \1/p
           s/^bitsweep: stopped: .* is kept from its last step, the head, on; .*/stopped the head/p
           s/^[0-9]* trials\{0,1\} goe\{0,1\}s\{0,1\} on from \(.*\), as kept .*/went-on \1/p
           s/^shard [0-9]* on .*, begun \([0-9]*\) times.*/begun \1/p'
story() { sed -n "$kept_from" "results/sweep.slurm/$1.log" 2>/dev/null; }

submitted() {
    # Long enough for a step of a walk on a machine that does much else; what cuts each task is below.
    run submit --slurm --nodes $nodes --time 45s --threads 1 --memory 400M --checkpoint 0 \
        --plots "$project/plots" sweep.yaml
    expect_status 0
    merge=$(sed -n 's/^job \([0-9]*\): merges.*/\1/p' .out)
    [ -n "$merge" ] || problem "expected a job that merges"
    limit=$(sed -n 's/.* --time-limit \([0-9]*\)s .*/\1/p' results/sweep.slurm/shards.sh)
    [ -n "$limit" ] || problem "expected a time limit of the tasks"
}
merge='' limit=''
check "submit" submitted

# The node whose task has a checkpoint and is not yet cut dies.
node_dies() {
    local i node task
    for ((i = 0; i < 3000; i++)); do
        sleep 0.1
        while read -r node task; do
            [ -s "results/sweep.$task-of-$nodes.h5.checkpoint" ] || continue
            victim=$task
            kill_node "$node"
            cp "results/sweep.slurm/$task.log" victim.log
            "$program" plan --quiet --shard "$task/$nodes" --output results/sweep.h5 sweep.yaml >victim.plan
            echo "node $node dies with task $task under way"
            return
        done < <(squeue -h -r -t running -o '%N %K' | grep -v N/A)
    done
    problem "expected a task with a checkpoint"
}
victim=
check "a node dies with a task that is under way" node_dies

# Each task is held in the middle, once it has kept something since it began, until its limit is over: so the limit cuts
# it there, however fast the machine is and whatever else it does.
limit_cuts() {
    local task process since=$SECONDS
    local -A seen=() held=() cut=()
    while [ ${#cut[@]} -lt $nodes ] && [ $((SECONDS - since)) -lt $patience ] && [ -n "$(squeue -h -j "$merge")" ]; do
        sleep 0.1
        for ((task = 1; task <= nodes; task++)); do
            process=$(task_process $task)
            if [ -n "${cut[$task]:-}" ] || [ -z "$process" ]; then
                continue
            elif [ ! -e began.$process ]; then
                touch began.$process
                seen[$process]=$SECONDS
            elif [ -z "${held[$process]:-}" ]; then
                [ "results/sweep.$task-of-$nodes.h5.checkpoint" -nt began.$process ] || continue
                kill -STOP "$process"
                held[$process]=yes
            elif [ $((SECONDS - seen[$process])) -gt "$limit" ]; then
                kill -CONT "$process"
                cut[$task]=yes
            fi
        done
    done
    [ ${#cut[@]} = $nodes ] || problem "expected all tasks under way within $patience s, found ${!cut[*]}"
}
check "each task is under way when its limit is over" limit_cuts

merged() {
    local i
    for ((i = 0; i < 2 * patience; i++)); do
        [ -n "$(squeue -h -j "$merge" 2>/dev/null)" ] || break
        sleep 0.5
    done
    cat results/sweep.slurm/merge.log >.out 2>/dev/null
    expect_there results/sweep.h5
    expect_same_results reference.h5 results/sweep.h5
    expect_there results/sweep/pareto.png
    expect_out "^0 of $trials trials to run"
}
check "nothing is lost: what is merged is one run" merged

# After a stop the next begin goes on from what was kept, there and nowhere before.
repeated_nothing() {
    local task line kept cuts
    for task in $(seq $nodes); do
        cuts=0 kept=
        while read -r line; do
            case $line in
            stopped*)
                cuts=$((cuts + 1))
                kept=${line#stopped }
                ;;
            went-on*)
                [ -z "$kept" ] || [ "${line#went-on }" = "$kept" ] || problem "expected task $task to go on from $kept, found $line"
                kept=
                ;;
            esac
        done < <(story "$task")
        [ $cuts -ge 1 ] || problem "expected a limit that cuts task $task, found none: $(story "$task" | tr '\n' ',')"
        echo "task $task: $(story "$task" | tr '\n' ',')"
    done
}
check "the limit cut each task, which went on from what was kept" repeated_nothing

victim_went_on() {
    local where next
    where=$(sed -n 's/^[0-9]* trials\{0,1\} goe\{0,1\}s\{0,1\} on from \(.*\), as kept .*/\1/p' victim.plan)
    next=$(tail -n +$(($(wc -l <victim.log) + 1)) "results/sweep.slurm/$victim.log" | sed -n "$kept_from" | sed -n 's/^went-on //p' | sed 1q)
    echo "task $victim was kept from $where, and went on from $next"
    [ -n "$where" ] && [ "$next" = "$where" ] || problem "expected task $victim to go on from '$where', found '$next'"
}
check "the task of the node that died went on from its last checkpoint" victim_went_on

finish
