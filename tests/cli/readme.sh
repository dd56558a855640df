#!/bin/bash
# What the README shows is what the program does.
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

# The rows that no near tie can change: the same on every processor. The last column is the time.
figures() {
    sed '/^sweep:/,$d' configs/quickstart.yaml >configs/rows.yaml
    cat >>configs/rows.yaml <<'END'
sweep:
  - {algorithm: rtn, weights: {bits: [3, 4, 8], group_size: 128}}
END
    run run --quiet configs/rows.yaml --output rows.h5
    expect_status 0
    run table rows.h5 --format markdown
    expect_status 0
    grep -E '^\| (recipe \| bits|unquantized|rtn w)' .out | sed 's/[^|]*|$//' >measured
    [ "$(wc -l <measured)" = 5 ] || problem "expected a head and four rows"
    grep -E '^\| (recipe \| bits|unquantized|rtn w)' "$readme" >shown
    diff measured shown >differences || problem "a run and README differ: $(head -n 5 differences)"
}
check "its figures are what a run prints" figures

finish
