#!/bin/bash
# A model that is written: it is the one that was measured, all of it under its name or nothing, and
# what cannot be written is refused before any work.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model model
make_texts
echo '{"eos_token_id": 0}' >model/generation_config.json
echo 'Apache-2.0' >model/LICENSE
echo 'weights of others' >model/other.bin
config sweep.yaml <<'EOF'
sweep:
  - algorithm: [rtn, gptq, awq]
    weights: {bits: 4, group_size: 64}
  - algorithm: gptq
    act_order: true
    weights: {bits: 3, group_size: 64, symmetric: true}
  - algorithm: rtn
    weights: {format: nf4}
  - algorithm: quarot
    weights: {bits: 4}
  - algorithm: rtn
    weights: {bits: 8, group_size: channel, symmetric: true}
    activations: {bits: 8, sharing: token, grid: [compressed_tensors, smoothquant]}
  - algorithm: rtn
    weights: {bits: 8, grid: bitsandbytes}
    activations: {bits: 8, grid: bitsandbytes, threshold: 6}
EOF
config_one one.yaml
export=(export --quiet --as compressed-tensors)

# The files of the recipe $1 in the layout $2 give every NLL of the recipe.
is_what_was_measured() {
    run export --quiet --verify --as "$2" --recipe "$1" sweep.yaml out
    expect_status 0
    expect_no_err
    expect_out '^14 quantized matrices, and all that is beside them, are read back as they were$'
    expect_out '^evaluation: perplexity [0-9.]+ of the recipe and of the files, every NLL alike to the last bit$'
    expect_out '^out$'
    expect_there out/{model.safetensors,config.json,tokenizer.json,generation_config.json,LICENSE}
    expect_absent out.partial out/other.bin out/model.safetensors.index.json
    grep -qE '"damp_percent": 0(\.0)?,' out/config.json && problem "expected no damping of 0, which transformers refuses"
    rm -rf out
}
for recipe in "rtn w4 g64" "gptq w4 g64" "awq w4 g64"; do
    check "$recipe is read back as it was measured" is_what_was_measured "$recipe" compressed-tensors
done
check "gptq, version 1" is_what_was_measured "gptq w3 g64 sym act_order" gptq
check "gptq, version 2" is_what_was_measured "rtn w4 g64" gptq_v2
check "awq" is_what_was_measured "awq w4 g64" awq
check "bitsandbytes" is_what_was_measured "rtn nf4" bitsandbytes
check "any format decoded is what was measured" is_what_was_measured "rtn nf4" dequantized

config gguf.yaml <<'EOF'
sweep:
  - {algorithm: rtn, weights: {mix: q4_k_m}}
  - {algorithm: [gptq, awq], weights: {format: q4_0}}
  - {algorithm: rtn, weights: {bits: 4, group_size: 64}}
  - {algorithm: rtn, weights: {format: q8_0}, activations: {bits: 8, sharing: token}}
EOF

config others.yaml <<'EOF'
sweep:
  - {algorithm: rtn, weights: none}
  - {algorithm: rtn, weights: {format: q4_0}, compute: as llama.cpp}
EOF

# The same as one GGUF file.
is_a_gguf_file() {
    run export --quiet --verify --as gguf --recipe "$1" gguf.yaml out.gguf
    expect_status 0
    expect_no_err
    expect_out 'every NLL alike to the last bit$'
    expect_there out.gguf
    expect_absent out.gguf.partial
}
for recipe in "rtn mix q4_k_m" "gptq q4_0" "awq q4_0"; do
    check "$recipe as GGUF is what was measured" is_a_gguf_file "$recipe"
    rm -f out.gguf
done

gguf_of_gguf() {
    is_a_gguf_file "rtn mix q4_k_m"
    run tokenize model evaluation.txt
    mv .out ids
    run tokenize out.gguf evaluation.txt
    cmp -s ids .out || problem "expected the ids of the model's own tokenizer"
    [ "$(wc -w <ids)" -gt 100 ] || problem "expected more ids"
    sed 's|^model: .*|model: out.gguf|' gguf.yaml >again.yaml
    run export --quiet --verify --as gguf --recipe "gptq q4_0" again.yaml two.gguf
    expect_status 0
    expect_out 'every NLL alike to the last bit$'
    mkdir holds
    mv out.gguf holds
    sed 's|^model: .*|model: holds|' gguf.yaml >again.yaml
    run export --quiet --as dequantized --recipe "gptq q4_0" again.yaml out
    expect_refusal 'a folder needs a config.json and a tokenizer.json'
    rm -rf holds two.gguf
}
check "a GGUF file is made of another, with its metadata" gguf_of_gguf

