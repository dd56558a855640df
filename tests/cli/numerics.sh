#!/bin/bash
# Numerics: how they are chosen, what of them a result file keeps, and where it is said that they
# differ.
# Figures: run at every level of the processor.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model model
make_texts
config_one plain.yaml
{ cat plain.yaml; echo "numerics: native"; } >native.yaml

# field NAME FILE: the field of every trial, in one line.
field() { "$program" table --format json "$2" | sed -n "s/^ *\"$1\": \"\(.*\)\",$/\1/p" | tr '\n' ' '; }

chosen() {
    run plan plain.yaml
    expect_status 0
    expect_out 'by portable numerics$'
    run plan native.yaml
    expect_out 'by native numerics$'
    run plan --numerics portable native.yaml
    expect_out 'by portable numerics$'
    run describe numerics
    expect_out '^portable: '
    expect_out 'the same bits on every processor$'
}
check "portable ones are used, unless the config or the command line has others" chosen

refused() {
    run plan --numerics portabel plain.yaml
    expect_refusal "--numerics takes portable or native \(did you mean 'portable'\?\), not 'portabel'"
    run table --numerics portable plain.yaml
    expect_refusal "unknown option"
    { cat plain.yaml; echo "numerics: naive"; } >wrong.yaml
    run plan wrong.yaml
    expect_refusal "wrong\.yaml:[0-9]+:11: error: numerics is 'naive', expected portable or native"
    { cat plain.yaml; echo "numerics: [native]"; } >wrong.yaml
    run plan wrong.yaml
    expect_refusal "numerics is a list, expected portable or native"
}
check "what is none is refused with the names there are" refused

kept() {
    run run --quiet --output one.h5 plain.yaml
    expect_status 0
    [ "$(field numerics one.h5)" = "portable portable " ] || problem "found $(field numerics one.h5)"
    [ "$(labels one.h5 | sed -n 1p)" = "unquantized" ] || problem "expected no numerics in its label"
    run run --quiet --output two.h5 native.yaml
    expect_status 0
    [ "$(field numerics two.h5)" = "native native " ] || problem "found $(field numerics two.h5)"
    local id
    for id in $(field id one.h5); do
        [ -z "$(field id two.h5 | grep "$id")" ] || problem "expected other ids, found $id in both"
    done
}
check "every trial keeps its own, and its id depends on them" kept

# A second run into the same file adds trials; none is taken for another.
together() {
    cp one.h5 both.h5
    run run --quiet --output both.h5 --numerics native plain.yaml
    expect_status 0
    [ "$(labels both.h5 | sort | tr '\n' ',')" = "rtn w4 channel numerics=native,rtn w4 channel numerics=portable,unquantized numerics=native,unquantized numerics=portable," ] ||
        problem "found labels $(labels both.h5 | tr '\n' ',')"
    run diff both.h5 one.h5
    expect_status 0
    expect_out '2 compared: .* 2 have the same bits'
    ! grep -q 'other numerics' .out || problem "expected each to be paired with its own kind"
}
check "trials of both in one file are told apart" together

# Means are of one kind, and a chart is.
drawn() {
    config seeds.yaml 2 32 <<'END'
sweep:
  - {algorithm: gptq, weights: {bits: 4, group_size: 128}}
END
    sed -i 's/windows: 2, tokens: 64}/windows: 2, tokens: 64, seed: [0, 1]}/' seeds.yaml
    local numerics
    for numerics in portable native; do
        run run --quiet --numerics $numerics --output seeds.h5 seeds.yaml
        expect_status 0
    done
    run table seeds.h5
    expect_out '^gptq w4 g128 numerics=portable, mean of'
    expect_out '^gptq w4 g128 numerics=native, mean of'
    run plot seeds.h5 perplexity_vs_bits --output charts
    expect_status 0
    [ "$(cd charts && echo *.png)" = "perplexity_vs_bits.png perplexity_vs_bits_native.png" ] ||
        problem "expected a chart of each kind, found $(ls charts)"
    grep -q 'gptq w4 g128 numerics=portable' charts/perplexity_vs_bits.tsv ||
        problem "expected the numerics in the label"
    ! grep -q native charts/perplexity_vs_bits.tsv || problem "expected one kind in a chart"
    ! grep -q portable charts/perplexity_vs_bits_native.tsv || problem "expected one kind in a chart"
}
check "means and charts are of one of them" drawn

compared() {
    run diff one.h5 two.h5
    expect_status 0
    expect_out '^2 of 2 were computed by other numerics'
    run diff --format csv one.h5 two.h5
    expect_out 'tokens,numerics_a,numerics_b,id_a,id_b,'
    expect_out ',portable,native,'
    run diff one.h5 one.h5
    ! grep -q 'other numerics' .out || problem "expected no note on the same file"
}
check "diff says where they differ" compared

published() {
    {
        cat plain.yaml
        cat <<'END'
expected:
  - source: "an earlier run"
    text: evaluation
    numerics: portable
    values:
      model: {unquantized: 10.00}
END
    } >expected.yaml
    run run --quiet --output one.h5 expected.yaml
    expect_status 0
    ! grep -q 'other numerics' .out || problem "expected no note on figures of the same numerics"
    run run --quiet --numerics native --output two.h5 expected.yaml
    expect_status 0
    expect_out '^1 published: of other numerics than the trials beside them$'
    sed -i 's/numerics: portable/numerics: other/' expected.yaml
    run plan expected.yaml
    expect_refusal "numerics is 'other', expected portable or native"
}
check "a table says where published figures came of others" published

finish
