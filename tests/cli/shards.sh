#!/bin/bash
# A sweep that is cut into shards: each trial is in one of them, each shard runs into a file of its
# own, and all files merged are one run, to the byte of every table and chart.
# Figures: run at every level of the processor.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model one
make_model two
sed -i 's/"rope_theta": 10000/"rope_theta": 20000/' two/config.json
make_texts
config sweep.yaml 4 <<'EOF'
sweep:
  - algorithm: rtn
    weights: {bits: [3, 4, 8], group_size: channel}
  - algorithm: [gptq, awq]
    weights: {bits: [3, 4], group_size: channel}
charts: [pareto]
EOF
sed -i 's/^model: .*/model: [one, two]/; /^calibration/s/tokens: 64}$/tokens: 64, seed: [0, 1]}/' sweep.yaml
sed -i 's/^  layer_error/    - {text: calibration.txt, windows: 3, tokens: 32}\n  layer_error/' sweep.yaml
trials=48 # 2 models x (unquantized, 3 recipes, 4 with 2 seeds) x 2 texts
shards=5

# Lines "id shard recipe" of `plan --shards`; a trial of the unquantized model may have several.
given_out() { sed -n 's/^\([0-9a-f]\{16\}\)  [a-z]*  *\([0-9-]*\)  *\S*  *\(.*\)$/\1 \2 \3/p' .out; }

planned() {
    run plan --quiet --shards $shards --output parts.h5 sweep.yaml
    expect_status 0
    given_out >all
    [ "$(wc -l <all)" = $trials ] || problem "expected $trials trials, found $(wc -l <all)"
    local k
    for k in $(seq $shards); do
        expect_out "^shard $k of $shards: [1-9][0-9]* trials?, [0-9]+ % of the work, in parts\.$k-of-$shards\.h5$"
        # Both texts of a recipe stand together.
        awk -v k="$k" '$2 == k { $1 = ""; print }' all | sort | uniq -c | grep -qv '^ *2 ' &&
            problem "expected both texts of each recipe in shard $k"
        run plan --quiet --shard $k/$shards --output parts.h5 sweep.yaml
        expect_status 0
        sed -n 's/^\([0-9a-f]\{16\}\) .*/\1/p' .out >own.$k
        awk -v k="$k" '$2 == k { print $1 }' all | grep -vxFf own.$k && problem "expected the trials of shard $k"
        run plan --quiet --shards $shards --output parts.h5 sweep.yaml
    done
    run plan --quiet --output parts.h5 sweep.yaml
    sed -n 's/^\([0-9a-f]\{16\}\) .*/\1/p' .out | sort >listed
    cat own.* | sort -u | cmp -s listed - || problem "expected every trial in a shard"
}
check "plan says which shard has which trial" planned

same_anywhere() {
    run plan --quiet --threads 1 --memory 400M --shards $shards --output parts.h5 sweep.yaml
    expect_there all
    given_out | cmp -s all - || problem "expected the same cut on any number of threads, with any memory"
}
check "every machine comes to the same cut" same_anywhere

runs() {
    local k
    run run --quiet --output whole.h5 sweep.yaml
    expect_status 0
    for k in $(seq $shards | tac); do
        run run --quiet --shard "$k/$shards" --output parts.h5 sweep.yaml
        expect_status 0
        expect_there "parts.$k-of-$shards.h5"
        expect_absent "parts.$k-of-$shards"
        [ "$(labels "parts.$k-of-$shards.h5" | wc -l)" = "$(wc -l <own.$k)" ] ||
            problem "expected the trials of the plan in shard $k"
    done
    expect_absent parts.h5
    run plan --quiet --shards $shards --output parts.h5 sweep.yaml
    [ "$(grep -c '^[0-9a-f]\{16\}  done' .out)" = $trials ] || problem "expected all trials to be done"
}
check "each shard into a file of its own" runs

merged() {
    local style chart
    run merge --output parts.h5 parts.*-of-$shards.h5
    expect_status 0
    expect_err "^parts.h5: $trials trials of $shards files$"
    expect_same_results whole.h5 parts.h5
    for style in terminal markdown latex; do
        run table --format $style --columns bits_per_weight,perplexity,perplexity_delta,kld_mean whole.h5
        sed 's/begun .*//' .out >whole.out
        run table --format $style --columns bits_per_weight,perplexity,perplexity_delta,kld_mean parts.h5
        sed 's/begun .*//; s/parts\.h5/whole.h5/g; s/tab:parts/tab:whole/' .out | cmp -s whole.out ||
            problem "expected the same table in $style"
    done
    run plot --output whole.charts --pictures png,svg,pdf,eps whole.h5
    expect_status 0
    run plot --output parts.charts --pictures png,svg,pdf,eps parts.h5
    expect_status 0
    for chart in whole.charts/*; do
        cmp -s "$chart" "parts.charts/${chart#*/}" || problem "expected the same bytes in $chart"
    done
}
check "merged they are one run: every field, table and chart" merged

not_twice() {
    rm -f parts.*-of-*.h5
    run run --quiet --shard 1/3 --output parts.h5 sweep.yaml
    expect_status 0
    expect_err '^shard 1 of 3: there is nothing to run$'
    # What an earlier run has, no shard computes.
    sed 's/bits: \[3, 4, 8\]/bits: [3, 4, 5, 8]/' sweep.yaml >grown.yaml
    local k
    for k in 1 2 3; do run run --quiet --shard $k/3 --output parts.h5 grown.yaml; done
    run merge --output grown.h5 parts.?-of-3.h5 parts.h5
    expect_status 0
    run run --quiet --output fresh.h5 grown.yaml
    expect_same_results fresh.h5 grown.h5
    run merge --output new.h5 parts.?-of-3.h5
    [ "$(labels new.h5 | grep -vc unquantized)" = 4 ] || problem "expected one new recipe on two models and texts"
}
check "what the whole sweep's file has is not run again" not_twice

more_than_there_are() {
    config_one few.yaml
    sed -i 's/^model: .*/model: one/' few.yaml
    run plan --quiet --shards 3 few.yaml
    expect_status 0
    expect_out '^shard 1 of 3: 1 trial, [0-9]+ % of the work'
    expect_out '^2 shards have no trials'
    run run --shard 3/3 few.yaml
    expect_status 0
    expect_err '^shard 3 of 3: there is nothing to run$'
}
check "more shards than trials" more_than_there_are

wrong() {
    run run --shard "$1" sweep.yaml
    expect_refusal "--shard takes a number of so many, such as 2/8, not '$1'"
}
for value in '' 1 0/3 4/3 1/2x -1/3 1/9999; do check "refused: --shard '$value'" wrong "$value"; done

finish
