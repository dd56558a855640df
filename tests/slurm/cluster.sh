#!/bin/bash
# A sweep on a cluster of four nodes, by a Slurm of its own on this machine: a time limit cuts each task,
# one node fails in the middle, and what is merged in the end is one run: nothing is lost, and nothing
# that was kept is done again. `make slurm`.
. "$(dirname "${BASH_SOURCE[0]}")/../cli/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
. "$project/tests/slurm/cluster.bash"
trap 'stop_cluster; clean_up' EXIT
export PATH=$PATH:/usr/sbin
patience=600 nodes=4

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

# A sweep that one thread works on for twenty seconds or more, whatever the machine is.
measured() {
    local windows start
    for ((windows = 16; ; windows *= 2)); do
        write_config $windows
        rm -rf reference.h5
        start=$SECONDS
        run run --quiet --threads 1 --output reference.h5 sweep.yaml
        duration=$((SECONDS - start))
        [ "$status" = 0 ] && [ $duration -lt 20 ] && [ $windows -lt 1024 ] || break
    done
    expect_status 0
    [ "$(labels reference.h5 | wc -l)" = $trials ] || problem "expected $trials trials, found $(labels reference.h5 | wc -l)"
}
duration=20
check "one run" measured
echo "a run takes $duration s"

check "a Slurm cluster of $nodes nodes" start_cluster

# The last line of a log that says where a walk stopped, or went on.
kept_from='s/^bitsweep: stopped: .* is kept from \(block [0-9]* of [0-9]*\) on; .*/stopped \1/p
           s/^bitsweep: stopped: .* is kept from its last step, the head, on; .*/stopped the head/p
           s/^[0-9]* trials\{0,1\} goe\{0,1\}s\{0,1\} on from \(.*\), as kept .*/went-on \1/p
           s/^shard [0-9]* on .*, begun \([0-9]*\) times.*/begun \1/p'
story() { sed -n "$kept_from" "results/sweep.slurm/$1.log" 2>/dev/null; }

submitted() {
    # A task has a quarter of the work, or a little less: the limit, less what is left for its end, is
    # half of that.
    local limit=$((duration / 8 + 5))
    [ $limit -ge 10 ] || limit=10
    run submit --slurm --nodes $nodes --time ${limit}s --threads 1 --memory 400M --checkpoint 1 \
        --plots "$project/plots" sweep.yaml
    expect_status 0
    merge=$(sed -n 's/^job \([0-9]*\): merges.*/\1/p' .out)
    [ -n "$merge" ] || problem "expected a job that merges"
}
merge=
check "submit" submitted

# The node whose task has a checkpoint and is not yet cut dies.
node_dies() {
    local i node task
    for ((i = 0; i < 1200; i++)); do
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

merged() {
    local i
    for ((i = 0; i < 600; i++)); do
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
