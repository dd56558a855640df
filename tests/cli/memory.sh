#!/bin/bash
# What --memory has no room for goes to --scratch: the numbers stay the same, plan says so, nothing
# is left over, and a scratch folder of no use is named before anything is lost.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
. "$project/tests/cli/support/space.bash"

make_model model
cp "$project"/datasets/commons/{calibration,evaluation}.txt .
sweep_of() {
    config "$1" "$2" 61 <<'END'
sweep:
  - algorithm: rtn
    weights: {bits: [3, 4], group_size: 64}
  - algorithm: gptq
    weights: {bits: 4, group_size: channel}
  - algorithm: awq
    scale_grid: 2
    clip_grid: 2
    weights: {bits: 4, group_size: 64}
  - algorithm: smoothquant
    weights: {bits: 8, group_size: channel}
    activations: {bits: 8, sharing: [token, static]}
END
    sed -i 's/^calibration: .*/calibration: {text: calibration.txt, windows: 40, tokens: 67}/' "$1"
}
sweep_of sweep.yaml 60
mkdir scratch
# One thread, so that what is in memory while streams are not is the same everywhere.
memory=$(least_memory --threads 1 sweep.yaml)

empty_scratch() { [ -z "$(ls -A scratch)" ] || problem "expected nothing in the scratch folder"; }

planned() {
    run plan --threads 1 --memory "$memory" --scratch scratch sweep.yaml
    expect_status 0
    expect_out '^streams spilled: [1-9][0-9]* MB in scratch$'
    run plan --threads 1 --memory 2G --scratch nowhere sweep.yaml # is not asked for
    expect_status 0
    ! grep -q spilled .out || problem "expected streams in memory in 2G"
    TMPDIR=$work/scratch run plan --threads 1 --memory "$memory" sweep.yaml
    expect_out "^streams spilled: [0-9]+ MB in $work/scratch\$"
    empty_scratch
}
check "plan says what is spilled, and where" planned

same_numbers() {
    run run --threads 1 --memory 2G --output held.h5 sweep.yaml
    expect_status 0
    ! grep -q spilled .err || problem "expected streams in memory in 2G"
    run run --threads "$1" --memory "$memory" --scratch scratch --output "spilled$1.h5" sweep.yaml
    expect_status 0
    expect_err 'at most [0-9]+ MB; streams spilled: [1-9][0-9]* MB in scratch$'
    expect_same_results held.h5 "spilled$1.h5"
    empty_scratch
}
check "the numbers are the same in $memory" same_numbers 1

# Waits until the program has streams in the scratch folder; its files have no names there.
killed() {
    local pid
    "$program" run --quiet --threads 1 --memory "$memory" --scratch scratch --output killed.h5 \
        sweep.yaml >.out 2>.err &
    pid=$!
    until grep -q 'scratch/bitsweep.* (deleted)$' "/proc/$pid/maps" 2>/dev/null; do
        kill -0 $pid 2>/dev/null || break
        sleep 0.01
    done
    grep -q 'scratch/bitsweep' "/proc/$pid/maps" || problem "expected a map of a scratch file"
    empty_scratch
    kill -9 $pid
    wait $pid 2>/dev/null
    empty_scratch
    run run --quiet --threads 1 --memory "$memory" --scratch scratch --output killed.h5 sweep.yaml
    expect_status 0
    expect_same_results held.h5 killed.h5
}
check "a run that is killed leaves nothing and goes on" killed

# ---- folders of no use: a run that would add to results refuses and leaves them as they were ----

sweep_of more.yaml 60
cat >>more.yaml <<'END'
  - algorithm: gptq
    weights: {bits: 5, group_size: 64}
END
memory=$(least_memory --threads 1 --output held.h5 more.yaml)
# $1 folder, $2 what is said of it
useless() {
    cp held.h5 kept.h5
    run run --quiet --threads 1 --memory "$memory" --scratch "$1" --output kept.h5 more.yaml
    expect_refusal "^bitsweep: $2"
    expect_same_bytes kept.h5 held.h5
    expect_absent kept.h5.partial kept.h5.lock
    run plan --threads 1 --memory "$memory" --scratch "$1" --output kept.h5 more.yaml
    expect_refusal "^bitsweep: $2"
}
cannot="cannot make a file in the scratch folder"
check "a folder that is not there" useless nowhere "$cannot 'nowhere': No such file or directory$"
check "a file" useless sweep.yaml "$cannot 'sweep.yaml': Not a directory$"
check "a place that takes no files" useless /proc "$cannot '/proc': .*"

read_only() {
    cp held.h5 kept.h5
    mkdir -p still
    if [ "$(id -u)" != 0 ]; then
        chmod 555 still
        run run --quiet --threads 1 --memory "$memory" --scratch still --output kept.h5 more.yaml
        chmod 755 still
    else
        $own_space bash -c '
            mount --bind still still && mount -o remount,bind,ro still || exit 77
            timeout "$patience" "$program" run --quiet --threads 1 --memory "$0" --scratch still \
                --output kept.h5 more.yaml >.out 2>.err' "$memory"
        status=$?
    fi
    expect_refusal "^bitsweep: $cannot 'still': (Read-only file system|Permission denied)$"
}
if [ "$(id -u)" != 0 ] || [ -n "$own_space" ]; then
    check "a folder that can be read only" read_only
else
    skip "a folder that can be read only" "root, and mounting is not permitted"
fi

full() {
    cp held.h5 kept.h5
    mkdir -p disk
    $own_space bash -c '
        mount -t tmpfs -o size=1m tmpfs disk || exit 77
        timeout "$patience" "$program" run --quiet --threads 1 --memory "$0" --scratch disk \
            --output kept.h5 more.yaml >.out 2>.err' "$memory"
    status=$?
    expect_refusal "^bitsweep: the smallest walk needs [0-9]+ MB of memory, or [0-9]+ MB in the scratch folder 'disk', which has room for 1 MB\$"
    expect_same_bytes kept.h5 held.h5
}
if [ -n "$own_space" ]; then
    check "a full disk" full
else
    skip "a full disk" "mounting is not permitted"
fi

# Room that is there when it is asked for and not when it is taken: a limit on the size of files.
size_limit() {
    cp held.h5 kept.h5
    (
        ulimit -f 1024
        trap '' XFSZ # a failed write in place of a signal
        exec timeout "$patience" "$program" run --quiet --threads 1 --memory "$memory" \
            --scratch scratch --output kept.h5 more.yaml
    ) >.out 2>.err
    status=$?
    expect_refusal "^bitsweep: cannot keep [0-9]+ MB in the scratch folder 'scratch': File too large$"
    expect_same_bytes kept.h5 held.h5
    empty_scratch
}
check "room that goes away" size_limit

finish
