#!/bin/bash
# Configs that are wrong: exit status 2, every error with file, line and column on a line of its own,
# and nothing is run or written.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model model
make_texts
printf 'A few words.\n' >short.txt
printf 'Good text, and then \xff.\n' >latin.txt
: >void.txt
cat >good.yaml <<'EOF'
model: model
calibration: {text: calibration.txt, windows: 2, tokens: 64}
evaluation:
  perplexity:
    - {text: evaluation.txt, windows: 1, tokens: 16}
  layer_error: {windows: 1}
sweep:
  - algorithm: rtn
    weights: {bits: 4, group_size: channel}
  - algorithm: [gptq, [awq, gptq]]
    weights: {bits: [3, 4], group_size: 64}
    percdamp: 0.01
charts: [pareto]
EOF

good() {
    run plan good.yaml
    expect_status 0
    expect_no_err
    expect_out '^6 of 6 trials to run'
}
check "the config without errors is taken" good

told() {
    sed 's/{bits: 4, group_size: channel}/{format: [int, q8_0], bits: 4}/' good.yaml >mixed.yaml
    run plan --quiet mixed.yaml
    expect_status 0
    expect_no_err
    expect_out '^mixed\.yaml:9:42: bits does not apply to q8_0$'
    run run --output mixed.h5 mixed.yaml
    expect_status 0
    expect_err '^mixed\.yaml:9:42: bits does not apply to q8_0$'
    run run --quiet --output quiet.h5 mixed.yaml
    expect_status 0
    ! grep '^mixed\.yaml' .err || problem 'expected no such line of a quiet run'
}
check "what does not apply to all that a grid names is told, and taken" told

# Expects bad.yaml to be refused by plan and run, with these messages, each a line of its own.
refused() {
    local command message
    for command in plan run; do
        run $command bad.yaml
        expect_status 2
        expect_no_out
        expect_err_lines $#
        for message; do
            grep -qE -e "$message" .err || problem "expected $command to say: $message"
        done
    done
    expect_absent results bad.h5
}

