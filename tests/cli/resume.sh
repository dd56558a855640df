#!/bin/bash
# Alone: when it stops a run goes by how long a run takes.
# A sweep that is killed, at any moment, and started again gives what an uninterrupted one gives; no
# finished trial is lost, or run twice; one run at a time writes a result file.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model model
make_texts
config sweep.yaml 2 <<'EOF'
sweep:
  - algorithm: rtn
    weights: {bits: [2, 3, 4, 8], group_size: [channel, 64]}
  - algorithm: gptq
    weights: {bits: [3, 4], group_size: 64}
    act_order: [false, true]
  - algorithm: [awq, [awq, gptq]]
    weights: {bits: 4, group_size: 64}
  - algorithm: smoothquant
    alpha: [0.5, 0.8]
    weights: {bits: 8, group_size: channel}
    activations: {bits: 8, sharing: [token, static]}
EOF
trials=19
memory=$(least_memory sweep.yaml)
again=(run --quiet --memory "$memory" --output sweep.h5 sweep.yaml)

uninterrupted() {
    [ "$(walks --memory "$memory" sweep.yaml)" -gt 3 ] || problem "expected several walks in $memory"
    local start
    start=$(date +%s%N)
    run run --quiet --memory "$memory" --output reference.h5 sweep.yaml
    duration=$((($(date +%s%N) - start) / 1000)) # microseconds
    expect_status 0
    [ "$(labels reference.h5 | wc -l)" = $trials ] || problem "expected $trials trials"
    expect_absent reference.h5.lock reference.h5.partial
}
duration=1000000
check "an uninterrupted run, in several walks" uninterrupted

# ---- killed ----

seconds() { printf '%d.%06d' $(($1 / 1000000)) $(($1 % 1000000)); }

# A random number below $1, which may exceed what $RANDOM gives.
below() { echo $(((RANDOM * 32768 + RANDOM) % ($1 + 1))); }

# What any reader may rely on after any kill: the file, where it is there, holds whole trials, no
# fewer than before, each as the uninterrupted run has it.
finished=0
file_is_whole() {
    [ -e sweep.h5 ] || { [ $finished = 0 ] || problem "expected the file to stay"; return; }
    run table --format json sweep.h5
    expect_status 0
    local count
    count=$(grep -c '"status": "done"' .out)
    [ "$count" -ge $finished ] || problem "expected at least the $finished trials of before, found $count"
    finished=$count
    [ "$(compare sweep.h5 reference.h5 | grep -c ',1$')" = "$finished" ] ||
        problem "expected $finished trials with the same NLL bits"
}

# Starts the sweep and sends it a signal: after some microseconds, or ("commit") when the copy that a
# commit makes has been there for a moment.
killed_now=no
kill_once() {
    local moment=$1 signal=$2 pid spin
    touch started
    "$program" "${again[@]}" >.out 2>.err </dev/null &
    pid=$!
    if [ "$moment" = commit ]; then
        while kill -0 $pid && ! [ sweep.h5.partial -nt started ]; do :; done 2>/dev/null
        for ((spin = RANDOM % 3000; spin > 0; spin--)); do :; done # up to a few milliseconds
    else
        sleep "$(seconds "$moment")"
    fi
    kill -"$signal" $pid 2>/dev/null
    status=0
    { wait $pid; } 2>/dev/null || status=$?
    killed_now=no
    case $status in
    0) ;;
    137 | 143) killed_now=yes ;;
    *) problem "expected the run to end well or to be killed, found $status" ;;
    esac
    file_is_whole
}

# The same command until it ends well; its results are those of the uninterrupted run.
go_on() {
    run "${again[@]}"
    expect_status 0
    expect_same_results reference.h5 sweep.h5
    expect_absent sweep.h5.lock sweep.h5.partial
    rm -f sweep.h5
    finished=0
}

seed=${SEED:-$$}
RANDOM=$seed
echo "seed $seed; a run takes $duration microseconds"
wanted=${sanitize:+6}
wanted=${wanted:-12}
in_commit=0 beside=0
for ((kills = 0, tries = 0; kills < wanted && tries < 4 * wanted; tries++)); do
    # By turns at any moment of a run, in the first commit that comes, and with a signal that asks.
    case $((tries % 4)) in
    0 | 2) moment=$(below $duration) signal=KILL ;;
    1) moment=commit signal=KILL ;;
    3) moment=$(below $((duration / 2))) signal=TERM ;;
    esac
    check "killed by $signal at: $moment" kill_once "$moment" $signal
    if [ $killed_now = no ]; then
        check "ended before the kill, same results" go_on
        continue
    fi
    kills=$((kills + 1))
    [ ! sweep.h5.partial -nt started ] || in_commit=$((in_commit + 1))
    [ ! -e sweep.h5.lock ] || beside=$((beside + 1))
done
check "after $kills kills the run goes on to the same results" go_on

enough() {
    [ $kills = $wanted ] || problem "expected $wanted kills, found $kills"
    # Else the test has missed what it is for.
    [ $in_commit -gt 0 ] || problem "expected a kill within a commit"
    [ $beside -gt 0 ] || problem "expected a kill that leaves a lock"
}
check "$kills kills, $in_commit of them within a commit" enough

