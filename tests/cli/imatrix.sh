#!/bin/bash
# Importance matrices: written for llama.cpp, and read as it writes them.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model model
make_texts
config plain.yaml <<'EOF'
sweep:
  - algorithm: rtn
    weights: {format: q4_k, importance: imatrix}
EOF
sed 's/importance: imatrix/importance: [imatrix, a.gguf, b.dat]/' plain.yaml >files.yaml

# The perplexity of each trial, in six digits.
perplexities() {
    "$program" table --format json "$1" | sed -n 's/^ *"perplexity": \([0-9.]\{7\}\)[0-9.]*,$/\1/p'
}

written_and_read() {
    run imatrix --quiet --output a.gguf plain.yaml
    expect_status 0
    expect_out '^a.gguf: 14 entries of 2 windows of 64 tokens$'
    run imatrix --quiet --output b.dat --process-output plain.yaml
    expect_out '^b.dat: 15 entries of 2 windows of 64 tokens$'
    run run --quiet --output files.h5 files.yaml
    expect_status 0
    ! grep -q 'nothing published' .err || problem "expected the stored config to be read without files"
    [ "$(labels files.h5 | paste -sd, -)" = \
        'unquantized,rtn q4_k imatrix,rtn q4_k imatrix=a.gguf,rtn q4_k imatrix=b.dat' ] ||
        problem "expected a label for each, found $(labels files.h5 | paste -sd, -)"
    [ "$(perplexities files.h5 | wc -l) $(perplexities files.h5 | sort -u | wc -l)" = '4 2' ] ||
        problem "expected one perplexity of all three, found $(perplexities files.h5 | paste -sd, -)"
}
check "written, and read in place of the calibration" written_and_read

# Two names of the same bytes are no error, and no more one where the files are gone.
same_bytes() {
    mkdir -p same && cp a.gguf one.gguf && cp a.gguf same/one.gguf
    sed 's/a.gguf, b.dat/one.gguf, same\/one.gguf/' files.yaml >same.yaml
    run run --quiet --output same.h5 same.yaml
    expect_status 0
    rm one.gguf same/one.gguf
    run table same.h5
    expect_status 0
    [ ! -s .err ] || problem "expected nothing to be said, found $(cat .err)"
}
check "the same bytes by two names" same_bytes

in_memory() {
    run imatrix --quiet --memory 1M --output small.gguf plain.yaml
    expect_status 2
    expect_err 'the walk needs [0-9]+ MB, and the memory allowed is 1 MB'
    expect_absent small.gguf
}
check "--memory bounds the pass" in_memory

without_calibration() {
    sed '/^calibration/d; s/importance: .*}/importance: a.gguf}/' plain.yaml >none.yaml
    run plan --quiet none.yaml
    expect_status 0
    expect_out 'rtn q4_k imatrix=a.gguf$'
    local id
    id=$("$program" plan --quiet none.yaml | sed -n 's/^\([0-9a-f]*\) .*a.gguf$/\1/p')
    mkdir -p elsewhere && cp a.gguf elsewhere/other.gguf
    sed 's/a.gguf/elsewhere\/other.gguf/' none.yaml >moved.yaml
    run plan --quiet moved.yaml
    expect_out "^$id .*imatrix=other.gguf$"
}
check "no calibration is needed, and a file's place is no part of a trial" without_calibration

# refused EDIT MESSAGE: the plain config after this edit.
refused() {
    sed "$1" plain.yaml >refused.yaml
    run plan refused.yaml
    expect_status 2
    expect_err "$2"
}

wrong() {
    refused 's/importance: imatrix/importance: gone.gguf/' \
        "^refused.yaml:9:41: error: importance: cannot open 'gone.gguf': No such file or directory; expected none, imatrix or the path of a file"
    printf 'no matrix at all' >text.dat
    refused 's/importance: imatrix/importance: text.dat/' '^bitsweep: text.dat: '
    mkdir -p two && cp b.dat two/a.gguf
    refused 's/importance: imatrix/importance: [a.gguf, two\/a.gguf]/' \
        'are different files of one name'
    refused 's/algorithm: rtn/algorithm: gptq/; s/importance: imatrix/importance: a.gguf/' \
        "importance is a file's, which is of the model's own inputs, and gptq"
    cp plain.yaml before
    run imatrix plain.yaml -o plain.yaml
    expect_status 2
    expect_err '^bitsweep: plain.yaml: is there already and no importance matrix'
    expect_same_bytes plain.yaml before
}
check "what is wrong with a file, or with its use, is said" wrong
finish