# A copy of the model, in folder $1, whose rotary positions are scaled as $2 says.
scaled_model() {
    cp -r model "$1"
    sed -Ei "s/(\"rope_scaling\": )null/\1$2/" "$1/config.json"
    sed "s|^model: .*|model: $1|" gguf.yaml >"$1.yaml"
}

rotary_scaling() {
    scaled_model llama3 '{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}'
    run export --quiet --verify --as gguf --recipe "gptq q4_0" llama3.yaml out.gguf
    expect_status 0
    expect_out 'of the recipe, .* of the files .*rotary frequencies|alike to the last bit$'
    sed 's|^model: .*|model: out.gguf|' llama3.yaml >again.yaml
    run export --quiet --verify --as gguf --recipe "gptq q4_0" again.yaml two.gguf
    expect_status 0
    expect_out 'every NLL alike to the last bit$'
    rm -f out.gguf two.gguf
    scaled_model yarn '{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "truncate": false}'
    run export --quiet --as gguf --recipe "gptq q4_0" yarn.yaml out.gguf
    expect_refusal "cannot say the model's rotary positions"
    expect_absent out.gguf out.gguf.partial
}
check "rotary positions are told to the last bit that factors reach, or refused" rotary_scaling

# A copy of the model, in folder $1, whose tokenizer.json the sed script $2 has edited.
edited_tokenizer() {
    cp -r model "$1"
    sed -i "$2" "$1/tokenizer.json"
    cmp -s {model,"$1"}/tokenizer.json && problem "expected '$2' to edit tokenizer.json"
    sed "s|^model: .*|model: $1|" gguf.yaml >"$1.yaml"
    run export --quiet --as gguf --recipe "rtn mix q4_k_m" "$1.yaml" "$1.gguf"
}

# "post_processor" with what stands around a text, "s" for the text.
template() {
    local item items=
    for item; do
        [ "$item" = s ] && item='{"Sequence": {"id": "A", "type_id": 0}}' ||
            item="{\"SpecialToken\": {\"id\": \"$item\", \"type_id\": 0}}"
        items+="${items:+, }$item"
    done
    echo "s/^\"pre_tokenizer\": {/\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [$items], \"pair\": [], \"special_tokens\": {\"<|endoftext|>\": {\"id\": \"<|endoftext|>\", \"ids\": [0], \"tokens\": [\"<|endoftext|>\"]}}}, &/; /^\"post_processor\": null/d"
}

tokenizers() {
    local end='<|endoftext|>'
    edited_tokenizer stripping 's/"lstrip": false/"lstrip": true/'
    expect_refusal 'an added token takes blanks beside it'
    edited_tokenizer around "$(template "$end" s "$end")"
    expect_status 0
    edited_tokenizer twice "$(template "$end" "$end" s)"
    expect_refusal 'around texts stands other than bos_token once before'
    edited_tokenizer within "$(template "$end" s s)"
    expect_refusal 'around texts stands other than bos_token once before'
    expect_absent {stripping,twice,within}.gguf
    edited_tokenizer beyond 's/^"added_tokens": \[/&{"id": 4096, "content": "<beyond>", "special": true},/'
    expect_status 0
    expect_out "tokenizer.json: the added token '<beyond>' is left out: its id is 4096, and the model has 4096 tokens"
    grep -qa '<beyond>' beyond.gguf && problem "expected no token beyond the model's"
    edited_tokenizer fallback 's/"byte_fallback": false/"byte_fallback": true/; s/^"normalizer": null/"normalizer": {"type": "Sequence", "normalizers": []}/'
    expect_status 0
    run tokenize model evaluation.txt
    mv .out ids
    run tokenize fallback.gguf evaluation.txt
    cmp -s ids .out || problem "expected the ids of the model's own tokenizer"
    edited_tokenizer past 's/^"vocab": {/&"past": 8192,/'
    expect_refusal "token 'past' has the id 8192, expected below"
}
check "a tokenizer that GGUF files cannot say is refused" tokenizers

