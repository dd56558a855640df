#!/bin/bash
# Alone: when it stops a run goes by how long a run takes.
# One long walk that is ended again and again, by any signal and at any moment, goes on from its
# checkpoint to the same bits; what is in a checkpoint's place and is none of this walk is not used.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
. "$project/tests/cli/support/safetensors.bash" # poke

make_model model
make_texts
config sweep.yaml 24 <<'EOF'
sweep:
  - algorithm: rtn
    weights: {bits: [3, 4], group_size: 64}
  - algorithm: gptq
    weights: {bits: [3, 4], group_size: 64}
  - algorithm: awq
    scale_grid: 2
    clip_grid: 2
    weights: {bits: [3, 4], group_size: 64}
EOF
sed -i 's/^calibration: .*/calibration: {text: calibration.txt, windows: 24, tokens: 64}/' sweep.yaml
trials=7
start=$(date +%s%N)
run run --quiet --checkpoint off --output reference.h5 sweep.yaml
duration=$((($(date +%s%N) - start) / 1000)) # microseconds
whole() {
    expect_status 0
    expect_absent reference.h5.checkpoint
    [ "$(walks sweep.yaml)" = 1 ] || problem "expected one walk"
}
check "an uninterrupted run in one walk" whole
again=(run --checkpoint 0.02 --output sweep.h5 sweep.yaml)

seconds() { printf '%d.%06d' $(($1 / 1000000)) $(($1 % 1000000)); }
below() { echo $(((RANDOM * 32768 + RANDOM) % ($1 + 1))); }

# Where the walk is kept by the plan's lines: the block, 3 at the head, 4 where all is done, 0 where it is
# not kept.
kept_block() {
    "$program" plan --output sweep.h5 sweep.yaml 2>/dev/null |
        sed -n "s/^$trials trials go on from block \([0-9]*\) of 2, as kept .* ago in sweep\.h5\.checkpoint\$/\1/p
                s/^$trials trials go on from the head, as kept .* ago in sweep\.h5\.checkpoint\$/3/p
                s/^0 of $trials trials to run: .*/4/p
                \$s/.*/0/p" | sed 1q
}

# ---- killed at any moment, over and over, until it ends ----

# Threads and memory change from one start to the next.
memory=$(least_memory --threads 1 sweep.yaml)
mkdir scratch
# TMPDIR is where streams go, and no word on where checkpoints do.
export TMPDIR=$work/scratch
ways=("--threads 1" "--threads 3" "--threads 1 --memory $((${memory%M} + 10))M" "")
seed=${SEED:-$$}
RANDOM=$seed
echo "seed $seed; a run takes $duration microseconds"
kills=0 gone_on=0 place=0
kill_until_done() {
    local pid found i
    for ((i = 0; i < 60; i++)); do
        set -- ${ways[$((i % 4))]}
        "$program" "${again[@]}" "$@" >.out 2>.err </dev/null &
        pid=$!
        sleep "$(seconds "$(below $((duration / 2)))")"
        kill -9 $pid 2>/dev/null
        status=0
        { wait $pid; } 2>/dev/null || status=$?
        ! grep -q '^7 trials go on from' .err || gone_on=$((gone_on + 1))
        [ "$status" != 0 ] || break
        expect_status 137
        kills=$((kills + 1))
        # Nothing that was kept is ever done again.
        found=$(kept_block)
        [ "$found" -ge "$place" ] || problem "expected block $place or later, found $found"
        place=$found
    done
    expect_status 0
    expect_same_results reference.h5 sweep.h5
    expect_absent sweep.h5.checkpoint sweep.h5.checkpoint.partial sweep.h5.partial
}
check "killed until it ends" kill_until_done
enough() {
    [ $kills -gt 2 ] || problem "expected more than two kills, found $kills"
    [ $gone_on -gt 1 ] || problem "expected runs that go on, found $gone_on"
}
check "$kills kills, $gone_on runs that went on" enough

# ---- asked to stop ----

