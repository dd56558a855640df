#!/bin/bash
# Parts of a sweep merged are one run: the same tables and charts to the byte. And what users ask of
# them: which trials, which to take, and gates.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model one
make_model two
sed -i 's/"rope_theta": 10000/"rope_theta": 20000/' two/config.json
make_texts
config both.yaml 6 <<'EOF'
sweep:
  - algorithm: [rtn, gptq]
    weights: {bits: [3, 4], group_size: channel}
EOF
sed -i 's/^model: .*/model: [one, two]/' both.yaml

runs() {
    run run --quiet --output whole.h5 both.yaml
    expect_status 0
    run run --quiet --model two --output b.h5 both.yaml
    expect_status 0
    run run --quiet --model one --output a.h5 both.yaml
    expect_status 0
}
check "one run, and one a model" runs

shown=bits_per_weight,perplexity,perplexity_delta,kld_mean
tables() {
    local style
    run merge --output merged.h5 b.h5 a.h5
    expect_status 0
    expect_err '^merged.h5: 10 trials of 2 files$'
    expect_same_results whole.h5 merged.h5
    for style in terminal markdown latex; do
        run table --format $style --columns $shown whole.h5
        sed 's/begun .*//' .out >whole.out
        run table --format $style --columns $shown merged.h5
        sed 's/begun .*//' .out | cmp -s whole.out || problem "expected the same table in $style"
    done
}
check "merged, every field and every table is that of one run" tables

other_config() {
    sed 's/\[rtn, gptq\]/rtn/; s/\[3, 4\]/3/' both.yaml >other.yaml
    run run --quiet --model one --output other.h5 other.yaml
    expect_status 0
    run merge --output three.h5 a.h5 b.h5 other.h5
    expect_status 0
    expect_err '^three.h5: 10 trials of 3 files$'
    expect_err '^three.h5: has the config of a.h5; 1 other differs from it and is left out'
}
check "a config that is left out is told of" other_config

charts() {
    local chart
    run plot --output whole whole.h5 perplexity_vs_bits
    expect_status 0
    run plot --output merged merged.h5 perplexity_vs_bits
    expect_status 0
    for chart in whole/*; do
        cmp -s "$chart" "merged/${chart#*/}" || problem "expected the same bytes in $chart"
    done
}
check "and every chart" charts

refused() {
    run merge --output merged.h5 a.h5
    expect_refusal 'merged.h5: is there already'
    run merge a.h5
    expect_status 2
    expect_err 'expected --output PATH'
}
check "a file that is there is not written over" refused

chosen() {
    run table --where 'model = two and bits <= 3' --sort -kld_mean --columns kld_mean --format csv \
        merged.h5
    expect_status 0
    [ "$(wc -l <.out)" = 3 ] || problem "expected two trials"
    run table --where 'bitss <= 3' merged.h5
    expect_refusal "character 1: 'bitss' is no column \(did you mean 'bits'\?\)"
    run choose --bits 3 merged.h5
    expect_status 0
    expect_out '^recommended: '
    expect_out ' 4 bits '
    run choose --memory 1M --where 'bits = 3 and model = one' merged.h5
    expect_status 1
    expect_out '^none of 2 holds$'
}
check "trials are chosen by a condition, and to be taken" chosen

pivots() {
    run table --pivot model merged.h5
    expect_status 0
    expect_out '^recipe +weight +perplexity +perplexity$'
    expect_out '^gptq w4 channel +4\.07 +[0-9.]+ ± [0-9.]+ +[0-9.]+ ± [0-9.]+$'
    [ "$(grep -c '^gptq w4 channel' .out)" = 1 ] || problem "expected a row a recipe"
    run table --pivot text --columns perplexity,kld_mean --format latex --where 'bits < 16' merged.h5
    expect_status 0
    expect_out '^\\label\{tab:two\}$'
    expect_out '\\textbf\{'
    run table --pivot recipe merged.h5
    expect_refusal "expected model or text"
    run table --pivot text --format csv merged.h5
    expect_refusal "for the eye"
    run table --pivot text --group-by bits merged.h5
    expect_refusal 'which --group-by cannot group'
}
check "recipes in rows, models or texts side by side" pivots

gates() {
    run table --fail-if 'perplexity_delta > 1e9' merged.h5
    expect_status 0
    run table --fail-if 'kld_mean > 0' merged.h5
    expect_status 1
    expect_err "^bitsweep: --fail-if 'kld_mean > 0' holds of 8 of 8: "
    run table --fail-if 'seconds_quantize > 1e9 and bits = 16' merged.h5
    expect_status 0
    run table --positions --where 'bits = 3 and model = one' --fail-if 'bits = 3' --format csv merged.h5
    expect_status 1
    expect_err 'holds of 2 of 2: '
    [ "$(tail -n +2 .out | cut -d, -f1 | sort -u | wc -l)" = 2 ] || problem "expected two trials"
    run diff --fail-if 'delta_perplexity > 0' whole.h5 merged.h5
    expect_status 0
    run diff --fail-if 'pairing != paired' whole.h5 a.h5
    expect_status 1
    expect_err "holds of 5 of 10: unquantized \(two on "
    run diff --fail-if 'delta_perplexity != 0' --between 'rtn w3*' 'gptq w3*' a.h5
    expect_status 1
    expect_err 'holds of 1 of 1: rtn w3 channel / gptq w3 channel \(one on '
}
check "gates" gates

finish
