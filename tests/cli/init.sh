#!/bin/bash
# init writes a config that runs as it is, and nothing over what is there.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
. "$project/tests/cli/support/space.bash"

make_model model

runs() {
    run init model
    expect_status 0
    expect_no_err
    expect_out '^model\.yaml$'
    grep -qx 'model: model' model.yaml || problem "expected the model as it was called"
    grep -q '^# What quantization costs model (llama, 2 blocks, positions for [0-9]* tokens)\.$' model.yaml ||
        problem "expected what model it is"
    run run --quiet --threads 2 model.yaml --set evaluation.perplexity.windows=2 --set calibration.windows=2 \
        --set weights.bits=4
    expect_status 0
    [ "$(labels results/model.h5 | paste -sd, -)" = 'unquantized,rtn w4 g128,gptq w4 g128' ] ||
        problem "expected three trials, found $(labels results/model.h5 | paste -sd, -)"
    expect_there results/model/pareto.png results/model/layer_error.png
}
check "the config of a folder runs as it is" runs

# From another folder, by a name that YAML would read otherwise.
elsewhere() {
    cp -r model 'a: #"b"'
    run init 'a: #"b"' -o deep/er/x.yaml
    expect_status 0
    expect_there deep/er/x.yaml
    run plan --quiet deep/er/x.yaml
    expect_status 0
    expect_out 'rtn w3 g128'
    # Everything that stands in a comment can be asked for.
    sed -i 's/^  # \(- algorithm\|  \(weights\|activations\|except\):\)/  \1/' deep/er/x.yaml
    run plan --quiet deep/er/x.yaml
    expect_status 0
    expect_out 'awq w3 g128'
    expect_out 'smoothquant w8'
    expect_out 'mxfp4'
}
check "-o in another folder, and an awkward name" elsewhere

within() {
    cp -r model within
    cd within && run init .
    expect_status 0
    expect_out '^within\.yaml$'
    run plan --quiet within.yaml
    expect_status 0
    cd ..
}
check "from within the model's folder" within

odd_rows() {
    cp -r model odd
    sed -i 's/"intermediate_size": [0-9]*/"intermediate_size": 832/' odd/config.json
    run init odd
    expect_status 0
    grep -q '^# Groups of 64 weights: rows of 832 are no whole number of groups of 128' odd.yaml ||
        problem "expected why groups are of 64"
    grep -q 'bits: \[3, 4, 8\], group_size: 64}' odd.yaml || problem "expected groups of 64"
    ! grep -q 'group_size: 128' odd.yaml || problem "expected no groups of 128"
}
check "groups that rows are a whole number of" odd_rows

short_positions() {
    cp -r model short
    sed -i 's/"max_position_embeddings": [0-9]*/"max_position_embeddings": 64/' short/config.json
    run init short
    expect_status 0
    [ "$(grep -c 'tokens: 64$' short.yaml)" = 2 ] || problem "expected windows of 64 tokens"
    run plan --quiet short.yaml
    expect_status 0
}
check "windows fit the model's positions" short_positions

refused() {
    cp model.yaml before.yaml
    run init model
    expect_refusal 'model\.yaml: is there already, expected a new file'
    expect_same_bytes model.yaml before.yaml
    run init nowhere
    expect_refusal "model 'nowhere' is no folder"
    expect_absent nowhere.yaml
    mkdir empty
    run init empty
    expect_refusal 'empty'
    expect_absent empty.yaml
    run init model -o model.yaml/x.yaml
    expect_refusal 'model\.yaml'
    run init
    expect_refusal 'MODEL'
}
check "nothing is written over, and what is no model is refused" refused

# Without the embedded texts, as where the program is installed.
installed() {
    local bin
    make -s -C "$project" -o all install BUILD="$(dirname "$program")" PREFIX=/usr DESTDIR="$PWD/prefix" >make.out 2>&1 ||
        problem "make install: $(tail -n 3 make.out)"
    bin=$PWD/prefix/usr/bin/bitsweep
    "$bin" init model -o installed.yaml >.out 2>.err || problem "expected exit status 0"
    expect_err 'bitsweep fetch wikitext2$'
    [ "$(grep -c 'text: wikitext2$' installed.yaml)" = 2 ] || problem "expected the known text"
}
check "where the embedded texts are not there a known one stands in the config" installed

finish