chat_templates() {
    cp -r model chats
    sed -i 's/^{$/{"chat_template": [{"name": "default", "template": "usual one"}, {"name": "tools", "template": "other one"}],/' chats/tokenizer_config.json
    sed 's|^model: .*|model: chats|' gguf.yaml >chats.yaml
    run export --quiet --as gguf --recipe "rtn mix q4_k_m" chats.yaml chats.gguf
    expect_status 0
    grep -qa 'tokenizer.chat_template.tools.*other one' chats.gguf || problem "expected the template tools"
    grep -qa 'usual one' chats.gguf || problem "expected the default template"
    echo 'that of the file' >chats/chat_template.jinja
    run export --quiet --as gguf --recipe "rtn mix q4_k_m" chats.yaml again.gguf
    expect_status 0
    grep -qa 'that of the file' again.gguf || problem "expected the template of chat_template.jinja"
    grep -qa 'usual one' again.gguf && problem "expected one template"
    rm -f chats.gguf again.gguf around.gguf
}
check "chat templates are taken along, of a file or of a list" chat_templates

gguf_refusals() {
    run export --quiet --as gguf --recipe "rtn w4 g64" gguf.yaml out.gguf
    expect_refusal 'GGUF files have no type for weights of format int'
    run export --quiet --as gguf --recipe "rtn q8_0 a8 token" gguf.yaml out.gguf
    expect_refusal 'activations are quantized, which GGUF files cannot say'
    run export --quiet --as gguf --recipe "gptq q4_0" gguf.yaml out
    expect_refusal "'out' is written as one file, expected a name in .gguf"
}
check "what GGUF files cannot hold is refused with the reason" gguf_refusals

# The perplexity of the recipe $1 in the result file $2.
perplexity() {
    "$program" table --format json "$2" | grep -A60 "\"label\": \"$1\"" | sed -n 's/^ *"perplexity": \([0-9.]*\),*$/\1/p' |
        head -n 1
}

a_written_model_is_a_model() {
    local before after
    run "${export[@]}" one.yaml written/model
    expect_status 0
    sed 's|^model: .*|model: written/model|' one.yaml >two.yaml
    run run --quiet --output one.h5 one.yaml
    run run --quiet --output two.h5 two.yaml
    expect_status 0
    before=$(perplexity "rtn w4 channel" one.h5)
    after=$(perplexity unquantized two.h5)
    [ -n "$before" ] && [ "$before" = "$after" ] || problem "expected the same perplexity, found '$before' and '$after'"
    sed '/^model: /s|:.*|: written/model|; /^sweep:/,$d' sweep.yaml >three.yaml
    echo 'sweep: [{algorithm: rtn, weights: none, compute: as llama.cpp}]' >>three.yaml
    run run --quiet --output three.h5 three.yaml
    expect_status 1
    grep -q 'llama.cpp multiplies by' .out || problem "expected a refusal"
}
check "a written model is measured like any other, to the same figure" a_written_model_is_a_model

activations_are_told() {
    run export --quiet --verify --as compressed_tensors --recipe "rtn w8 channel sym a8 token grid=compressed_tensors" sweep.yaml out
    expect_status 0
    expect_out 'the recipe multiplies codes|alike to the last bit'
    grep -q '"strategy": "token"' out/config.json || problem "expected the inputs in config.json"
    rm -rf out
    run export --quiet --as compressed_tensors --recipe "rtn w8 channel sym a8 token" sweep.yaml out
    expect_refusal 'quantizes it anew as it runs, with grid: compressed_tensors: expected that in the recipe'
    run export --quiet --verify --as bitsandbytes --recipe "rtn w8 channel grid=bitsandbytes a8 token grid=bitsandbytes threshold=6" sweep.yaml out
    expect_status 0
    expect_out 'read back as they were, rounded as what reads them does'
    grep -q '"load_in_8bit": true' out/config.json || problem "expected 8 bits in config.json"
    grep -q '"llm_int8_threshold": 6.0' out/config.json || problem "expected the threshold in config.json"
    rm -rf out
}
check "how inputs are quantized is in config.json" activations_are_told

