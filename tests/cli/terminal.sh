#!/bin/bash
# What a terminal is shown: tables as wide as it is, no codes where TERM says it takes none, and
# nothing of what models, texts, servers and files say that would steer it.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model model
make_texts
config sweep.yaml 2 32 <<'EOF'
sweep:
  - algorithm: [rtn, [outliers, smoothquant]]
    weights: {bits: 4, group_size: tensor, grid: smoothquant}
    activations: {bits: 8, sharing: window}
EOF

# Bytes that begin a code, end a line early or turn the direction of writing.
steering='[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xaf]'
expect_plain() {
    local file
    for file in .out .err; do
        ! grep -qaP "$steering" $file ||
            problem "expected no control characters: $(grep -aP "$steering" $file | head -n 2 | cat -v)"
    done
}

# on_terminal COLUMNS TERM ARGUMENTS: what the program writes to a terminal of its own, in .out.
on_terminal() {
    local columns=$1 term=$2 words
    shift 2
    printf -v words ' %q' "$program" "$@"
    status=0
    TERM=$term timeout -k 5 "$patience" script -qec "stty cols $columns; $words" typescript \
        >/dev/null 2>&1 </dev/null || status=$?
    # A terminal ends lines with CR LF; script adds lines of its own.
    sed '/^Script \(started\|done\)/d; s/\r$//' typescript | sed '${/^$/d}' >.out
    : >.err
}

# Characters of the widest line.
widest() { LC_ALL=C.UTF-8 wc -L <.out; }

run run --quiet --output sweep.h5 sweep.yaml

fits() {
    local columns word
    for columns in 80 97 120 200 300; do
        on_terminal "$columns" xterm table sweep.h5
        expect_status 0
        [ "$(widest)" -le "$columns" ] || problem "expected at most $columns columns, found $(widest)"
        for word in bits/ perplexity Δ 'KL mean'; do
            sed '/not shown/,$d' .out | grep -q "$word" || problem "expected $word at $columns columns"
        done
        expect_plain
    done
    expect_out 'time$'
    on_terminal 80 xterm table sweep.h5
    expect_out '^not shown for want of width: '
    on_terminal 80 xterm plan --output none.h5 sweep.yaml
    expect_status 0
    [ "$(widest)" -le 80 ] || problem "expected a plan in 80 columns, found $(widest)"
    for word in run plan table plot diff fetch tokenize describe; do
        on_terminal 80 xterm $word --help
        [ "$(widest)" -le 80 ] || problem "expected $word --help in 80 columns, found $(widest)"
    done
    on_terminal 80 xterm describe
    [ "$(widest)" -le 80 ] || problem "expected describe in 80 columns, found $(widest)"
    on_terminal 80 xterm plan --places sweep.yaml
    expect_status 0
    expect_out '^  0-[0-9]+ +mlp.down_proj +weight +[0-9]+ x [0-9]+'
    expect_out '^  0-[0-9]+ +down_input +input +tokens x [0-9]+'
    [ "$(widest)" -le 80 ] || problem "expected places in 80 columns, found $(widest)"
    on_terminal 80 xterm diff sweep.h5 sweep.h5
    [ "$(widest)" -le 80 ] || problem "expected diff in 80 columns, found $(widest)"
}
check "a table is no wider than its terminal" fits

# Several models, long names and several draws of calibration: what is too wide goes on below, and no
# number is lost.
make_model other
sed -i 's/"rope_theta": 10000/"rope_theta": 20000/' other/config.json
cat >wide.yaml <<'EOF'
model: [model, {path: other, name: another model of a long name}]
calibration: {text: calibration.txt, windows: 1, tokens: 32, seed: [0, 1]}
evaluation: {perplexity: [{text: evaluation.txt, windows: 2, tokens: 32}]}
sweep:
  - algorithm: gptq
    weights: {bits: 4, group_size: 64}
    percdamp: [0.01, 0.05]
EOF
run run --quiet --output wide.h5 wide.yaml
wide() {
    local columns word
    expect_there wide.h5
    for columns in 40 50 80 120 200 300; do
        COLUMNS=$columns run table wide.h5
        expect_status 0
        [ "$(widest)" -le "$columns" ] || problem "expected at most $columns columns, found $(widest)"
        for word in bits/ perplexity Δ 'KL mean'; do
            sed '/not shown/,$d' .out | grep -q "$word" || problem "expected $word at $columns columns"
        done
        # of every value its error and what another draw does, wherever they stand
        COLUMNS=$columns run table wide.h5 --columns perplexity,perplexity_delta,kld_mean
        [ "$(widest)" -le "$columns" ] || problem "expected $columns columns of three values, found $(widest)"
        grep -o '±' .out | wc -l >"errors_$columns"
    done
    [ "$(cat errors_* | sort -u | wc -l)" = 1 ] ||
        problem "expected as many errors at any width: $(cat errors_* | tr '\n' ' ')"
    [ "$(cat errors_80)" -gt 30 ] || problem "expected errors of all values"
}
check "what is too wide goes on below" wide

