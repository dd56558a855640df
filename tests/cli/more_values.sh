#!/bin/bash
# An evaluation and a metric that only the tests' program has: config, describe, tables, comparison,
# charts and the result file take them with no word of theirs anywhere else.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

program=$(dirname "$program")/with_plugins/bitsweep
make_model model
make_texts
sed -n '/.\{40\}/p' evaluation.txt | head -40 >lines.txt
config_more() {
    cat <<EOF
model: model
calibration: {text: calibration.txt, windows: 2, tokens: 64}
evaluation:
  last_word:
    - {text: lines.txt, lines: true, tokens: 48, windows: 12, least: ${1:-6}}
  perplexity:
    - {text: evaluation.txt, windows: 2, tokens: 64}
  layer_error: {windows: 2}
sweep:
  - algorithm: [rtn, gptq]
    weights: {bits: [2, 3], group_size: 64}
EOF
}

described() {
    run describe last_word
    expect_status 0
    expect_out '^last_word: whether the last word'
    expect_out 'figures of every token: nll target_is_top'
    expect_out 'value last_word_accuracy: share of last words'
    expect_out '^  least +4 +a whole number from 4 to 1000'
    run describe metric
    expect_out '^  zeros +weights that become zero'
    run describe zeros
    expect_out 'value zeros: share of weights'
    expect_out 'of every linear: output_shift: mean of'
}
check "describe" described

refused() {
    config_more 6 | sed 's/least/leats/' >wrong.yaml
    run run wrong.yaml
    expect_status 2
    expect_err "unknown key 'leats'.* \(did you mean 'least'\?\)"
    config_more 2 >wrong.yaml
    run run wrong.yaml
    expect_status 2
    expect_err "least is '2', expected a whole number from 4 to 1000"
    sed 's/last_word/last_wrod/' wrong.yaml >wrong2.yaml
    run run wrong2.yaml
    expect_status 2
    expect_err "unknown key 'last_wrod', expected perplexity, tasks, last_word, layer_error or channels"
}
check "what is wrong in the config" refused

config_more >more.yaml
swept() {
    run run --quiet --threads 1 --output one.h5 more.yaml
    expect_status 0
    expect_out 'model on lines, protocol last_word, 12 windows'
    expect_out 'weight +% +last_word_nll +beginning_nll +error %'
    expect_out '^gptq w2 g64 +2\.[0-9]{2} +[0-9.]+ ± [0-9.]+ +[0-9.]+ ± [0-9.]+ +[0-9.]+ ± '
    expect_out 'model on evaluation, protocol gptq, 2 of'
    run table --columns zeros,last_word_accuracy,bits --format markdown one.h5
    expect_out '^\| recipe \| zeros % \| last word % \| bits \|$'
    expect_out '^\| rtn w2 g64 \| [0-9.]+ \| [0-9.]+ ± [0-9.]+ \| 2 \|$'
    expect_out '^\| rtn w2 g64 \| [0-9.]+ \| — \| 2 \|$'
    run table --columns zeroes one.h5
    expect_status 2
    expect_err "'zeroes' is no column.* \(did you mean 'zeros'\?\)"
    run table --format csv one.h5
    expect_out ',last_word_accuracy,last_word_accuracy_se,last_word_accuracy_df,'
    expect_out ',fallbacks,dead_columns,zeros,output_shift'
    run diff --columns zeros one.h5 one.h5
    expect_out 'zeros A +zeros B'
    run diff --format csv one.h5 one.h5
    expect_out ',last_word_accuracy_a,last_word_accuracy_b,'
    expect_out ',zeros_a,zeros_b,'
}
check "run, table and diff" swept

# A program without them shows what the file holds.
unknown() {
    program=${program/with_plugins\/}
    run table one.h5
    program=${program%bitsweep}with_plugins/bitsweep
    expect_status 0
    expect_out 'last_word_accuracy +last_word_nll +beginning_nll'
    expect_out '^gptq w2 g64 +2\.[0-9]{2} +[0-9.]+ ± '
    expect_err "unknown key 'last_word'"
}
check "values that a program does not know" unknown

# Windows of unequal length, on any number of threads, with streams in files.
same() {
    run run --quiet --threads 3 --memory "$(least_memory --threads 3 more.yaml)" \
        --scratch . --output other.h5 more.yaml
    expect_status 0
    expect_same_results one.h5 other.h5
}
check "the same on any number of threads, with little memory" same

stopped() {
    # A signal at some point of the walk, then on from its checkpoint.
    "$program" run --quiet --checkpoint 0 --output kept.h5 more.yaml >/dev/null 2>&1 &
    local child=$!
    until [ -e kept.h5 ] || [ -n "$(find . -name '*checkpoint*' -size +0 | head -1)" ] ||
        ! kill -0 "$child" 2>/dev/null; do sleep 0.01; done
    kill -INT "$child" 2>/dev/null
    wait "$child"
    run run --quiet --output kept.h5 more.yaml
    expect_status 0
    expect_same_results one.h5 kept.h5
}
check "a walk that was stopped goes on" stopped

finish
