#!/bin/bash
# What a model's folder holds beside what is computed: notes are passed over, keys that look like
# arithmetic are refused unless they are let pass by name, parts that are left out are named, and what
# is no checkpoint says so.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

mkdir model
cp "$project"/datasets/tiny/*.json "$project"/datasets/tiny/model.safetensors model
make_texts
cat >sweep.yaml <<'YAML'
model: model
evaluation:
  perplexity:
    - {text: evaluation.txt, windows: 1, tokens: 16}
  layer_error: {windows: 0}
sweep:
  - algorithm: rtn
    weights: {bits: 4, group_size: channel}
YAML
cp model/config.json sound.json

# Adds members to the model's config.json.
with() { sed "0,/{/s//{ $1,/" sound.json >model/config.json; }

plain() {
    run plan sweep.yaml
    expect_status 0
    grep -qE '^(model|tokenizer):' .out && problem "expected nothing to be said of a sound model"
    grep -oE '^[0-9a-f]{16}' .out >plain.ids
}
check "nothing is said of a sound model" plain

notes() {
    with '"license": "mit", "unsloth_fixed": true, "pad_token": "<pad>"'
    run plan sweep.yaml
    expect_status 0
    expect_out '^model: config\.json: notes passed over: .*license'
    expect_out '^model: config\.json: notes passed over: .*unsloth_fixed'
    grep -oE '^[0-9a-f]{16}' .out | cmp -s - plain.ids || problem "expected the same trials"
    run run sweep.yaml --output notes.h5
    expect_status 0
    expect_err '^model: config\.json: notes passed over: .*pad_token'
    strings -a notes.h5 | grep -q 'notes passed over' || problem "expected the notice in the results"
}
check "notes are passed over, and said" notes

options() {
    cp model/tokenizer_config.json options.json
    sed -i 's/"add_bos_token": false/"add_bos_token": true, "add_prefix_space": true/' \
        model/tokenizer_config.json
    run plan sweep.yaml
    expect_status 0
    expect_out '^tokenizer: tokenizer_config\.json: add_bos_token is true, but no token is put'
    expect_out '^tokenizer: tokenizer_config\.json: add_prefix_space is true, but no blank is put'
    run run sweep.yaml --output options.h5
    expect_err '^tokenizer: tokenizer_config\.json: add_bos_token is true'
    strings -a options.h5 | grep -q 'add_bos_token is true' || problem "expected it in the results"
    mv options.json model/tokenizer_config.json
}
cp sound.json model/config.json
check "options that do not come true are said" options

unknown() {
    with '"residual_multiplier": 0.22'
    run plan sweep.yaml
    expect_refusal 'residual_multiplier is 0\.22.*--accept-unknown residual_multiplier'
    run plan sweep.yaml --accept-unknown residual_multiplier
    expect_status 0
    expect_out '^model: config\.json: residual_multiplier is 0\.22: not understood, accepted'
    grep -oE '^[0-9a-f]{16}' .out >accepted.ids
    cmp -s accepted.ids plain.ids && problem "expected other trials than without the key"
    (cat sweep.yaml; echo 'accept_unknown: [residual_multiplier]') >accepting.yaml
    run plan accepting.yaml
    expect_status 0
    grep -oE '^[0-9a-f]{16}' .out | cmp -s - accepted.ids || problem "expected the flag's trials"
}
check "a key of arithmetic is let pass by name, and makes other trials" unknown

cut() {
    sed 's/"num_hidden_layers": *[0-9]*/"num_hidden_layers": 1/' sound.json >model/config.json
    run plan sweep.yaml
    expect_status 0
    expect_out '^model: blocks 1 to [0-9]+ of the checkpoint .* left out: num_hidden_layers is 1'
}
check "blocks beyond num_hidden_layers are named" cut

# A model that is something else: sed over the config, a file to make, what is said.
elsewhere() {
    sed "s|^model: .*|model: $1|" sweep.yaml >other.yaml
    run plan other.yaml
    expect_refusal "$2"
}
printf 'GGUF\3\0\0\0' >model.gguf
check "a GGUF file cut short" elsewhere model.gguf 'model\.gguf: the file ends within its counts'
mkdir gguf lora bare && cp model.gguf gguf/ && echo '{"base_model_name_or_path": "org/base"}' >lora/adapter_config.json
check "a folder of a GGUF" elsewhere ./gguf 'gguf/model\.gguf: the file ends within its counts'
cp model.gguf gguf/other.gguf
check "a folder of two" elsewhere ./gguf 'holds 2 GGUF files; name one of them: .*other\.gguf'
check "a LoRA adapter" elsewhere ./lora 'adapter_config.json: base_model_name_or_path.*org/base'
check "an empty folder" elsewhere ./bare 'there is no config\.json'
check "a file of weights" elsewhere model/model.safetensors 'name the folder'

finish