# An edit of good.yaml (a sed script), and after the arrow what must be said of it, without the
# "bad.yaml:" before and with " && " between errors.
while IFS= read -r line; do
    [[ $line == *' => '* ]] || { echo "$line" >heading; continue; }
    edit=${line%% => *} rest=${line#* => }
    sed -E "$edit" good.yaml >bad.yaml
    messages=()
    while [ -n "$rest" ]; do
        message=${rest%% && *}
        messages+=("^bad\.yaml:${message/: /: error: }")
        [ "$rest" = "$message" ] && rest= || rest=${rest#* && }
    done
    check "$(cat heading): $edit" refused "${messages[@]}"
done <<'EOF'
unknown key
1s/model/modle/ => 1:1: model is missing && 1:1: unknown key 'modle', expected model, .* \(did you mean 'model'\?\)
2s/windows/window/ => 2:38: unknown key 'window', expected text, .* \(did you mean 'windows'\?\)
4s/perplexity/perplexitiy/ => 4:3: perplexity is missing && 4:3: unknown key 'perplexitiy'.*mean 'perplexity'\?\)
5s/tokens/length/ => 5:42: unknown key 'length', expected text, .* or stride$
9s/group_size/groupsize/ => 9:24: unknown key 'groupsize'.*\(did you mean 'group_size'\?\)
12s/percdamp/percdmap/ => 12:5: unknown key 'percdmap'.*\(did you mean 'percdamp'\?\)
12s/percdamp/alpha/ => 12:5: unknown key 'alpha'.*it is an option of gptaq and smoothquant, which this grid does not name
12s/percdamp/bits/ => 12:5: unknown key 'bits'.*it belongs under weights
13s/$/\nthreads: 4/ => 14:1: unknown key 'threads', expected model, calibration, evaluation, sweep, expected, charts, export, accept_unknown, numerics or reference; here it is --threads on the command line$
words of other tools
1s/model/model_path/ => 1:1: model is missing && 1:1: unknown key 'model_path'.*\(did you mean 'model'\?\)$
2s/text/dataset/ => 2:14: text is missing && 2:15: unknown key 'dataset'.*\(did you mean 'text'\?\)$
2s/windows/nsamples/ => 2:38: unknown key 'nsamples'.*\(did you mean 'windows'\?\)$
2s/tokens/seqlen/ => 2:50: unknown key 'seqlen'.*\(did you mean 'tokens'\?\)$
5s/tokens/max-length/ => 5:42: unknown key 'max-length'.*\(did you mean 'tokens'\?\)$
9s/bits/w_bit/ => 9:15: unknown key 'w_bit'.*\(did you mean 'bits'\?\)$
9s/bits/wbits/ => 9:15: unknown key 'wbits'.*\(did you mean 'bits'\?\)$
9s/group_size/q_group_size/ => 9:24: unknown key 'q_group_size'.*\(did you mean 'group_size'\?\)$
9s/group_size: channel/sym: true/ => 9:24: unknown key 'sym'.*\(did you mean 'symmetric'\?\)$
9s/group_size: channel/zero_point: true/ => 9:36: zero_point is 'true', expected integer, float or auto \(did you mean 'symmetric: false'\?\)$
9s/channel/-1/ => 9:36: group_size is '-1', expected channel, tensor or .* \(did you mean 'channel'\?\)$
12s/percdamp/damp_percent/ => 12:5: unknown key 'damp_percent'.*\(did you mean 'percdamp'\?\)$
12s/percdamp: 0.01/desc_act: true/ => 12:5: unknown key 'desc_act'.*\(did you mean 'act_order'\?\)$
12s/percdamp: 0.01/bits: 4/ => 12:5: unknown key 'bits'.*; it belongs under weights$
12s/percdamp: 0.01/nsamples: 4/ => 12:5: unknown key 'nsamples'.*; here it is windows under calibration$
12s/percdamp: 0.01/compute: bf16/ => 12:14: compute is 'bf16', expected float32, bfloat16 or as llama.cpp \(did you mean 'bfloat16'\?\)$
9s/4/9/ => 9:21: bits is '9', expected a whole number from 1 to 8, or 16$
wrong type
1s/model$/[a, [b]]/ => 1:12: model is a list, expected a folder or a hub name
2s/windows: 2/windows: two/ => 2:47: windows is 'two', expected a whole number from 1 to
2s/windows: 2/windows: 2.5/ => 2:47: windows is '2.5', expected a whole number
2s/windows: 2/windows: {a: 4}/ => 2:47: windows is a mapping, expected a whole number
3,6c\evaluation: perplexity => 3:13: evaluation is 'perplexity', expected a mapping with perplexity, tasks, layer_error or channels
5s/- /  / => 5:7: perplexity is a mapping, expected a list of mappings
8,12d;7s/$/ rtn/ => 7:8: sweep is 'rtn', expected a list of grids
9s/4/four/ => 9:21: bits is 'four', expected a whole number from 1 to 8, or 16
9s/4/nan/ => 9:21: bits is 'nan', expected a whole number
9s/\{.*/4/ => 9:14: weights is '4', expected none, or a mapping with format, range, bits, group_size,
12s/0.01/much/ => 12:15: percdamp is 'much', expected a number from 0 to 1
12s/0.01// => 12:5: percdamp is nothing, expected a number from 0 to 1
13s/\[pareto\]/pareto/ => 13:9: charts is 'pareto', expected a list of chart names
out of range
2s/windows: 2/windows: 0/ => 2:47: windows is '0', expected a whole number from 1 to
5s/tokens: 16/tokens: 1/ => 5:50: tokens is '1', expected a whole number from 2 to
5s/tokens: 16/tokens: 99999999999999999999/ => 5:50: tokens is '99999999999999999999', expected
9s/4/0/ => 9:21: bits is '0', expected a whole number from 1 to 8, or 16
9s/4/17/ => 9:21: bits is '17', expected a whole number from 1 to 8, or 16
11s/64/-1/ => 11:41: group_size is '-1', expected channel, tensor or a whole number from 1
12s/0.01/[0.01, 1.5]/ => 12:22: percdamp is '1.5', expected a number from 0 to 1
12s/0.01/-1e-9/ => 12:15: percdamp is '-1e-9', expected a number from 0 to 1
12s/0.01/1e999/ => 12:15: percdamp is '1e999', expected a number from 0 to 1
duplicate key
13s/$/\nmodel: other/ => 14:1: the key 'model' a second time.*\(first at 1:1\)
9s/\}/, bits: 3}/ => 9:45: the key 'bits' a second time.*\(first at 9:15\)
12s/$/\n    algorithm: awq/ => 13:5: the key 'algorithm' a second time.*\(first at 10:5\)
13s/\]/, pareto]/ => 13:18: chart 'pareto' a second time
unknown name
8s/rtn/rnt/ => 8:16: algorithm is 'rnt', expected rtn, gptq, .* \(did you mean 'rtn'\?\)
10s/awq/awk/ => 10:24: algorithm is 'awk', expected .* \(did you mean 'awq'\?\)
10s/awq/spqr/ => 10:24: algorithm is 'spqr', expected rtn, gptq, gptaq, ldlq, quip, awq, hqq, smoothquant, quarot or outliers$
13s/pareto/paretto/ => 13:10: chart is 'paretto', expected .* \(did you mean 'pareto'\?\)
9s/channel/row/ => 9:36: group_size is 'row', expected channel, tensor or
what does not go together
10s/\[awq, gptq\]/[gptq, awq]/ => 10:30: awq follows gptq, which has rounded the weights
10s/\[awq, gptq\]/[gptq, gptq]/ => 10:30: gptq stands twice in a chain
2d => 9:17: calibration is missing.* && 9:23: calibration is missing
12s/percdamp.*/static_groups: true/;11s/64/channel/ => 10:17: static_groups needs a group_size in columns && 10:23: static_groups needs
nothing there
1,13d => 1:1: the file is empty
1,13s/^/#/ => 1:1: the file is empty
3,6d => 1:1: evaluation is missing
8,12d => 7:1: sweep is nothing, expected a list of grids
8,12d;7s/$/ []/ => 7:8: sweep is an empty list
4,5c\  perplexity: [] => 4:15: perplexity is an empty list
10s/\[gptq.*/[]/ => 10:16: algorithm is an empty list
11s/\[3, 4\]/[]/ => 11:21: bits is an empty list
13s/\[pareto\]/[]/ => 13:9: charts is an empty list
no YAML
9s/\}// => 10:14: missing comma
8s/- algorithm/-algorithm/ => 8:15: .*
9s/^ +/\t/ => 9:2: .*tab.*
13s/\]// => 1[34]:[0-9]+: .*
1s/model$/"model/ => [0-9]+:[0-9]+: .*
1s/model$/*model/ => 1:8: an alias .* to no anchor
1s/^/- /;2,13d => 1:1: the file is a list, expected a mapping with model,
13s/$/\n---\nmodel: other/ => 14:1: a second document
1s/model$/!!str model/ => 1:14: a tag
several errors
1s/model/modle/;9s/4/0/;11s/64/0/;13s/pareto/paretto/ => 1:1: model is missing && 1:1: unknown key 'modle' && 9:21: bits is '0' && 11:41: group_size is '0' && 13:10: chart is 'paretto'
EOF

# ---- bytes that are no text ----

bytes() {
    printf "$1" >bad.yaml
    refused "$2"
}
check "a zero byte" bytes 'model: a\nsweep: \0\n' '^bad\.yaml:2:8: error: byte 0x00 is no text'
check "broken UTF-8" bytes 'model: a\nsweep: b\xc3(\n' '^bad\.yaml:2:9: error: byte 0xc3 is no text'
check "an empty file" bytes '' '^bad\.yaml:1:1: error: the file is empty'

a_checkpoint() {
    run plan model/model.safetensors
    expect_refusal '^model/model\.safetensors:1:1: error: 11547040 bytes, expected a config of at most'
}
check "a checkpoint instead of a config" a_checkpoint

# More errors than fit: the first are told, the rest counted.
many() {
    {
        cat good.yaml
        for i in $(seq 100); do echo "unknown_key_number_$i: 1"; done
    } >bad.yaml
    run plan bad.yaml
    expect_status 2
    expect_no_out
    expect_err "^bad\.yaml:14:1: error: unknown key 'unknown_key_number_1'"
    expect_err '^and [0-9]+ more errors$'
}
check "a hundred errors" many

# ---- what the config points to: told with the name of the file ----

while IFS='|' read -r name edit message; do
    sed -E "$edit" good.yaml >bad.yaml
    check "$name" refused "^bitsweep: $message"
done <<'EOF'
a missing model folder|1s/model$/nowhere/|model 'nowhere' is no folder in the current folder, .*config\.json of revision 'main' in '.*/models--nowhere', it is not there; .bitsweep fetch nowhere. brings it
a model that is a file|1s/model$/short.txt/|short\.txt: a file, expected a folder with config\.json, weights and tokenizer
a missing text|5s/evaluation/nowhere/|evaluation: .*'nowhere\.txt': No such file or directory
a text that is a folder|5s/evaluation\.txt/model/|evaluation: .*'model': Is a directory
a missing calibration text|2s/calibration\.txt/nowhere\.txt/|calibration: .*'nowhere\.txt': No such file
a text too short for a window|5s/evaluation/short/|evaluation: short\.txt has [0-9]+ tokens, too short for a window of 16
a text too short for its windows|5s/windows: 1/windows: 9999/|evaluation: evaluation\.txt has [0-9]+ tokens, which make [0-9]+ windows of 16, but 9999 are asked for
an empty text|5s/evaluation/void/|evaluation: void\.txt has 0 tokens, too short
a text that is not UTF-8|5s/evaluation/latin/|evaluation: latin\.txt: text is not UTF-8: byte offset 20 holds 0xff
windows longer than the positions of the model|5s/tokens: 16/tokens: 512/|evaluation: tokens is 512, but .* has positions for 256
a calibration text too short|2s/calibration\.txt/short.txt/|calibration: short\.txt has [0-9]+ tokens, too short
random windows of a text too short|2s/calibration\.txt/short.txt, sampling: gptq/|calibration: short\.txt has [0-9]+ tokens, too short for random windows of 64
EOF

