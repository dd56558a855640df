#!/bin/bash
# Paths in a config start from the config's folder, and models and texts go by short names.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

mkdir -p sets/configs elsewhere
make_model sets/tiny
make_texts
mv calibration.txt evaluation.txt sets

# a_config MODEL [KEYS OF THE TEXT]
a_config() {
    cat <<EOF_CONFIG
model: $1
calibration: {text: ../calibration.txt, windows: 1, tokens: 16}
evaluation:
  perplexity:
    - {text: ../evaluation.txt, windows: 1, tokens: 16${2:-}}
  layer_error: {windows: 1}
sweep:
  - {algorithm: [rtn, gptq], weights: {bits: 4, group_size: channel}}
EOF_CONFIG
}
a_config ../tiny >sets/configs/one.yaml

# The first line of the table: what model and text are called.
heading() { "$program" table "$1" | head -n 1; }
expect_heading() {
    heading "$1" | grep -qE -e "$2" || problem "expected '$2', found '$(heading "$1")'"
}

from_anywhere() {
    local folder
    for folder in . sets sets/configs elsewhere /; do
        status=0
        (cd "$folder" && timeout "$patience" "$program" run --quiet --output "$work/$1.h5" \
            "$work/sets/configs/one.yaml") >.out 2>.err </dev/null || status=$?
        expect_status 0
        expect_heading "$1.h5" '^tiny on evaluation, '
        [ "$(labels "$1.h5" | wc -l)" = 3 ] || problem "expected three trials"
    done
    run plan --quiet sets/configs/one.yaml
    expect_status 0
    (cd sets/configs && "$program" plan --quiet one.yaml) >bare
    expect_same_bytes .out bare
}
check "a config means the same from every folder" from_anywhere any

results_place() {
    (cd elsewhere && "$program" run --quiet ../sets/configs/one.yaml) >.out 2>.err
    status=$?
    expect_status 0
    expect_there elsewhere/results/one.h5
    expect_absent sets/configs/results results
}
check "the result stands in the folder of the user's" results_place

from_a_pipe() {
    sed 's,\.\./,sets/,' sets/configs/one.yaml | "$program" plan /dev/stdin >.out 2>.err
    expect_out '^3 of 3 trials to run'
}
check "a config without a folder of its own: from the current one" from_a_pipe

told() {
    a_config sets/tiny >sets/configs/bad.yaml
    run plan sets/configs/bad.yaml
    expect_refusal "model 'sets/tiny' is no folder in sets/configs \(it is one in the current folder, but paths in a config start from the config's\)"
    a_config ../tinny >sets/configs/bad.yaml
    run plan sets/configs/bad.yaml
    expect_refusal "sets/configs/\.\./tinny/config\.json"
    a_config ../tiny | sed 's,: ../eval,: sets/eval,' >sets/configs/bad.yaml
    run plan sets/configs/bad.yaml
    expect_refusal "cannot open 'sets/configs/sets/evaluation\.txt': No such file or directory \(it is in the current folder, but paths in a config start from the config's\)"
}
check "a path from the current folder is told" told

cached=.cache/models--org--a--model/snapshots/0123456789012345678901234567890123456789
mkdir -p "$(dirname "$cached")"
cp -r sets/tiny "$cached"
mkdir -p other && cp -r sets/tiny other/tiny
sed -i 's/"rope_theta": 10000/"rope_theta": 20000/' other/tiny/config.json

named() {
    a_config "../../$cached" >sets/configs/named.yaml
    run run --quiet --output named.h5 sets/configs/named.yaml
    expect_heading named.h5 '^org/a--model on evaluation, '
    a_config "{path: ../tiny, name: a small one}" ", name: plays" >sets/configs/named.yaml
    run run --quiet --output given.h5 sets/configs/named.yaml
    expect_status 0
    expect_heading given.h5 '^a small one on plays, '
    a_config "{path: ../tiny, name: a small one}" ", name: plays}
    - {text: ../evaluation.txt, windows: 2, tokens: 16" >sets/configs/named.yaml
    sed -i '$a\expected:\n  - source: a paper\n    text: plays\n    values: {a small one: {unquantized: 10.0}}' \
        sets/configs/named.yaml
    run run --quiet --output given.h5 --model 'a small one' sets/configs/named.yaml
    expect_status 0
    expect_out 'published: a paper'
    run run --quiet --output given.h5 --model ../tiny sets/configs/named.yaml
    expect_status 0
}
check "a snapshot of the hub's cache by its repository, others by the name given" named

alike() {
    a_config '[../tiny, ../../other/tiny]' >sets/configs/two.yaml
    run plan sets/configs/two.yaml
    expect_out '^tiny$'
    expect_out '^other/tiny$'
    cp -r other/tiny sets/configs/tiny
    a_config '[../tiny, tiny]' >sets/configs/two.yaml
    run plan sets/configs/two.yaml
    expect_out '^\.\./tiny$'
    expect_out '^tiny$'
    a_config '[{path: ../tiny, name: x}, {path: tiny, name: x}]' >sets/configs/two.yaml
    run plan sets/configs/two.yaml
    expect_refusal "^sets/configs/two\.yaml:1:54: error: another model is called 'x' too, expected a name: of its own"
}
check "no two models go by one name" alike

while IFS='|' read -r model keys message; do
    wrong_name() {
        a_config "$model" "$keys" >bad.yaml
        run plan bad.yaml
        expect_refusal "^bad\.yaml:$message"
    }
    check "wrong names: $model$keys" wrong_name
done <<'EOF_WRONG'
{path: tiny, nane: x}||1:21: error: unknown key 'nane', expected path or name \(did you mean 'name'\?\)
{name: x}||1:8: error: path is missing, expected a folder or a hub name
{path: [a], name: x}||1:15: error: path is a list, expected a folder or a hub name
{path: tiny, name: ''}||1:27: error: name is '', expected a text
tiny|, name: a/b|5:63: error: name is 'a/b', expected a short text without a slash
tiny|, name: ..|5:63: error: name is '\.\.', expected a short text without a slash
tiny|, name: layers|5:63: error: name is 'layers', expected one that no other text has
EOF_WRONG

finish
