#!/bin/bash
# What the README shows is what the program does.
# Figures: run at every level of the processor.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"

readme=$project/README.md
ln -s "$project/datasets" datasets

example() {
    sed -n '/^```yaml$/,/^```$/p' "$readme" | sed '1d;$d' >example.yaml
    run plan example.yaml
    expect_status 0
    expect_out 'gptq w3 g128 act_order'
}
check "its example config is a valid sweep" example

# Every recipe of its table is one of the quickstart's, with the bits that the plan gives.
recipes() {
    local label
    mkdir configs
    cp "$project/configs/quickstart.yaml" configs
    run plan --quiet configs/quickstart.yaml
    expect_status 0
    sed -n 's/^| \([a-z][^|]*[a-z0-9]\) | *[0-9.]* |.*/\1/p' "$readme" >labels
    [ "$(wc -l <labels)" = 10 ] || problem "expected a table of ten recipes, found $(wc -l <labels)"
    while read -r label; do
        grep -qF -e "$label" .out || problem "the quickstart has no recipe '$label'"
    done <labels
}
check "the recipes of its table are the quickstart's" recipes

# Every digit of the table, on every processor; the last column is the time. The sanitizers take their
# time, and see the rows of rtn alone.
figures() {
    local patience=600
    local rows='rtn|gptq|awq|outliers' count=11
    sed '/^  tasks:/,/lastword/d; /^sweep:/,$d' configs/quickstart.yaml >configs/rows.yaml
    cat >>configs/rows.yaml <<'END'
sweep:
  - {algorithm: rtn, weights: {bits: [3, 4, 8], group_size: 128}}
END
    if [ -n "$sanitize" ]; then
        rows=rtn count=5
    else
        cat >>configs/rows.yaml <<'END'
  - {algorithm: [gptq, awq], weights: {bits: [3, 4], group_size: 128}}
  - algorithm: [[outliers, rtn], [outliers, smoothquant]]
    weights: {bits: 8, group_size: tensor, grid: smoothquant}
    activations: {bits: 8, sharing: window}
END
    fi
    run run --quiet configs/rows.yaml --output rows.h5
    expect_status 0
    run table rows.h5 --format markdown
    expect_status 0
    local row="^\\| (recipe \\| bits|unquantized|($rows)[+ ])"
    grep -E "$row" .out | sed 's/[^|]*|$//' | sort >measured
    [ "$(wc -l <measured)" = $count ] || problem "expected $count rows, found $(wc -l <measured)"
    grep -E "$row" "$readme" | sort >shown
    diff measured shown >differences || problem "a run and README differ: $(head -n 5 differences)"
}
check "its figures are what a run prints" figures

# Its figures of a task.
task() {
    sed '/^  perplexity:/,/evaluation.txt/d; /lastword/d; /^sweep:/,$d' configs/quickstart.yaml >configs/task.yaml
    echo 'sweep: [{algorithm: gptq, weights: {bits: 3, group_size: 128}}]' >>configs/task.yaml
    run run --quiet configs/task.yaml --output task.h5
    expect_status 0
    run table task.h5 --format markdown --columns acc
    local before after
    before=$(sed -n 's/^| unquantized | \([^|]*\) |$/\1/p' .out)
    after=$(sed -n 's/^| gptq w3 g128 | \([^|]*\) |$/\1/p' .out)
    [ -n "$after" ] && tr '\n' ' ' <"$readme" |
        grep -qF "$before % are right, after \`gptq w3 g128\` $after." ||
        problem "expected $before and after gptq $after"
}
check "its figures of a task are what a run prints" task

finish
