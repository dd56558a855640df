#!/bin/bash
# What `submit` hands to Slurm, and what its scripts do when something runs them as Slurm would: shards
# that are cut are queued again, and what is merged is one run. tests/slurm has the same with Slurm.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model model
make_texts
config "my sweep.yaml" 12 <<'EOF'
sweep:
  - algorithm: [rtn, gptq]
    weights: {bits: [3, 4], group_size: 64}
charts: [pareto]
EOF
run run --quiet --output reference.h5 "my sweep.yaml"

# Stand-ins that note what they are told.
mkdir bin
cat >bin/sbatch <<'EOF'
#!/bin/bash
echo "$*" >>"$NOTES/sbatch"
echo "$((40 + $(wc -l <"$NOTES/sbatch")));cluster"
EOF
cat >bin/scontrol <<'EOF'
#!/bin/bash
echo "$*" >>"$NOTES/scontrol"
EOF
chmod +x bin/*
export NOTES=$work
PATH=$work/bin:$PATH

submitted() {
    run submit --slurm --nodes 2 --time 2:00:00 --partition big --threads 1 --plots "$project/plots" "my sweep.yaml"
    expect_status 0
    expect_no_err
    expect_out '^job 41: 2 shards, as results/my sweep\.slurm/shards\.sh has it; logs in results/my sweep\.slurm$'
    expect_out '^job 42: merges them into results/my sweep\.h5 when they have ended$'
    [ "$(cat sbatch)" = "--parsable results/my sweep.slurm/shards.sh
--parsable --dependency=afterany:41 results/my sweep.slurm/merge.sh" ] || problem "expected two jobs, found $(cat sbatch)"
    local line
    for line in '--array=1-2' '--time=120' '--partition="big"' '--cpus-per-task=1' '--requeue' '--open-mode=append' \
        '--output="results/my sweep.slurm/%a.log"'; do
        grep -qxF -e "#SBATCH $line" "results/my sweep.slurm/shards.sh" || problem "expected #SBATCH $line"
    done
    grep -q -e '--time-limit 7080s' "results/my sweep.slurm/shards.sh" || problem "expected a limit below the job's"
    ! grep -q -e '--signal' "results/my sweep.slurm/shards.sh" || problem "expected no signal beside the limit"
}
check "two jobs, the second after the first" submitted

# task N: as Slurm runs a task of the array.
task() { SLURM_ARRAY_JOB_ID=41 SLURM_ARRAY_TASK_ID=$1 bash "results/my sweep.slurm/shards.sh" >>log.$1 2>&1 </dev/null; }

works() {
    task 1 || problem "expected task 1 to end well: $(cat log.1)"
    task 2 || problem "expected task 2 to end well: $(cat log.2)"
    expect_absent scontrol
    bash "results/my sweep.slurm/merge.sh" >.out 2>.err </dev/null || problem "expected the merge to end well"
    expect_same_results reference.h5 "results/my sweep.h5"
    expect_there "results/my sweep/pareto.png"
    expect_out '^rtn w3 g64'
    expect_out '^0 of 5 trials to run'
    # Again, as after another submission: the whole's file is one of those that are merged.
    bash "results/my sweep.slurm/merge.sh" >.out 2>.err </dev/null || problem "expected a second merge to end well"
    expect_same_results reference.h5 "results/my sweep.h5"
}
check "its tasks and the merge make the file of one run" works

cut_short() {
    rm -rf results
    sed 's/windows: 12, tokens: 64}/windows: 90, tokens: 64}/; s/windows: 2, tokens: 64}/windows: 24, tokens: 64}/' \
        "my sweep.yaml" >long.yaml
    run submit --slurm --checkpoint 0 long.yaml
    expect_status 0
    grep -qx '#SBATCH --signal=B:USR1@120' results/long.slurm/shards.sh || problem "expected the announcement of an end"
    local pid i
    SLURM_ARRAY_JOB_ID=41 SLURM_ARRAY_TASK_ID=1 bash results/long.slurm/shards.sh >log 2>&1 </dev/null &
    pid=$!
    for ((i = 0; i < 6000; i++)); do
        [ ! -s results/long.1-of-1.h5.checkpoint ] || break
        sleep 0.01
    done
    kill -USR1 $pid
    status=0
    wait $pid || status=$?
    expect_status 75
    [ "$(cat scontrol)" = "requeue 41_1" ] || problem "expected the task to be queued again"
    grep -q 'trials are in .*; the same command goes on from there$' log || problem "expected the walk to be kept: $(cat log)"
    bash results/long.slurm/shards.sh </dev/null >log 2>&1 || true # without a task it has no shard
    SLURM_ARRAY_JOB_ID=41 SLURM_ARRAY_TASK_ID=1 bash results/long.slurm/shards.sh >log 2>&1 </dev/null
    status=$?
    expect_status 0
    grep -q '^[0-9]* trials\{0,1\} go\(es\)\{0,1\} on from' log || problem "expected it to go on: $(cat log)"
}
check "a task that is told of its end is queued again and goes on" cut_short

shown() {
    rm -rf results sbatch
    run submit --slurm --nodes 9 --dry-run --set weights.bits=3,4 --memory 2G --numerics portable "my sweep.yaml"
    expect_status 0
    expect_err '^4 nodes are enough: there are no more recipes to share out$'
    expect_out "^#SBATCH --array=1-4$"
    expect_out "^#SBATCH --exclusive$"
    expect_out "run --shard \"\\\$SLURM_ARRAY_TASK_ID/4\" --output 'results/my sweep.h5' --set 'weights.bits=3,4' --numerics 'portable' --memory 2000000000 -- 'my sweep.yaml' &$"
    expect_absent results sbatch
    bash -n .out || problem "expected scripts that a shell reads"
}
check "--dry-run shows the scripts and submits nothing" shown

hostile() {
    local name="a'b\"c\$(touch harm)%d.yaml"
    cp "my sweep.yaml" "$name"
    run submit --slurm "$name"
    expect_status 0
    SLURM_ARRAY_JOB_ID=41 SLURM_ARRAY_TASK_ID=1 bash results/*.slurm/shards.sh >log 2>&1 </dev/null ||
        problem "expected the task to end well: $(cat log)"
    expect_absent harm
    expect_there "results/a'b\"c\$(touch harm)%d.1-of-1.h5"
}
check "names are names to the shell, whatever is in them" hostile

refused() {
    run submit "my sweep.yaml"
    expect_refusal '^bitsweep submit: expected --slurm, the batch system$'
    run submit --slurm --time soon "my sweep.yaml"
    expect_refusal "^bitsweep submit: --time takes minutes or a time such as 12h or 2-00:00:00, not 'soon'"
    run submit --slurm --nodes 0 "my sweep.yaml"
    expect_refusal "--nodes takes a number from 1 to 4096, not '0'"
    run submit --slurm none.yaml
    expect_refusal 'none.yaml'
    status=0
    PATH=$work/none "$program" submit --slurm "my sweep.yaml" >.out 2>.err </dev/null || status=$?
    expect_refusal '^bitsweep: sbatch cannot be run: .*--dry-run'
    printf '#!/bin/sh\necho "no such partition" >&2; exit 1\n' >bin/sbatch
    chmod +x bin/sbatch
    run submit --slurm "my sweep.yaml"
    expect_status 2
    expect_err '^no such partition$'
    expect_err '^bitsweep: sbatch: the job was not taken$'
}
check "refused" refused

finish
