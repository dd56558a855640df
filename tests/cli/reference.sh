#!/bin/bash
# `reference:` beside `model:`: each other model is measured as its files have it, against that one.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model one
make_model two
make_texts
sed -i 's/"rms_norm_eps": 1e-05/"rms_norm_eps": 1e-04/' two/config.json
cmp -s one/config.json two/config.json && exit 1

# sweep FILE MODELS REFERENCE [GRID KEY]
sweep() {
    cat >"$1" <<END
model: $2
reference: $3
evaluation:
  perplexity:
    - {text: evaluation.txt, windows: 2, tokens: 64}
  layer_error: {windows: 1}
sweep:
  - algorithm: rtn
    weights: {bits: 4, group_size: channel}
    $4
END
}

compared() {
    sweep sweep.yaml two one ''
    run run --quiet sweep.yaml
    expect_status 0
    expect_out '^ *two +as published +16\.00 .* [+-]?[0-9.]+ ± '
    expect_out '^ *one +unquantized '
    expect_out '^ *one +rtn w4 channel '
    ! grep -q '^two *rtn' .out || problem "the compared model was quantized"
    run run sweep.yaml
    expect_status 0
    ! grep -q "trials to run" .err || problem "a second run begins anew"
}
check "the reference is added, its recipes are run, and the other model is as it is" compared

# perplexity CONFIG LABEL: of a trial, as its results have it.
perplexity() {
    "$program" table --format json "results/${1%.yaml}.h5" |
        awk -v label="\"$2\"," '/"label":/ { found = $2 == label || $2 " " $3 == label }
                                found && /"perplexity":/ { print $2; exit }'
}

# With the weights of its reference, and positions of its own.
make_model turned
sed -i 's/"rope_theta": 10000.0/"rope_theta": 500.0/' turned/config.json
own_positions() {
    sweep turned.yaml turned one ''
    sed 's/turned/one/; /reference:/d; s/^model: .*/model: turned/' turned.yaml >alone.yaml
    run run --quiet turned.yaml
    expect_status 0
    run run --quiet alone.yaml
    expect_status 0
    local compared alone
    compared=$(perplexity turned.yaml "as published")
    alone=$(perplexity alone.yaml unquantized)
    [ -n "$compared" ] && [ "$compared" = "$alone" ] ||
        problem "$compared beside the reference, $alone alone"
    [ "$compared" != "$(perplexity turned.yaml unquantized)" ] || problem "as the reference"
}
check "a compared model has the rotary positions of its own" own_positions

refused() { # MODELS REFERENCE KEY MESSAGE
    sweep refused.yaml "$1" "$2" "$3"
    run plan refused.yaml
    expect_status 2
    expect_err "$4"
}
check "a grid for a compared model alone" refused two one 'model: two' \
    'refused.yaml:2:12: error: a grid is for other models than the reference .one. alone'

make_model small
sed -i 's/"num_hidden_layers": 2/"num_hidden_layers": 1/' small/config.json
check "another shape" refused small one '' \
    "'small' has num_hidden_layers 1, but its reference 'one' has 2: only models of the same shape"

make_model narrow
sed -i 's/"num_attention_heads": 4/"num_attention_heads": 8/; s/"head_dim": 64/"head_dim": 32/
    s/"num_key_value_heads": 2/"num_key_value_heads": 4/' narrow/config.json
check "other heads" refused narrow one '' \
    "'narrow' has num_attention_heads 8, but its reference 'one' has 4: only models of the same shape"

make_model spoken
sed -i 's/"Ġthe":/"SWAP":/; s/"Ġa":/"Ġthe":/; s/"SWAP":/"Ġa":/' spoken/tokenizer.json
check "another tokenizer" refused spoken one '' \
    "the tokenizers of 'spoken' and of its reference 'one' are not the same: 'evaluation.txt'"

finish