# What is no table of results folds too, in a list where there is no room for columns.
narrow_texts() {
    local columns words
    for columns in 40 50 80; do
        for words in help 'plot --help' describe 'describe gptq' 'describe kv_cache' 'plan sweep.yaml' \
            'plan --places sweep.yaml' 'choose sweep.h5' 'choose sweep.h5 --bits 4' 'table sweep.h5 --layers --top 3' \
            'table wide.h5 --split'; do
            COLUMNS=$columns run $words
            expect_status 0
            [ "$(widest)" -le "$columns" ] || problem "$words: expected at most $columns columns, found $(widest)"
        done
        COLUMNS=$columns run choose sweep.h5
        expect_out 'loss of'
    done
}
check "texts fold to 40 columns" narrow_texts

columns_set() {
    local columns
    for columns in 80 120 250; do
        COLUMNS=$columns run table sweep.h5
        [ "$(widest)" -le "$columns" ] || problem "expected at most $columns columns, found $(widest)"
    done
    run table sweep.h5
    [ "$(widest)" -le 120 ] || problem "expected 120 columns in a pipe, found $(widest)"
    COLUMNS=80 run table sweep.h5
    cp .out at_80
    on_terminal 80 xterm table sweep.h5
    expect_same_bytes .out at_80
}
check "COLUMNS goes before; a pipe is 120 wide" columns_set

dumb() {
    local term
    for term in dumb ''; do
        on_terminal 100 "$term" run --output dumb.h5 sweep.yaml
        expect_status 0
        expect_out '^100 %  .* left$'
        expect_plain
        rm dumb.h5
    done
    on_terminal 100 xterm run --output dumb.h5 sweep.yaml
    grep -q "$(printf '\r')" .out || problem "expected one line of progress where codes are taken"
}
check "TERM=dumb: plain lines" dumb

# ---- text from outside ----

escape=$(printf '\033') bell=$(printf '\007')
hostile="${escape}]0;x${bell}${escape}[31m"

model_says() {
    cp -r model says
    sed -i 's/"vocab_size"/"\\u001b]0;x\\u0007\\u001b[31mkey\\nfake\\u202e\\u009b1m": 1, "vocab_size"/' says/config.json
    sed 's/^model: .*/model: says/' sweep.yaml >says.yaml
    run run --output says.h5 says.yaml
    expect_plain
    cat .out .err >both
    grep -qE '\\x1b\]0;x\\x07\\x1b\[31mkey\\nfake\\u202e\\u009b1m' both || problem "expected the key, escaped"
    rm -rf says says.h5
}
check "a key of config.json" model_says

pattern_says() {
    cp -r model says
    sed -i 's/"normalizer": *null/"normalizer": {"type": "Replace", "pattern": {"Regex": "(\\u001b[31m\\u202e"}, "content": "x"}/' says/tokenizer.json
    run tokenize says evaluation.txt
    expect_status 2
    expect_plain
    expect_err '\\x1b\[31m'
    rm -r says
}
check "a pattern of a tokenizer" pattern_says

shard_says() {
    cp -r model says
    rm says/model.safetensors
    printf '{"weight_map": {"model.norm.weight": "%s"}}' '\u001b[31mshard\nfake.safetensors' \
        >says/model.safetensors.index.json
    sed 's/^model: .*/model: says/' sweep.yaml >says.yaml
    run plan says.yaml
    expect_status 2
    expect_plain
    expect_err '\\x1b\[31mshard'
    rm -r says
}
check "the name of a shard" shard_says

names_say() {
    printf 'model: "\\e[31m\\a"\nevaluation: {perplexity: [{text: "%s", tokens: 16, windows: 1}]}\nsweep: [{algorithm: rtn}]\n' \
        'a\e[1m.txt' >says.yaml
    run plan says.yaml
    expect_status 2
    expect_plain
    run plan "${hostile}.yaml"
    expect_refusal '\\x1b\]0;x\\x07\\x1b\[31m\.yaml'
    expect_plain
    cp says.yaml "${hostile}.yaml" && echo 'sweep: 1' >>"${hostile}.yaml"
    run plan "${hostile}.yaml"
    expect_status 2
    expect_plain
    run "$hostile"
    expect_refusal "unknown command '.x1b"
    expect_plain
    run run "--$hostile" sweep.yaml
    expect_refusal "unknown option '--.x1b"
    expect_plain
}
check "file names and the command line" names_say

config_says() {
    local style
    printf 'model: {path: model, name: "\\e[31mmine\\nfake"}\n' >says.yaml
    sed 1d sweep.yaml | sed 's/text: evaluation.txt/&, name: "\\e[1m\\u202ewords"/' >>says.yaml
    run run --output says.h5 says.yaml
    expect_status 0
    expect_plain
    expect_out '^\\x1b\[31mmine\\nfake on \\x1b\[1m\\u202ewords, '
    for style in terminal markdown csv latex json; do
        run table --format $style says.h5
        expect_status 0
        # lines of CSV end with CR LF
        sed -i 's/\r$//' .out
        expect_plain
    done
    run plan --output none.h5 says.yaml
    expect_plain
    run diff says.h5 says.h5
    expect_plain
    run plot --output drawn says.h5 perplexity_vs_bits
    expect_status 0
    expect_plain
    ls -A drawn >.out
    expect_plain
}
check "names that a config gives" config_says

finish