# $1 signal, $2 status, other arguments: the run's. Stops once the walk is under way.
stop() {
    local signal=$1 wanted=$2
    shift 2
    rm -f sweep.h5*
    # SIGINT is ignored in what a script starts in the background, but not in what timeout starts.
    timeout --foreground --preserve-status -s "$signal" "$(seconds $((duration / 3)))" "$program" run --output sweep.h5 "$@" \
        sweep.yaml >.out 2>.err </dev/null
    status=$?
    expect_status "$wanted"
    expect_no_out
    expect_absent sweep.h5.checkpoint.partial sweep.h5.lock
}
stopped() {
    stop "$@"
    expect_err '^bitsweep: stopped: 0 of 7 trials are in sweep\.h5, the walk under way is kept from (block [12] of 2|its last step, the head,) on; the same command goes on from there$'
    expect_there sweep.h5.checkpoint
    run run --output sweep.h5 sweep.yaml
    expect_status 0
    expect_err '^7 trials go on from (block [12] of 2|the head), as kept [0-9]+ s ago in sweep\.h5\.checkpoint$'
    expect_same_results reference.h5 sweep.h5
    expect_absent sweep.h5.checkpoint
}
check "Ctrl-C" stopped INT 130
check "SIGTERM" stopped TERM 143
check "SIGHUP" stopped HUP 129
check "SIGUSR1, by which a batch system announces an end" stopped USR1 75

not_kept() {
    stop TERM 143 --checkpoint off
    expect_err '^bitsweep: stopped: 0 of 7 trials are in sweep\.h5, nothing is kept of the walk under way; the same command goes on from there$'
    expect_absent sweep.h5 sweep.h5.checkpoint
}
check "without checkpoints nothing is kept, and said so" not_kept

# Reads nothing, and goes once the walk is kept; meanwhile the program stands still, so that it cannot
# have ended by then.
leave_early() {
    local i
    for ((i = 0; i < 6000; i++)); do
        [ ! -s sweep.h5.checkpoint ] || break
        sleep 0.01
    done
    kill -STOP "$(cat pid)"
    exec <&-
    kill -CONT "$(cat pid)"
}
closed_pipe() {
    rm -f sweep.h5*
    { sh -c 'echo $$ >pid; exec "$@"' sh "$program" "${again[@]}" 2>&1 >/dev/null </dev/null; echo $? >status; } |
        leave_early
    status=$(cat status)
    expect_status 141
    expect_there sweep.h5.checkpoint
    run run --quiet --output sweep.h5 sweep.yaml
    expect_status 0
    expect_same_results reference.h5 sweep.h5
}
check "nobody reads what is written" closed_pipe

no_reader_of_the_table() {
    { "$program" run --quiet --output sweep.h5 sweep.yaml 2>.err </dev/null; echo $? >status; } | true
    status=$(cat status)
    expect_status 141
    expect_err '^bitsweep: stopped: all trials are in sweep\.h5$'
}
check "nobody reads the table" no_reader_of_the_table

hang_up_ignored() {
    rm -f sweep.h5*
    local pid
    (
        trap '' HUP
        exec "$program" run --quiet --output sweep.h5 sweep.yaml >.out 2>.err </dev/null
    ) &
    pid=$!
    sleep "$(seconds $((duration / 4)))"
    kill -HUP $pid
    status=0
    wait $pid || status=$?
    expect_status 0
    expect_same_results reference.h5 sweep.h5
}
check "a signal that is ignored stays so" hang_up_ignored

# ---- where it is, and what else may be there ----

interrupt() { stop TERM 143 "$@"; }

in_scratch() {
    interrupt --scratch scratch
    expect_absent sweep.h5.checkpoint
    [ "$(ls scratch | grep -c '^sweep\.h5-[0-9a-f]\{8\}\.checkpoint$')" = 1 ] || problem "expected a checkpoint in the scratch folder"
    run plan --scratch scratch --output sweep.h5 sweep.yaml
    expect_out '^7 trials go on from .* in scratch/sweep\.h5-[0-9a-f]{8}\.checkpoint$'
    run run --quiet --scratch scratch --output sweep.h5 sweep.yaml
    expect_status 0
    expect_same_results reference.h5 sweep.h5
    [ -z "$(ls -A scratch)" ] || problem "expected nothing in the scratch folder"
}
check "in the scratch folder" in_scratch