leftovers() {
    head -c 5000 reference.h5 >sweep.h5.partial
    : >sweep.h5.lock
    go_on
}
check "a copy and a lock from a run long dead" leftovers

# ---- done ----

cp reference.h5 sweep.h5
touch -d '2001-02-03 04:05:06' sweep.h5
done_already() {
    local before
    before=$(stat -c '%i %Y' sweep.h5)
    run run --memory "$memory" --output sweep.h5 sweep.yaml
    expect_status 0
    expect_out '^gptq w4 g64'
    [ "$(cat .err)" = sweep.h5 ] || problem "expected no progress, for there is nothing to do"
    expect_same_bytes sweep.h5 reference.h5
    [ "$(stat -c '%i %Y' sweep.h5)" = "$before" ] || problem "expected the file to be left alone"
    run plan --output sweep.h5 sweep.yaml
    expect_out "^0 of $trials trials to run"
}
check "a finished sweep is not run again" done_already

# ---- two at a time ----

rm sweep.h5
two_at_a_time() {
    local pid
    "$program" "${again[@]}" >/dev/null 2>&1 </dev/null &
    pid=$!
    while kill -0 $pid && ! [ -e sweep.h5.lock ]; do :; done 2>/dev/null
    kill -STOP $pid
    run "${again[@]}"
    expect_refusal '^bitsweep: sweep\.h5: another run is writing it$'
    # Other files are free, and readers are not kept out.
    run run --quiet --output other.h5 sweep.yaml
    expect_status 0
    kill -CONT $pid
    wait $pid || problem "expected the first run to end well"
    expect_same_results reference.h5 sweep.h5
    expect_same_results reference.h5 other.h5
    expect_absent sweep.h5.lock sweep.h5.partial
}
check "two runs at a time: the second is told" two_at_a_time

# Runs that begin while another ends see what that has done.
many_at_a_time() {
    local i
    rm -f sweep.h5
    config few.yaml 1 16 <<'EOF'
sweep:
  - algorithm: rtn
    weights: {bits: [3, 4], group_size: channel}
EOF
    for i in $(seq 12); do
        "$program" run --quiet --threads 1 --output few.h5 few.yaml >.out.$i 2>.err.$i </dev/null &
        eval "pid_$i=$!"
        sleep 0.005
    done
    local ended=0
    for i in $(seq 12); do
        status=0
        eval "wait \$pid_$i" || status=$?
        case $status in
        0) ended=$((ended + 1)) ;;
        2) grep -q 'another run is writing' .err.$i || problem "expected another message: $(cat .err.$i)" ;;
        *) problem "expected 0 or 2, found $status" ;;
        esac
    done
    [ $ended -gt 0 ] || problem "expected one run to end well"
    [ "$(labels few.h5 | wc -l)" = 3 ] || problem "expected three trials"
}
check "twelve runs at a time" many_at_a_time

# ---- a sweep that grows ----

cp reference.h5 sweep.h5
sed 's/bits: \[2, 3, 4, 8\]/bits: [2, 3, 5, 4, 8]/' sweep.yaml >grown.yaml
sed -i 's/group_size: \[channel, 64\]/group_size: [channel, 64]} # grown on purpose/; s/#\(.*\)}$/#\1/' grown.yaml
grows() {
    run plan --output sweep.h5 grown.yaml
    expect_out "^2 of $((trials + 2)) trials to run: 2 recipes"
    run run --quiet --output sweep.h5 grown.yaml
    expect_status 0
    # What was there stays to the last digit, times included; the new stands where the config has it.
    "$program" table --format csv reference.h5 >before
    "$program" table --format csv sweep.h5 >after
    [ "$(grep -vxFf before after | cut -d, -f2 | tr '\n' ,)" = "rtn w5 channel,rtn w5 g64," ] ||
        problem "expected two new trials, found $(grep -vxFf before after | cut -d, -f2 | tr '\n' ,)"
    ! grep -qvxFf after before || problem "expected every old trial as it was"
    grep -v '^[0-9a-f]*,rtn w5' after >after_without
    expect_same_bytes before after_without
    labels sweep.h5 >found
    "$program" plan --output fresh.h5 grown.yaml | sed -n 's/^[0-9a-f]\{16\}  open   evaluation  *//p' >expected
    expect_same_bytes expected found
    grep -aq 'grown on purpose' sweep.h5 || problem "expected the new config in the file"
    run run --quiet --output fresh.h5 grown.yaml
    expect_same_results fresh.h5 sweep.h5
}
check "a config with one bit width more: only that is run" grows

shrinks() {
    "$program" table --format csv sweep.h5 >before
    cp sweep.h5 before.h5
    run run --quiet --output sweep.h5 sweep.yaml
    expect_status 0
    "$program" table --format csv sweep.h5 >after
    sort before >before_sorted
    sort after | cmp -s - before_sorted || problem "expected every trial as it was, times included"
    [ "$(compare before.h5 sweep.h5 | grep -c ',1$')" = $((trials + 2)) ] ||
        problem "expected every token as it was"
    ! grep -aq 'grown on purpose' sweep.h5 || problem "expected the config that was run last"
}
check "a config with fewer trials: nothing is lost" shrinks

finish