# Each error of an own task's file is a line, as those of the config itself are.
own_task() {
    printf 'kind: choice\nitem: items.jsonl\nkontext: "{q}"\n' >task.yaml
    sed 's/^  perplexity:/  tasks: [{task: task.yaml}]\n&/' good.yaml >bad.yaml
    refused "^bad\.yaml:4:18: error: task: task\.yaml:2:1: error: unknown key 'item', .*mean 'items'" \
        "^bad\.yaml:4:18: error: task: task\.yaml:3:1: error: unknown key 'kontext', .*mean 'context'"
}
check "two errors in an own task" own_task

# ---- what no place of the model has: told with the place in the config ----

while IFS='|' read -r name edit message; do
    sed -E "$edit" good.yaml >bad.yaml
    check "$name" refused "^bad\.yaml:$message"
done <<'EOF'
a place that no layer has|12s/$/\n    except: [{where: "*.dwn_proj", weights: {bits: 8}}]/|13:22: error: where is '\*\.dwn_proj', which is no place of this model \(llama\) for weights; there are self_attn\.q_proj, .*\(did you mean '\*\.down_proj'\?\)$
a layer that is not there|12s/$/\n    except: [{where: "layer[0,99].*", weights: none}]/|13:22: error: where is 'layer\[0,99\]\.\*', expected layers from 0 to [0-9]+, or -[0-9]+ to -1
an activation that is not quantized|9s/$/\n    activations: {bits: 8}\n    except: [{where: qkv, activations: none}]/|11:22: error: where is 'qkv', a place at which activations stay as they are
EOF

finish