# $1 what is said of it
not_used() {
    run run --output sweep.h5 "${3:-sweep.yaml}"
    expect_status 0
    expect_err "^bitsweep: a checkpoint is not used: sweep\.h5\.checkpoint: $1"
    ! grep -q 'go on from' .err || problem "expected the walk to begin anew"
    [ -z "$2" ] || expect_same_results "$2" sweep.h5
    rm -f sweep.h5.checkpoint
}
damaged() {
    interrupt
    local old at=$(($(stat -c %s sweep.h5.checkpoint) / 2))
    old=$(od -An -tu1 -j "$at" -N1 sweep.h5.checkpoint)
    poke sweep.h5.checkpoint "$at" "\\x$(printf %x $((old ^ 0x55)))"
    not_used 'damaged' reference.h5
}
check "damaged" damaged
cut_short() {
    interrupt
    truncate -s -1 sweep.h5.checkpoint
    not_used 'damaged' reference.h5
    interrupt
    truncate -s 100 sweep.h5.checkpoint
    not_used '.*cut short' reference.h5
}
check "cut short" cut_short
foreign() {
    interrupt
    sed 's/bits: \[3, 4\]/bits: [2]/' sweep.yaml >other.yaml
    not_used 'of other trials' '' other.yaml
    interrupt
    sed 's/windows: 24, tokens: 64}$/windows: 20, tokens: 64}/' sweep.yaml >other.yaml
    not_used 'of another model, of other texts' '' other.yaml
}
check "of other trials, of other texts" foreign
stranger() {
    rm -f sweep.h5*
    ln -s /etc/passwd sweep.h5.checkpoint
    not_used 'no file of this user' reference.h5
}
check "a link" stranger

partly() {
    interrupt
    sed 's/bits: \[3, 4\], group_size: 64}/bits: [3, 4, 8], group_size: 64}/' sweep.yaml >grown.yaml
    run run --quiet --output grown.h5 grown.yaml
    run run --output sweep.h5 grown.yaml
    expect_status 0
    expect_err '^7 trials go on from'
    expect_err '^3 trials to run: 3 recipes in 1 walk'
    expect_same_results grown.h5 sweep.h5
    interrupt
    sed '/algorithm: gptq/,+1d' sweep.yaml >shrunk.yaml
    run run --quiet --output shrunk.h5 shrunk.yaml
    run run --output sweep.h5 shrunk.yaml
    expect_err '^5 trials go on from'
    expect_same_results shrunk.h5 sweep.h5
}
check "of a config that has grown, or shrunk, since" partly

planned() {
    rm -f sweep.h5*
    local most="checkpoint of a walk: at most [1-9][0-9]* MB, twice that while one replaces another"
    run plan --output sweep.h5 sweep.yaml
    expect_out "^$most, in sweep\.h5\.checkpoint\$"
    run plan --scratch scratch --output sweep.h5 sweep.yaml
    expect_out "^$most, in scratch/sweep\.h5-[0-9a-f]{8}\.checkpoint\$"
    run plan --checkpoint off --output sweep.h5 sweep.yaml
    ! grep -q 'checkpoint of a walk' .out || problem "expected no word of checkpoints"
}
check "plan says what they take, and where" planned

little_memory() {
    interrupt --memory 2G
    run run --threads 1 --memory "$memory" --output sweep.h5 sweep.yaml
    expect_status 0
    expect_err '^[2-7] trials go on from'
    expect_same_results reference.h5 sweep.h5
}
check "goes on in less memory" little_memory

wrong_interval() {
    run run --checkpoint "$1" sweep.yaml
    expect_refusal '--checkpoint takes seconds or off, not'
}
for value in on -1 5x ''; do check "refused: --checkpoint '$value'" wrong_interval "$value"; done

finish
