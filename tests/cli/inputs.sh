#!/bin/bash
# Inputs that are refused before any work starts: the same text twice, pipes, sockets and devices in
# the place of files; too little address space.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
patience=20

make_model model
make_texts
cp evaluation.txt copy.txt
gzip -k copy.txt
head -c 400 evaluation.txt >short.txt
mkdir -p folder

# $1, $2: two entries of evaluation, the same $3
twice() {
    cat >twice.yaml <<EOF
model: model
evaluation:
  perplexity:
    - $1
    - $2
sweep:
  - algorithm: rtn
    weights: {bits: 4, group_size: channel}
EOF
    for command in plan run; do
        run $command --output twice.h5 twice.yaml
        expect_refusal 'evaluation: .* are the same '"$3"' of the same text, measured in the same way: expected each once$'
        expect_absent twice.h5 twice.h5.lock
    done
}
same="windows: 2, tokens: 32"
check "the same text by another path" twice "{text: evaluation.txt, $same}" "{text: ./folder/../evaluation.txt, $same, name: other}" "2 windows"
check "a copy of a text" twice "{text: evaluation.txt, $same}" "{text: copy.txt, $same}" "2 windows"
check "a text and itself compressed" twice "{text: evaluation.txt, $same}" "{text: copy.txt.gz, $same}" "2 windows"
check "one window twice" twice "{text: evaluation.txt, windows: 1, tokens: 32}" "{text: copy.txt, windows: 1, tokens: 32}" window
config_one one.yaml # one text, one recipe
all_windows() {
    local count
    sed 's/text: evaluation.txt, windows: 1/text: short.txt, windows: 0/' one.yaml >short.yaml
    run plan short.yaml
    expect_status 0
    count=$(sed -n 's/^evaluation: .*[, ]\([0-9][0-9]*\) windows of 16 tokens.*/\1/p' .out)
    twice "{text: short.txt, windows: 0, tokens: 16}" "{text: short.txt, windows: ${count:-1}, tokens: 16}" "$count windows"
}
check "all windows of a text, and as many as it has" all_windows

different() {
    twice "{text: evaluation.txt, $same}" "{text: copy.txt, $same}" "2 windows"
    sed -i 's/copy.txt, windows: 2/copy.txt, windows: 1/' twice.yaml
    run plan --output different.h5 twice.yaml
    expect_status 0
    expect_out '^4 of 4 trials to run'
}
check "the same text in other windows is another trial" different

# ---- no files ----

no_file() {
    run "${@:2}"
    expect_refusal "$1"
}
mkfifo pipe
for kind in pipe /dev/zero /dev/tty; do
    [ -e $kind ] || continue
    sed "s#evaluation.txt#$kind#" one.yaml >text.yaml
    check "a text that is $kind" no_file "not a regular file" plan text.yaml
    check "a config that is $kind" no_file "not a regular file" run $kind
    check "results that are $kind" no_file "not a regular file" table $kind
    check "a text to tokenize that is $kind" no_file "not a regular file" tokenize model $kind
done
model_with_pipe() {
    rm -rf broken
    cp -r model broken
    rm "broken/$1"
    mkfifo "broken/$1"
    sed 's/^model: .*/model: broken/' one.yaml >broken.yaml
    run plan broken.yaml
    expect_refusal "$1.*not a regular file"
}
for file in model.safetensors config.json tokenizer.json tokenizer_config.json; do
    check "a model whose $file is a pipe" model_with_pipe $file
done
from_pipe() {
    echo 'once upon a time' | "$program" tokenize --ids model >.out 2>.err
    status=$?
    expect_status 0
    run tokenize --ids model <(echo 'once upon a time')
    cp .out second
    echo 'once upon a time' | "$program" tokenize --ids model >.out
    expect_same_bytes second .out
}
check "what is open already may be a pipe" from_pipe

# ---- address space ----

# $1 KiB
narrow() {
    (ulimit -v "$1" && exec timeout "$patience" "$program" "${@:2}" >.out 2>.err </dev/null)
    status=$?
    expect_refusal '^bitsweep: the address space allowed \(ulimit -v\) is too small for the buffers of OpenBLAS'
}
if [ -z "$sanitize" ]; then
    check "a version in 240 MB of address space" narrow 240000 --version
    check "a run in 340 MB of address space" narrow 340000 run --memory 120M one.yaml
    check "many threads in 700 MB of address space" narrow 700000 run --threads 64 one.yaml
fi

finish
