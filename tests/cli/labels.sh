#!/bin/bash
# Trials that would go by one name are told apart, and those of other programs and machines are marked.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
. "$project/tests/cli/support/safetensors.bash"

make_model model
make_texts
config sweep.yaml 3 64 <<'EOF'
sweep:
  - algorithm: [rtn, gptq]
    weights: {bits: 3, group_size: 128}
EOF

# One bit of one weight.
flip_bit() {
    local offset old
    offset=$(tensor_begin "$1" model.norm.weight)
    old=$(od -An -tu1 -j "$offset" -N1 "$1")
    poke "$1" "$offset" "\\x$(printf %x $((old ^ 1)))"
}

retrained() {
    run run --quiet --output trained.h5 sweep.yaml
    expect_status 0
    [ "$(labels trained.h5 | paste -sd, -)" = 'unquantized,rtn w3 g128,gptq w3 g128' ] ||
        problem "expected plain labels, found $(labels trained.h5 | paste -sd, -)"
    flip_bit model/model.safetensors
    run run --quiet --output trained.h5 sweep.yaml
    expect_status 0
    [ "$(labels trained.h5 | sort -u | wc -l)" = 6 ] ||
        problem "expected six labels, found $(labels trained.h5 | paste -sd, -)"
    [ "$(labels trained.h5 | grep -c ' model=[0-9a-f]\{8\}$')" = 6 ] ||
        problem "expected the digest in each, found $(labels trained.h5 | paste -sd, -)"
    cp trained.h5 copy.h5
    run diff trained.h5 copy.h5
    expect_out '^6 compared: 0 differ significantly .* 6 have the same bits'
    run plot trained.h5 perplexity_vs_bits --output charts
    expect_status 0
    [ "$(ls charts/*.png | wc -l)" = 2 ] ||
        problem "expected a chart for each of the models, found $(ls charts)"
}
check "a model that was trained on under its old name" retrained

recalibrated() {
    run run --quiet --output windows.h5 sweep.yaml
    sed 's/calibration.txt, windows: 2/calibration.txt, windows: 4/' sweep.yaml >more.yaml
    run run --quiet --output windows.h5 more.yaml
    expect_status 0
    [ "$(labels windows.h5 | grep -c '^gptq w3 g128 cal=[24]x64$')" = 2 ] ||
        problem "expected the windows in the labels, found $(labels windows.h5 | paste -sd, -)"
    [ "$(labels windows.h5 | grep -c '^rtn w3 g128$')" = 1 ] || problem "expected rtn once"
}
check "another calibration" recalibrated

# What varies as columns, and every value in a row of its own.
split() {
    run table --split seeds.h5
    expect_status 0
    expect_out '^algorithm   +seed +weight '
    expect_out '^unquantized +— '
    expect_out '^rtn +— '
    expect_out '^gptq +2 '
    expect_out '^gptq +mean of 3 '
    run table --split --format latex --where 'algorithm = rtn' seeds.h5 # nothing varies
    expect_out '^rtn w3 g128 & '
    run table --values --format csv --columns perplexity,kld_mean seeds.h5
    expect_status 0
    expect_out '^trial,model,text,label,evaluation,name,value,se,df,calibration_sd,n,unit'
    [ "$(wc -l <.out)" = 10 ] || problem "expected two values of four trials and one of the unquantized: $(wc -l <.out)"
    expect_out ',gptq w3 g128 seed=1,perplexity,kld_mean,[0-9.e-]+,[0-9.e-]+,[0-9.]*,[0-9.e-]+,189,nats'
    run table --values seeds.h5
    expect_refusal '--values is a table for programs'
    run table --values --items seeds.h5
    expect_refusal 'ask for one'
}

seeds() {
    sed 's/windows: 2, tokens: 64}/windows: 2, tokens: 64, seed: [0, 1, 2]}/' sweep.yaml >seeds.yaml
    run plan seeds.yaml
    expect_out 'gptq w3 g128 seed=2$'
    run run --quiet --output seeds.h5 seeds.yaml
    expect_status 0
    expect_out '^gptq w3 g128 seed=1 '
    expect_out '^gptq w3 g128, mean of 3 .* ± .* ± '
    [ "$(fields seeds.h5 | grep -c '"calibrations": 3')" = 3 ] || problem "expected 3 of 3 draws"
    ! fields seeds.h5 | grep '"calibrations": 3' -A 1 | grep -q 'calibration_sd": null' ||
        problem "expected the spread beside the trials"
    run run --quiet --output seeds.h5 seeds.yaml
    [ "$(labels seeds.h5 | wc -l)" = 5 ] || problem "expected no trial twice"
}
check "seeds of calibration are an axis" seeds
check "--split and --values" split

provenance() {
    run run --quiet --threads 1 --output mixed.h5 sweep.yaml
    ! grep -q '‡' .out || problem "expected no marks in a file of one run"
    sed 's/bits: 3/bits: [3, 4]/' sweep.yaml >wider.yaml
    run run --quiet --threads 2 --output mixed.h5 wider.yaml
    expect_out '^rtn w4 g128 ‡2 '
    expect_out '^not marked: commit '
    expect_out '^‡2: commit '
    [ "$(grep -c '^rtn w3 g128 ‡' .out)" = 0 ] || problem "expected no mark on the first run's rows"
}
check "rows of another run's threads are marked" provenance

finish
