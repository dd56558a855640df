#!/bin/bash
# --set of run and plan: keys of a config from the command line, as the same config with them in it.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model model
make_texts
config sweep.yaml 1 16 <<'EOS'
# A comment, kept in the file alone.
sweep:
  - algorithm: rtn
    weights: {bits: 4, group_size: channel}
  - algorithm: gptq
    act_order: true
EOS

axes() {
    sed 's/bits: 4/bits: [3, 8]/; s/act_order: true/&\n    weights: {bits: [3, 8]}/; /evaluation.txt/s/windows: 1/windows: 2/' sweep.yaml >by_hand.yaml
    run run --quiet -o by_hand.h5 by_hand.yaml
    expect_status 0
    run run --quiet -o set.h5 sweep.yaml --set weights.bits=3,8 --set evaluation.perplexity.windows=2
    expect_status 0
    expect_same_results by_hand.h5 set.h5
    [ "$(labels set.h5 | wc -l)" = 5 ] || problem "expected five trials, found $(labels set.h5)"
}
check "a value with commas is an axis of every grid; a list on the way has it in each entry" axes

# What is stored says what was run, and is a config that runs again.
stored() {
    /usr/bin/python3 - <<'EOS' >stored.yaml || problem "no config in the file"
import h5py
config = h5py.File("set.h5", "r").attrs["config"]
print(config.decode() if isinstance(config, bytes) else config, end="")
EOS
    head -n 3 stored.yaml | grep -qx "#   --set 'weights.bits=3,8'" || problem "expected what was set in the config"
    run run --quiet -o again.h5 stored.yaml
    expect_status 0
    expect_same_results set.h5 again.h5
    grep -q 'A comment' sweep.yaml && [ "$(grep -c 'bits: 4' sweep.yaml)" = 1 ] || problem "the config was written to"
}
check "the result file has the config with it" stored

chains() {
    run plan --quiet sweep.yaml --set 'algorithm=rtn,[awq,gptq]' --set weights.bits=3
    expect_status 0
    expect_out 'awq\+gptq w3'
    expect_out 'rtn w3'
    run plan --quiet sweep.yaml --set 'sweep=[{algorithm: rtn, weights: {format: fp4}}]' --set model=model
    expect_status 0
    expect_out 'fp4'
    run plan --places sweep.yaml --set model=nowhere
    expect_status 2
    expect_err 'nowhere'
}
check "chains, mappings, and keys of the file" chains

wrong() {
    local setting message
    while IFS='|' read -r setting message; do
        run plan sweep.yaml --set "$setting"
        expect_status 2
        expect_no_out
        expect_err "$message"
    done <<'EOS'
weights.bits|^sweep.yaml: --set 'weights.bits': expected KEY=VALUE, such as weights.bits=3,4|
=3|^sweep.yaml: --set '=3': expected KEY=VALUE|
weights.bits=|^sweep.yaml: --set 'weights.bits=': expected KEY=VALUE|
weights..bits=3|^sweep.yaml: --set 'weights..bits=3': expected KEY=VALUE|
weights.bits=[3|^sweep.yaml: --set 'weights.bits=\[3':[0-9]*:[0-9]*: error: |
algorithm.x=3|^sweep.yaml: --set 'algorithm.x=3': expected a mapping to hold 'x'|
weights.bit=3|^--set 'weights.bit=3': error: unknown key 'bit'.*did you mean 'bits'|
weights.bits=0|^--set 'weights.bits=0': error: bits is '0'|
evaluation.perplexity.window=8|^--set 'evaluation.perplexity.window=8': error: unknown key 'window'|
no.such.key=8|^--set 'no.such.key=8': error: unknown key 'no'|
EOS
}
check "what cannot be set is refused, by the argument's name" wrong

# What is wrong in the file itself is where the file has it, whatever is set beside it.
in_the_file() {
    sed 's/act_order: true/act_order: maybe/' sweep.yaml >broken.yaml
    run plan broken.yaml
    expect_status 2
    mv .err alone
    run plan broken.yaml --set weights.bits=3,8 --set weights.group_size=0
    expect_status 2
    expect_err "^$(sed 's/[]\[*.]/\\&/g; 1q' alone)\$"
    expect_err "^--set 'weights.group_size=0': error: group_size is '0'"
}
check "a mistake of the file has its place in the file" in_the_file

finish
