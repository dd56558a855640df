#!/bin/bash
# A config of several models: one result file, the models in the config's order whichever is run
# first, and nothing begun that a missing model would end.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model one
make_model two
sed -i 's/"rope_theta": 10000/"rope_theta": 20000/' two/config.json
cmp -s one/config.json two/config.json && exit 1
make_texts

# sweep FILE MODELS: two grids, the second for one model only.
sweep() {
    cat >"$1" <<END
model: $2
calibration: {text: calibration.txt, windows: 2, tokens: 64}
evaluation:
  perplexity:
    - {text: evaluation.txt, windows: 2, tokens: 64}
  layer_error: {windows: 1}
sweep:
  - algorithm: [rtn, gptq]
    weights: {bits: 4, group_size: channel}
  - algorithm: rtn
    model: two
    weights: {bits: 3, group_size: 64}
END
}
sweep sweep.yaml '[two, one]'

# "model label" of every trial, in the file's order.
trials() {
    "$program" table --format json "$1" |
        sed -n 's/^ *"label": "\(.*\)",$/\1/p; s/^ *"model": "\(.*\)",$/\1/p' | paste -d, - - |
        sed 's/\(.*\),\(.*\)/\2 \1/'
}
cat >wanted <<'EOF_TRIALS'
two unquantized
two rtn w4 channel
two gptq w4 channel
two rtn w3 g64
one unquantized
one rtn w4 channel
one gptq w4 channel
EOF_TRIALS

plans() {
    run plan --output none.h5 sweep.yaml
    expect_status 0
    expect_out '^two$'
    expect_out '^one$'
    expect_out '^4 of 4 trials to run: 3 recipes in 1 walk'
    expect_out '^3 of 3 trials to run: 2 recipes in 1 walk'
    expect_out '^shared: 1 evaluation of the unquantized model instead of 3: [0-9.e-]+ Tflop saved$'
    expect_out '^shared: 1 evaluation of the unquantized model instead of 2: '
    [ "$(grep -c ' rtn w3 g64$' .out)" = 1 ] || problem "expected the second grid for one model"
    [ "$(grep -n '^two$' .out | cut -d: -f1)" = 1 ] || problem "expected the config's first model first"
    run plan --output none.h5 --model one sweep.yaml
    expect_out '^3 of 3 trials to run'
    ! grep -q '^4 of 4' .out || problem "expected one model's plan"
}
check "plan: a part for each model" plans

whole() {
    run run --output whole.h5 sweep.yaml
    expect_status 0
    expect_err '^model 1 of 2: two$'
    expect_err '^model 2 of 2: one$'
    expect_out '^2 models on evaluation'
    expect_out '^one +gptq w4 channel'
    trials whole.h5 >found
    expect_same_bytes wanted found
}
check "run: both, in the config's order" whole

in_parts() {
    run run --quiet --output parts.h5 --model one sweep.yaml
    expect_status 0
    expect_out '^one on evaluation'
    sed -n 's/^one /one /p' wanted >wanted_one
    trials parts.h5 >found
    expect_same_bytes wanted_one found
    "$program" table --format csv parts.h5 | sed 1d >before
    run plan --output parts.h5 sweep.yaml
    expect_out '^4 of 4 trials to run'
    expect_out '^0 of 3 trials to run'
    run run --output parts.h5 --model two --model one sweep.yaml
    expect_status 0
    expect_err '^model 1 of 2: two$'
    ! grep -q '^model 2' .err || problem "expected nothing of the model that is done"
    # The model that was there first stays as it was, times included, and stands where it belongs.
    "$program" table --format csv parts.h5 >after
    ! grep -qvxFf after before || problem "expected every old trial as it was"
    expect_same_results whole.h5 parts.h5
}
check "run --model: in parts, the same file" in_parts

grown() {
    sed 's/bits: 3/bits: [3, 8]/' sweep.yaml >grown.yaml
    run run --quiet --output parts.h5 --model two grown.yaml
    expect_status 0
    { sed '/w3 g64/q' wanted; echo 'two rtn w8 g64'; sed '1,/w3 g64/d' wanted; } >wanted_grown
    trials parts.h5 >found
    expect_same_bytes wanted_grown found
}
check "a config that grows: new trials among their model's" grown

deltas() {
    # The difference of each trial is to its own model's unquantized trial.
    "$program" table --format json whole.h5 |
        sed -n 's/^ *"\(model\|label\|perplexity\|perplexity_delta\)": "\{0,1\}\([^",]*\).*/\2/p' |
        paste -d, - - - - >figures
    awk -F, '$1 == "unquantized" { base[$2] = $3; models++ }
             $1 != "unquantized" && ($3 - base[$2] - $4 > 1e-6 || $4 - $3 + base[$2] > 1e-6) { bad = 1 }
             END { exit bad || models != 2 }' figures ||
        problem "expected differences to each model's own: $(tr '\n' ' ' <figures)"
}
check "differences are to the model's own unquantized trial" deltas

missing() {
    sweep missing.yaml '[one, gone, two, lost]'
    run run --output missing.h5 missing.yaml
    expect_status 2
    expect_no_out
    expect_err_lines 2
    expect_err '^bitsweep: gone: '
    expect_err '^lost: '
    expect_absent missing.h5 missing.h5.lock
    run run --quiet --output missing.h5 --model two --model one missing.yaml
    expect_status 0
    [ "$(labels missing.h5 | wc -l)" = 7 ] || problem "expected seven trials"
}
check "models that are not there are named before any work; --model does without them" missing

same_twice() {
    cp -r one copy
    sweep copies.yaml '[one, two, copy]'
    run run --output copies.h5 copies.yaml
    expect_refusal "'one' and 'copy' hold the same model"
    expect_absent copies.h5
}
check "the same model under two names is refused" same_twice

unknown() {
    run run --output x.h5 --model tow sweep.yaml
    expect_refusal "sweep.yaml has no model 'tow', expected two or one \(did you mean 'two'\?\)"
    run plan --model
    expect_refusal "a value is missing after"
    run table --model two whole.h5
    expect_refusal "unknown option"
}
check "--model checks its names" unknown

new_text() {
    cp whole.h5 renewed.h5
    { cat sweep.yaml; echo '# said later'; } >later.yaml
    run run --quiet --output renewed.h5 later.yaml
    expect_status 0
    grep -aq 'said later' renewed.h5 || problem "expected the new text of the config in the file"
    expect_same_results whole.h5 renewed.h5
}
check "a finished sweep takes the config's new text" new_text

compared() {
    run diff whole.h5 missing.h5
    expect_status 0
    expect_out '^7 compared: 0 differ significantly .* 7 have the same bits'
    expect_out '^two, rtn w3 g64 '
}
check "diff pairs trials of the same model" compared

finish