# $1 what is said, $2 weights; then layouts
inputs_refused() {
    local said=$1 weights=$2 layout
    shift 2
    config inputs.yaml <<<"sweep: [{algorithm: rtn, weights: $weights, activations: {bits: 8, sharing: token}}]"
    for layout in "$@"; do
        run export --quiet --as "$layout" inputs.yaml out
        expect_refusal "^bitsweep: model.layers.0.self_attn.q_proj: its input is quantized, $said\$"
        expect_absent out out.partial
    done
}
check "GPTQ and AWQ have no place for how inputs are quantized" inputs_refused \
    'which the layout cannot say' '{bits: 4, group_size: 64, scales: float16}' gptq gptq_v2 gptq_p awq
check "nor has bitsandbytes beside 4 bits" inputs_refused \
    'which the layout has of weights of 8 bits alone' '{format: nf4}' bitsandbytes
check "nor have plain weights" inputs_refused 'which plain weights cannot say' '{format: nf4}' dequantized

refusals() {
    run "${export[@]}" --recipe "rtn w5" sweep.yaml out
    expect_refusal "no recipe is called 'rtn w5', expected .*rtn w4 g64"
    run "${export[@]}" sweep.yaml out
    expect_refusal '--recipe is missing'
    run export sweep.yaml out
    expect_refusal '--as is missing'
    run export --as compressed sweep.yaml out
    expect_refusal "--as takes .*compressed_tensors.*, not 'compressed'"
    run "${export[@]}" --recipe "rtn nf4" sweep.yaml out
    expect_refusal '^bitsweep: model.layers.0.self_attn.q_proj: weights are nf4, expected int'
    run "${export[@]}" --recipe "quarot w4 channel" sweep.yaml out
    expect_refusal "'quarot w4 channel' turns the model's channels"
    run "${export[@]}" --set bits=4 one.yaml out
    expect_refusal "compressed_tensors, which has none"
    run "${export[@]}" --recipe "gptq w3 g64 sym act_order" sweep.yaml out
    expect_refusal '^bitsweep: model.layers.0.self_attn.q_proj: the groups of its columns are in an order'
    run export --quiet --as awq --recipe "gptq w3 g64 sym act_order" sweep.yaml out
    expect_refusal '^bitsweep: model.layers.0.self_attn.q_proj: the groups of its columns are in an order'
    run "${export[@]}" --recipe "rtn w16" others.yaml out
    expect_refusal 'the recipe quantizes no weights, .* expected the layout dequantized'
    run export --quiet --as dequantized --recipe "rtn q4_0 as llama.cpp" others.yaml out
    expect_refusal 'the recipe multiplies as llama.cpp does, which runs GGUF files alone'
    run export --quiet --as gguf --set plain=f16 --recipe "rtn q4_0 as llama.cpp" others.yaml out.gguf
    expect_refusal 'plain is f16 and the recipe multiplies as llama.cpp does'
    mkdir there
    run "${export[@]}" one.yaml there
    expect_refusal "'there' is there already"
    expect_absent out out.partial there.partial
}
check "what cannot be written is refused, and nothing is" refusals

a_full_disk() {
    trap '' XFSZ
    (ulimit -f 300 && exec timeout 60 "$program" "${export[@]}" one.yaml out >.out 2>.err)
    status=$?
    trap - XFSZ
    expect_refusal "cannot write 'out.partial/.*File too large"
    expect_absent out out.partial
}
check "a disk that is full is told of, and nothing stays" a_full_disk

