#!/bin/bash
# Tasks from the config to what is said of them: what a plan says they can show, the table, the items
# that turned, two files side by side, and the charts that are theirs.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model model
make_texts

# items WINDOWS: a config of the embedded endings, calibrated on so many windows.
items() {
    cat <<EOF
model: model
calibration: {text: calibration.txt, windows: $1, tokens: 32}
evaluation:
  tasks: [{task: endings, items: $project/datasets/commons/endings.jsonl, limit: 40}]
  layer_error: {windows: 0}
sweep:
  - algorithm: gptq
    weights: {bits: [2, 4], group_size: 64}
EOF
}
items 1 >one.yaml
items 2 >two.yaml

planned() {
    run plan --quiet --output one.h5 one.yaml
    expect_status 0
    expect_out '^evaluation: endings, 0-shot, 40 items in '
    expect_out '^  a change of acc against another trial is told from chance in 4 of 5 cases'
}
check "plan says what a task can show" planned

planned_few() {
    sed 's/limit: 40/limit: 1/' one.yaml >few.yaml
    run plan --quiet --output few.h5 few.yaml
    expect_status 0
    expect_out '^evaluation: endings, 0-shot, 1 item in 1 row of up to '
    expect_out '^  so few items cannot tell a change of acc from chance where 20 % of them turn or fewer'
}
check "plan of few items" planned_few

# With the same shots items share rows, unless a scale is of a whole row.
planned_apart() {
    cat >first.yaml <<'END'
kind: choice
items: items.jsonl
context: "{context}"
choices: "{endings}"
gold: "{label}"
first_shots: true
END
    cp "$project/datasets/commons/endings.jsonl" items.jsonl
    sed '/^sweep/,$d; s/\[{.*/[{task: first.yaml, shots: 3, limit: 6}]/' one.yaml >token.yaml
    cat >>token.yaml <<'END'
sweep:
  - algorithm: rtn
    weights: {bits: 8}
    activations: {bits: 8, sharing: token}
END
    sed 's/sharing: token/sharing: window/' token.yaml >window.yaml
    run plan --quiet token.yaml
    expect_out '6 items in [1-3] rows? of up to '
    run plan --quiet window.yaml
    expect_out '6 items in 6 rows of up to '
}
check "items lie apart where they would share a scale" planned_apart

# The result file lies elsewhere than the record, and what it says of the config still holds.
own_elsewhere() {
    sed '/^sweep/,$d; s/\[{.*/[{task: first.yaml, limit: 6}]/' one.yaml >own.yaml
    cat >>own.yaml <<'END'
sweep:
  - {algorithm: rtn, weights: {bits: 4}}
expected:
  - source: "A paper"
    text: first
    figure: acc
    values: {model: {unquantized: 0.31, rtn w4 channel: 0.29}}
charts: [acc_vs_bits]
END
    run run --quiet own.yaml
    expect_status 0
    expect_out '^published: A paper$'
    [ -s results/own/acc_vs_bits.tsv ] || problem "expected the chart"
    run table --format csv results/own.h5
    expect_no_err
    expect_out 'acc_published'
}
check "an own task's record and the result file lie apart" own_elsewhere

# A recipe that lays items out otherwise leaves the others' trials what they are.
measured_once() {
    run run --quiet --output token.h5 token.yaml
    expect_status 0
    sed -n '/algorithm/,$p' window.yaml >>token.yaml
    run plan --quiet --output token.h5 token.yaml
    expect_out '  done   .*rtn w8 channel a8 token$'
    expect_out '6 items in 6 rows of up to '
    expect_out '^1 of 3 trials to run'
}
check "trials stay what they are where a recipe is added that shares a scale" measured_once

tabled() {
    run run --quiet --output one.h5 one.yaml
    expect_status 0
    expect_out ' on endings, 0-shot, 40 items\. '
    expect_out 'of 2 differs? significantly from the unquantized model in acc'
}
check "the table" tabled

turned() {
    run table --items --format csv one.h5
    expect_status 0
    expect_out '^label,turned,line,id,gold,taken_before,taken_after,margin_before,margin_after,'
    # As many lines as the table counts.
    local counted
    counted=$("$program" table --format json one.h5 |
        awk '/^ *"(lost|gained)": [0-9]/ {sum += $2} END {print sum + 0}')
    [ "$(grep -c '^gptq ' .out)" = "$counted" ] && [ "$counted" -gt 0 ] ||
        problem "expected $counted items that turned, found $(grep -c '^gptq ' .out)"
    run table --items --columns acc_nrom one.h5
    expect_refusal "'acc_nrom'.*did you mean 'acc_norm'"
}
check "table --items" turned

compared() {
    run run --quiet --output two.h5 two.yaml
    expect_status 0
    run diff one.h5 two.h5
    expect_status 0
    expect_out '^A: one\.h5, B: two\.h5: acc\. '
    expect_out '^3 compared: .* 1 has the same bits'
    run diff --columns acc_norm one.h5 one.h5
    expect_out '^A: one\.h5, B: one\.h5: acc_norm\. '
    expect_out '^3 compared: 0 differ significantly .* 3 have the same bits'
}
check "diff" compared

# Any two trials of one file.
compared_within() {
    run diff --between "gptq w2 g64" "gptq w4 g64" one.h5
    expect_status 0
    expect_out '^one\.h5: A: gptq w2 g64, B: gptq w4 g64: acc\. '
    expect_out '^endings  *[0-9]'
    run diff one.h5 --between unquantized "gptq*" --format csv
    expect_status 0
    expect_out '^unquantized,gptq w2 g64,'
    expect_out '^unquantized,gptq w4 g64,'
    run diff --between "gptq w3 g64" unquantized one.h5
    expect_refusal "one\.h5: no trial is called 'gptq w3 g64', did you mean 'gptq w[24] g64'"
    run diff one.h5
    expect_refusal 'expected two result files, or one and --between TRIAL TRIAL'
    run diff one.h5 --between unquantized
    expect_refusal "a second value is missing after 'unquantized'"
}
check "diff --between" compared_within

drawn() {
    run plot --output charts one.h5
    expect_status 0
    expect_there charts/acc_vs_bits.png charts/pareto.png
    expect_absent charts/perplexity_vs_bits.png charts/perplexity_by_position.png charts/layer_error.png
}
check "plot draws what tasks have" drawn

# Beside a text, tasks have the charts of the values that are asked for.
drawn_beside() {
    sed 's/^evaluation:/&\n  perplexity: [{text: evaluation.txt, windows: 2, tokens: 32}]/
        s/windows: 0/windows: 1/' one.yaml >beside.yaml
    run run --quiet --output beside.h5 beside.yaml
    expect_status 0
    run plot --output beside beside.h5
    expect_status 0
    expect_there beside/pareto.png beside/layer_error.png beside/acc_vs_bits_endings.png
    expect_absent beside/pareto_endings.png beside/layer_error_endings.png
}
check "plot draws each chart of a text and tasks once" drawn_beside

finish
