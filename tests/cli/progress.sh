#!/bin/bash
# Alone: when it stops a run goes by how long a run takes.
# What a run tells as it goes: lines, objects for programs, a log, and what a stop kept.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
. "$project/tests/cli/support/space.bash"

make_model model
make_texts
config sweep.yaml 4 64 <<'EOS'
sweep:
  - algorithm: [rtn, gptq]
    weights: {bits: [3, 4], group_size: 64}
EOS

objects() {
    run run -o jsonl.h5 --progress jsonl --verbose sweep.yaml
    expect_status 0
    sed '/^{/!d' .err >objects
    python3 - objects <<'EOS' >said 2>&1 || problem "$(tail -n 1 said)"
import json, sys
events = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
steps = [e for e in events if e["event"] == "progress"]
assert steps[-1]["percent"] == 100 and steps[-1]["seconds_left"] == 0, steps[-1]
assert [s["percent"] for s in steps] == sorted(s["percent"] for s in steps), "percents fall"
assert all(1 <= s["walk"] <= s["walks"] and 1 <= s["block"] <= s["blocks"] == 3 for s in steps), steps
assert sum(e["event"] == "trial" for e in events) == 5, [e["event"] for e in events]
assert any(e["event"] == "plan" and e["text"].startswith("5 trials to run") for e in events), events
EOS
    [ "$(grep -cv '^{' .err)" = 1 ] || problem "expected objects, and the file's name, on stderr"
}
check "--progress jsonl: an object a line" objects

lines() {
    run run -o lines.h5 --verbose sweep.yaml
    expect_status 0
    expect_err '^ *[0-9]+ %  .* left  walk 1 of 1, block [12] of 2, (rtn|gptq|unquantized)'
    expect_err '^ *[0-9]+ %  .* left  walk 1 of 1, the head$'
    expect_err '^done: model, gptq w4 g64 on evaluation$'
    run run -o plain.h5 sweep.yaml
    ! grep -q '^done: ' .err || problem "told of a trial without --verbose"
    expect_same_results lines.h5 plain.h5
}
check "--verbose tells of blocks and trials" lines

logged() {
    run run -q -o quiet.h5 --log logs/run.log sweep.yaml
    expect_status 0
    [ "$(cat .err)" = quiet.h5 ] || problem "expected nothing but the file on stderr"
    grep -qv '^20[0-9-]*T[0-9:]*Z ' logs/run.log && problem "expected a time before every line"
    local words
    for words in 'bitsweep .*: run sweep\.yaml' '5 trials to run' '[0-9]* %, walk 1 of 1, block 2 of 2' \
        'done: model, rtn w3 g64 on evaluation' '5 trials done, 0 failed: quiet\.h5' 'ended with exit status 0'; do
        grep -q "Z $words" logs/run.log || problem "expected in the log: $words"
    done
    run run -q -o quiet.h5 --log logs/run.log sweep.yaml
    [ "$(grep -c 'ended with exit status 0' logs/run.log)" = 2 ] || problem "expected the log to be added to"
    run run -q -o wrong.h5 --log logs/run.log sweep.yaml --memory 1M
    expect_status 2
    grep -q 'Z the smallest walk needs' logs/run.log || problem "expected what was wrong in the log"
    printf 'modell: model\nsweep: 3\n' >mistakes.yaml
    run run -o wrong.h5 --log logs/wrong.log mistakes.yaml
    expect_status 2
    sed 's/^20[0-9-]*T[0-9:]*Z //' logs/wrong.log | sed '1d;$d' | cmp -s - .err ||
        problem "expected every mistake in the log: $(cat logs/wrong.log)"
    run run -q -o quiet.h5 --log /dev/full sweep.yaml
    expect_status 0
    expect_err '^bitsweep: /dev/full: not all of the log could be written'
}
check "--log has everything, with times, quiet or not" logged

# Stopped where it has begun: the log says what is kept, as stderr does.
stopped() {
    local child
    config long.yaml 20 256 <<'EOS'
sweep:
  - algorithm: gptq
    weights: {bits: [2, 3, 4, 5, 6, 8], group_size: [32, 64, 128]}
EOS
    "$program" run -o long.h5 --log stop.log --checkpoint 0 long.yaml >.out 2>.err </dev/null &
    child=$!
    for _ in $(seq 600); do grep -qs 'block 1 of 2' stop.log && break; sleep 0.05; done
    kill -TERM $child
    wait $child 2>/dev/null
    local moment
    moment=$(sed -n 's/^\(20[0-9-]*T[0-9:]*Z\) stopped: .* trials are in long\.h5.*/\1/p' stop.log)
    [ -n "$moment" ] || problem "expected what is kept in the log: $(tail -n 1 stop.log)"
    local since=$(($(date +%s) - $(date -d "$moment" +%s)))
    [ "$since" -ge 0 ] && [ "$since" -lt 300 ] || problem "expected the time of the stop, found $moment"
    expect_err '^bitsweep: stopped: .* trials are in long\.h5'
}
check "a stop tells the log what is kept" stopped

refused() {
    run run -o no.h5 --progress bar sweep.yaml
    expect_refusal "--progress takes auto, lines or jsonl, not 'bar'"
    run run -o no.h5 --log sweep.yaml/x.log sweep.yaml
    expect_refusal 'sweep\.yaml'
    mkdir folder
    run run -o no.h5 --log folder sweep.yaml
    expect_refusal 'folder: Is a directory'
    local name
    for name in sweep.yaml quiet.h5; do
        cp "$name" before
        run run -o no.h5 --log "$name" sweep.yaml
        expect_refusal "$name: is no log of a run"
        expect_same_bytes "$name" before
    done
    expect_absent no.h5
}
check "what cannot be told or logged is refused before anything runs" refused

finish
