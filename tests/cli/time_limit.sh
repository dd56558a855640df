#!/bin/bash
# Alone: when it stops a run goes by how long a run takes.
# Runs that end before a time limit, again and again, until all is done: nothing is lost, and what was
# kept is never done twice, as a whole sweep and as shards of one.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model model
make_texts
config sweep.yaml 24 <<'EOF'
sweep:
  - algorithm: [rtn, gptq]
    weights: {bits: [3, 4], group_size: 64}
  - algorithm: awq
    scale_grid: 2
    clip_grid: 2
    weights: {bits: [3, 4], group_size: 64}
EOF
sed -i '/^calibration/s/windows: 2, tokens: 64}/windows: 12, tokens: 64, seed: [0, 1]}/' sweep.yaml
start=$(date +%s%N)
run run --quiet --output reference.h5 sweep.yaml
duration=$((($(date +%s%N) - start) / 1000000)) # milliseconds
echo "a run takes $duration ms"

# Where a run stopped, or went on: "block 2 of 2" or "the head"; "" where it began.
stopped_at() {
    sed -n 's/^bitsweep: stopped: .* is kept from \(block [0-9]* of [0-9]*\) on; .*/\1/p
            s/^bitsweep: stopped: .* is kept from its last step, the head, on; .*/the head/p' .err
}
went_on_from() { sed -n 's/^[0-9]* trials\{0,1\} go\(es\)\{0,1\} on from \(.*\), as kept .*/\2/p' .err | sed 1q; }
trials_in() { if [ -e "$1" ]; then labels "$1" | wc -l; else echo 0; fi; }

# Runs with arguments $2... into file $1 until it is done. A limit within which nothing is gained is refused,
# and another one tried: how long it takes to open a model depends on what else the machine does.
cuts=0
until_done() {
    local file=$1 limit=$((duration / 4)) kept='' trials=0 i
    shift
    for ((i = 0; i < 200; i++)); do
        run run --time-limit "$((limit / 1000)).$(printf %03d $((limit % 1000)))s" "$@"
        [ -z "$kept" ] || [ "$status" = 2 ] || [ "$(went_on_from)" = "$kept" ] ||
            problem "expected to go on from $kept, found '$(went_on_from)'"
        case $status in
        0) return ;;
        2)
            expect_err '^bitsweep: nothing was gained within --time-limit'
            limit=$((limit * 3 / 2))
            ;;
        75)
            expect_no_out
            expect_err '^bitsweep: stopped: .*; the same command goes on from there$'
            cuts=$((cuts + 1))
            kept=$(stopped_at)
            [ "$(trials_in "$file")" -ge "$trials" ] || problem "expected no trial to be lost"
            trials=$(trials_in "$file")
            ;;
        *) problem "expected 0, 2 or 75, found $status" ;;
        esac
    done
    problem "expected an end"
}

whole() {
    until_done sweep.h5 --output sweep.h5 sweep.yaml
    expect_same_results reference.h5 sweep.h5
    expect_absent sweep.h5.checkpoint sweep.h5.lock
    [ $cuts -gt 1 ] || problem "expected more than one cut, found $cuts"
}
check "a sweep in pieces of time" whole

shards() {
    local k
    cuts=0
    for k in 1 2 3; do
        until_done parts.$k-of-3.h5 --shard $k/3 --output parts.h5 sweep.yaml
    done
    [ $cuts -gt 1 ] || problem "expected more than one cut, found $cuts"
    run merge --output parts.h5 parts.?-of-3.h5
    expect_status 0
    expect_same_results reference.h5 parts.h5
}
check "its shards" shards

in_vain() {
    run run --time-limit 0.01s --log vain.log --output vain.h5 sweep.yaml
    expect_status 2
    grep -q '^20[0-9-]*T[0-9:]*Z nothing was gained within --time-limit' vain.log ||
        problem "expected it in the log too: $(cat vain.log)"
    expect_err '^bitsweep: stopped: nothing was begun$'
    expect_err '^bitsweep: nothing was gained within --time-limit'
    expect_absent vain.h5
}
check "a limit that is too short is told, and not to be tried again" in_vain

enough() {
    run run --quiet --time-limit 1d --output enough.h5 sweep.yaml
    expect_status 0
    expect_same_results reference.h5 enough.h5
}
check "a limit that is long enough changes nothing" enough

wrong() {
    run run --time-limit "$1" sweep.yaml
    expect_refusal "--time-limit takes a time such as 30m, 12h or 2-00:00:00, not '$1'"
}
for value in '' 30 0s -5m soon 1:2:3:4; do check "refused: --time-limit '$value'" wrong "$value"; done

finish