# An export that has begun to write; $child is it.
begin_export() {
    local tries=0
    "$program" export --quiet --as dequantized --verify --recipe "awq w4 g64" sweep.yaml out >.out 2>.err &
    child=$!
    until [ -e out.partial/.bitsweep-export ] || [ $tries = 600 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
}

stopped() {
    begin_export
    kill -TERM $child
    wait $child
    status=$?
    expect_status 143
    expect_err 'nothing was written'
    expect_absent out out.partial
}
check "a stop leaves nothing" stopped

killed() {
    begin_export
    kill -KILL $child
    wait $child 2>/dev/null
    expect_absent out
    run "${export[@]}" --recipe "rtn w4 g64" sweep.yaml out
    expect_status 0
    expect_there out/config.json
    expect_absent out.partial out/part-00000
    rm -rf out
}
check "what a kill has left goes with the next export" killed

two_at_once() {
    begin_export
    kill -STOP $child
    run "${export[@]}" --recipe "rtn w4 g64" sweep.yaml out
    expect_status 2
    expect_err 'out: another run is writing it'
    [ -e out.partial/.bitsweep-export ] || problem "expected the first one to stay"
    kill -CONT $child
    wait $child
    status=$?
    expect_status 0
    expect_there out/model.safetensors
    expect_absent out.partial
    rm -rf out
}
check "of two exports to one name the second is refused" two_at_once

another_folder() {
    mkdir out.partial
    echo mine >out.partial/thesis.txt
    run "${export[@]}" --recipe "rtn w4 g64" sweep.yaml out
    expect_refusal "'out.partial' is there already and is no export that was ended"
    expect_there out.partial/thesis.txt
    expect_absent out
    rm out.partial/thesis.txt
    run "${export[@]}" --recipe "rtn w4 g64" sweep.yaml out
    expect_status 0
    expect_absent out.partial out/.bitsweep-export
    rm -rf out
}
check "a folder of that name that is another's stays as it is" another_folder

# A config that asks for exports; $1 is the first one.
asking() {
    config_one asks.yaml
    cat >>asks.yaml <<END
export:
  - $1
END
}

a_run_writes() {
    asking '{recipe: "rtn *", as: compressed-tensors, out: "made/{recipe}", verify: true}'
    echo '  - {recipe: rtn w4 channel, as: gptq_v2, out: made/second}' >>asks.yaml
    run plan --quiet asks.yaml
    expect_status 0
    expect_out '^export: rtn w4 channel as compressed_tensors to made/rtn_w4_channel, read back and measured$'
    expect_out '^export: rtn w4 channel as gptq_v2 to made/second$'
    run run --quiet --output asked.h5 asks.yaml
    expect_status 0
    expect_out '^evaluation: perplexity [0-9.]+ of the recipe and of the files, every NLL alike'
    expect_there asked.h5 made/rtn_w4_channel/{config.json,bitsweep.json} made/second/quantize_config.json
    expect_absent made/rtn_w4_channel.partial made/second.partial
    touch -d '2001-01-01' made/*/config.json
    run plan --quiet asks.yaml
    expect_out 'to made/rtn_w4_channel \(there already\)$'
    run run --quiet --output asked.h5 asks.yaml
    expect_status 0
    expect_out "^made/rtn_w4_channel: is there already, 'rtn w4 channel' as compressed_tensors: nothing is written$"
    [ -z "$(find made -name config.json -newermt 2002-01-01)" ] || problem "expected the exports to stay as they were"
    run export --quiet --as gptq_v2 one.yaml made/second
    expect_status 0
    expect_out '^made/second: is there already'
}
check "a run writes what its config asks for, once" a_run_writes

# The refusal of the config, before anything has run.
asked_refusal() {
    asking "$1"
    run run --quiet --output never.h5 asks.yaml
    expect_refusal "^(bitsweep: )?asks.yaml:11:$2"
    expect_absent never.h5
}

asked_in_vain() {
    asked_refusal '{recipe: "rtn *", as: awq, out: made/second}' "5: error: export: 'made/second' is there already, another export \(of 'rtn w4 channel'\)"
    asked_refusal '{recipe: rtn w4 channel, as: gptq_v2, out: made/second, verify: true}' "5: error: export: 'made/second' is there already, written without being read back"
    mkdir mine
    asked_refusal '{recipe: rtn w4 channel, as: awq, out: mine}' "5: error: export: 'mine' is there already, expected a name that is free"
    asked_refusal '{recipe: rtn w5, as: awq, out: new}' "5: error: export: no recipe is called 'rtn w5', expected .*rtn w4 channel"
    asked_refusal '{recipe: rtn w4 channel, as: bitsandbytes, out: new}' '5: error: export: model.layers.0.self_attn.q_proj: weights are int'
    asked_refusal '{recipe: rtn w4 channel, as: awk, out: new}' "34: error: as is 'awk', expected .*did you mean 'awq'"
    asked_refusal '{recipe: rtn w4 channel, as: awq, out: "{recpe}"}' "44: error: out is '.recpe.', expected .recipe. or .model."
    asked_refusal '{recipe: rtn w4 channel, as: awq, out: new, plain: f16}' "49: error: unknown key 'plain'"
    asked_refusal '{recipe: rtn w4 channel, as: awq}' '5: error: out is missing'
    asked_refusal '{recipe: "*", as: awq, out: new, model: other}' "45: error: model is 'other', expected model"
}
check "what a config asks for in vain is refused before anything runs" asked_in_vain

finish
