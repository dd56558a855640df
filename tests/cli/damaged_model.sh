#!/bin/bash
# Models that are damaged or not supported: exit status 2 and one line that names the file and the
# place, whatever is wrong; the results of an earlier run stay as they are.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
. "$project/tests/cli/support/safetensors.bash"
. "$project/tests/cli/support/torch.bash"

weights=model/model.safetensors
make_texts
config_one one.yaml

# model, as it was downloaded.
restore() {
    rm -rf model
    cp -r "$project/datasets/tiny" model
}

earlier() {
    restore
    run run --quiet --output one.h5 one.yaml
    expect_status 0
    expect_there one.h5
    cp one.h5 earlier.h5
    # Nothing is read but what is needed, and what does not matter does not.
    rm model/tokenizer_config.json
    sed -i 's/"use_cache": true/"use_cache": false, "_name_or_path": "x"/' model/config.json
    edit_header $weights 's/"format":"pt"/"format":"pt","by":"hand"/'
    run run --quiet --output one.h5 one.yaml
    expect_status 0
    expect_same_bytes one.h5 earlier.h5
}
check "the sound model runs" earlier

# The damage is done already; the message is a pattern.
refused() {
    local command
    for command in "plan" "run --output one.h5"; do
        run $command one.yaml
        expect_refusal "^bitsweep: $1"
    done
    expect_same_bytes one.h5 earlier.h5
    expect_absent one.h5.lock one.h5.partial results
}

# "name | argument | message" from stdin, each after the damage that the function does with the
# argument.
table() {
    local name argument message
    while IFS='|' read -r name argument message; do
        argument=${argument# } argument=${argument% }
        restore
        cp earlier.h5 one.h5
        damage_and_refuse() { "$1" "$argument" && refused "${message# }"; }
        check "${name% }" damage_and_refuse "$1"
    done
}

# ---- the file of weights as a whole ----

cut_to() { truncate -s "$1" $weights; }
table cut_to <<'EOF'
cut to nothing | 0 | model/model\.safetensors: the file is too short: 0 bytes
cut within the header's length | 7 | model/model\.safetensors: the file is too short: 7 bytes, expected at least 8
cut after the header's length | 8 | model/model\.safetensors: the header's length is 6040, but only 0 bytes follow
cut within the header | 3000 | model/model\.safetensors: the header's length is 6040, but only 2992 bytes follow
cut after the header | 6048 | model/model\.safetensors: tensor 'model\.[a-z0-9_.]+': data_offsets \[[0-9]+, [0-9]+\] reach beyond the 0 bytes of data
cut within the weights | 2000000 | model/model\.safetensors: tensor 'model\.[a-z0-9_.]+': data_offsets .* reach beyond the 1993952 bytes
cut by one byte | 11547039 | model/model\.safetensors: tensor 'model\.norm\.weight': data_offsets .* reach beyond the 11540991 bytes
longer by a byte | 11547041 | model/model\.safetensors: the last 1 bytes belong to no tensor
EOF

say_length() { eight_bytes "$1" | dd of=$weights conv=notrunc status=none; }
table say_length <<'EOF'
header's length zero | 0 | model/model\.safetensors: the header is not valid JSON: line 1, column 1
header's length one short | 6039 | model/model\.safetensors: the last 1 bytes belong to no tensor
header's length much too short | 6000 | model/model\.safetensors: the header is not valid JSON: line 1, column 6001
header's length too long | 6100 | model/model\.safetensors: the header is not valid JSON: line 1, column 60[0-9]+
header's length beyond the file | 11547033 | model/model\.safetensors: the header's length is 11547033, but only 11547032 bytes follow
header's length 2^63 - 1 | 9223372036854775807 | model/model\.safetensors: the header's length is 9223372036854775807,
header's length 2^64 - 1 | -1 | model/model\.safetensors: the header's length is 18446744073709551615,
EOF

become() {
    rm -r $weights
    case $1 in
    nothing) ;;
    'a folder') mkdir $weights ;;
    text) cat "$project/datasets/commons/calibration.txt" >$weights ;;
    zeros) head -c 100000 /dev/zero >$weights ;;
    link) ln -s nowhere $weights ;;
    esac
}
table become <<'EOF'
no weights | nothing | model: there is neither model\.safetensors nor pytorch_model\.bin nor an index of either
a folder for weights | a folder | .*'model/model\.safetensors': Is a directory
a text for weights | text | model/model\.safetensors: the header's length is [0-9]+, but only [0-9]+ bytes follow
zeros for weights | zeros | model/model\.safetensors: the header is not valid JSON
a link to nowhere for weights | link | model: there is neither model\.safetensors nor
EOF

# ---- the header ----

header_becomes() { set_header $weights "$1"; }
table header_becomes <<'EOF'
header: no JSON | {"model.norm.weight": | model/model\.safetensors: the header is not valid JSON: line 1, column
header: a list | [1, 2] | model/model\.safetensors: the header is valid JSON, but no object
header: empty | {} | model/model\.safetensors: the last 11540992 bytes belong to no tensor
EOF

through_sed() { edit_header $weights "$1"; }
table through_sed <<'EOF'
a missing tensor | s/layers\.1\.mlp\.up_proj/layers.1.mlp.xx_proj/ | model/model\.safetensors: tensor 'model\.layers\.1\.mlp\.up_proj\.weight' is missing, expected with shape \[768, 256\]
a missing norm | s/model\.norm\.weight/model.norm.bias/ | model/model\.safetensors: tensor 'model\.norm\.weight' is missing, expected with shape \[256\]
a tensor twice | s/layers\.1\./layers.0./ | model/model\.safetensors: the header is not valid JSON: .*duplicate
a transposed tensor | s/(layers\.2\.mlp\.down_proj[^[]*)\[256,768\]/\1[768,256]/ | model/model\.safetensors: tensor 'model\.layers\.2\.mlp\.down_proj\.weight' has shape \[768, 256\], expected \[256, 768\]
a tensor of other rank | s/(layers\.3\.input_layernorm[^[]*)\[256\]/\1[1,256]/ | model/model\.safetensors: tensor 'model\.layers\.3\.input_layernorm\.weight' has shape \[1, 256\], expected \[256\]
a shape too large | s/(layers\.0\.self_attn\.q_proj[^[]*)\[256,256\]/\1[256,257]/ | model/model\.safetensors: tensor 'model\.layers\.0\.self_attn\.q_proj\.weight': data_offsets .* span 131072 bytes, but 65792 elements of BF16 take 131584
a shape whose product wraps | s/(layers\.0\.self_attn\.q_proj[^[]*)\[256,256\]/\1[4294967296,4294967296]/ | model/model\.safetensors: tensor 'model\.layers\.0\.self_attn\.q_proj\.weight': the product of the shape overflows
a negative shape | s/\[4096,256\]/[-4096,-256]/ | model/model\.safetensors: tensor 'model\.embed_tokens\.weight': shape holds something that is no size
no shape | s/"shape":\[4096,256\],// | model/model\.safetensors: tensor 'model\.embed_tokens\.weight': shape is missing
no dtype | s/"dtype":"BF16",// | model/model\.safetensors: tensor 'model\.embed_tokens\.weight': dtype is missing
an unknown dtype | s/BF16/XF16/ | model/model\.safetensors: tensor 'model\.embed_tokens\.weight' has dtype XF16, expected F32, F16, BF16, F8_E4M3, F8_E5M2 or F64
whole numbers for weights | s/(layers\.4\.self_attn\.k_proj[^}]*)BF16/\1I16/ | model/model\.safetensors: tensor 'model\.layers\.4\.self_attn\.k_proj\.weight' has dtype I16, expected F32, F16, BF16, F8_E4M3, F8_E5M2 or F64
offsets backwards | s/\[0,2097152\]/[2097152,0]/ | model/model\.safetensors: tensor 'model\.embed_tokens\.weight': data_offsets is no pair
offsets of three | s/\[0,2097152\]/[0,2097152,4]/ | model/model\.safetensors: tensor 'model\.embed_tokens\.weight': data_offsets is no pair
offsets beyond 2^63 | s/\[0,2097152\]/[0,99999999999999999999]/ | model/model\.safetensors: tensor .*: data_offsets is no pair
overlapping tensors | s/\[2097152,2097664\]/[2097150,2097662]/ | model/model\.safetensors: tensor 'model\.layers\.0\.input_layernorm\.weight': data_offsets \[2097150, 2097662\] overlap those of 'model\.embed_tokens\.weight'
an entry that is no object | s/"__metadata__":\{[^}]*\}/"x":1/ | model/model\.safetensors: tensor 'x': its entry in the header is no object
EOF

# ---- values that are no numbers ----

# "tensor index bytes": the bytes of a bfloat16 at an element, counted from the end where negative.
put() {
    local tensor index bytes offset
    read -r tensor index bytes <<<"$1"
    if [ "$index" -ge 0 ]; then
        offset=$(($(tensor_begin $weights "$tensor") + 2 * index))
    else
        offset=$(($(tensor_end $weights "$tensor") + 2 * index))
    fi
    poke $weights "$offset" "$bytes"
}
table put <<'EOF'
NaN in the embedding | model.embed_tokens.weight 0 \xc0\x7f | model/model\.safetensors: tensor 'model\.embed_tokens\.weight', shape \[4096, 256\]: element 0 is nan
the embedding's last is Inf | model.embed_tokens.weight -1 \x80\x7f | model/model\.safetensors: tensor 'model\.embed_tokens\.weight', shape \[4096, 256\]: element 1048575 is inf
NaN in a linear | model.layers.3.self_attn.v_proj.weight 12345 \x01\x7f\x81\xff | model/model\.safetensors: tensor 'model\.layers\.3\.self_attn\.v_proj\.weight', shape \[128, 256\]: element 12346 is -?nan
-Inf in a linear | model.layers.5.mlp.down_proj.weight 7 \x80\xff | model/model\.safetensors: tensor 'model\.layers\.5\.mlp\.down_proj\.weight', shape \[256, 768\]: element 7 is -inf
NaN in a norm | model.layers.0.post_attention_layernorm.weight -1 \xff\x7f | model/model\.safetensors: tensor 'model\.layers\.0\.post_attention_layernorm\.weight', shape \[256\]: element 255 is nan
Inf in the last norm | model.norm.weight 3 \x80\x7f | model/model\.safetensors: tensor 'model\.norm\.weight', shape \[256\]: element 3 is inf
EOF

# The largest numbers are finite; what becomes of them is not.
overflow() {
    restore
    put "model.layers.0.self_attn.q_proj.weight 0 \x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f"
    put "model.layers.0.input_layernorm.weight 0 \x7f\x7f\x7f\x7f"
    run run --quiet --output one.h5 one.yaml
    expect_refusal '^bitsweep: the unquantized model, block 0, .*not finite'
    expect_same_bytes one.h5 earlier.h5
    expect_absent one.h5.lock one.h5.partial
}
check "a model whose outputs overflow" overflow

# ---- config.json ----

edit_config() {
    local before
    before=$(cat model/config.json)
    case $1 in
    missing) rm model/config.json ;;
    empty) : >model/config.json ;;
    *) sed -E -i "$1" model/config.json ;;
    esac
    [ ! -s model/config.json ] || [ "$before" != "$(cat model/config.json)" ] ||
        problem "expected config.json to change: $1"
}
table edit_config <<'EOF'
config.json missing | missing | model: there is no config\.json, expected a folder of the Hugging Face layout
config.json empty | empty | model/config\.json is not valid JSON: line 1, column 1
config.json cut | 5,$d | model/config\.json is not valid JSON: line [45],
config.json with a comma too many | s/4096$/4096,/ | model/config\.json is not valid JSON: line 2[0-9], column 1
config.json a list | 2,$d;1s/.*/[]/ | model/config\.json is valid JSON, but no object
config.json with a key twice | s/"use_cache": true/"vocab_size": 4097/ | model/config\.json is not valid JSON: .*duplicate
model_type unknown | s/"llama"/"mamba"/ | model/config\.json: model_type 'mamba' is not supported \(a state-space or recurrent model.*; supported: llama
model_type missing | /model_type/d | model/config\.json: model_type is missing, expected the name of a model family
model_type a number | s/"llama"/7/ | model/config\.json: model_type is 7, expected the name
rope_scaling of another kind | s/("rope_scaling": )null/\1{"type": "mrope", "factor": 2.0}/ | model/config\.json: rope_scaling: rope_type is "mrope", expected default, linear, dynamic, yarn, longrope or llama3
rope_scaling a word | s/("rope_scaling": )null/\1"linear"/ | model/config\.json: rope_scaling is "linear", expected an object or null
rope_theta zero | s/("rope_theta": )10000.0/\10/ | model/config\.json: rope_theta is 0, expected a positive number
rope_theta a word | s/("rope_theta": )10000.0/\1"big"/ | model/config\.json: rope_theta is "big", expected a positive number
another activation | s/"silu"/"prelu"/ | model/config\.json: hidden_act is "prelu", expected silu,
biases that are not there | s/("attention_bias": )false/\1true/ | model/model\.safetensors: tensor 'model\.layers\.0\.self_attn\.q_proj\.bias' is missing, expected with shape \[256\]
a window of attention | s/("use_cache": )true/"sliding_window": 128/ | model/config\.json: sliding_window is 128, which models of this model_type do not read, and theirs is another; .*--accept-unknown sliding_window
a quantized checkpoint | s/("use_cache": )true/"quantization_config": {"bits": 4}/ | model/config\.json: quantization_config: the weights are quantized already
an unknown key | s/"use_cache"/"logit_softcap"/ | model/config\.json: logit_softcap is true, which is not understood and may change the forward pass; .*--accept-unknown logit_softcap
hidden_size missing | /hidden_size/d | model/config\.json: hidden_size is missing, expected a positive whole number
hidden_size zero | s/("hidden_size": )256/\10/ | model/config\.json: hidden_size is 0, expected a positive whole number
hidden_size negative | s/("hidden_size": )256/\1-256/ | model/config\.json: hidden_size is -256, expected a positive whole number
hidden_size a fraction | s/("hidden_size": )256/\1256.5/ | model/config\.json: hidden_size is 256\.5, expected a positive whole number
hidden_size a text | s/("hidden_size": )256/\1"256"/ | model/config\.json: hidden_size is "256", expected a positive whole number
hidden_size huge | s/("hidden_size": )256/\13000000000/ | model/config\.json: hidden_size is 3000000000, expected a positive whole number
hidden_size of another model | s/("hidden_size": )256/\1512/ | model/model\.safetensors: tensor 'model\.embed_tokens\.weight' has shape \[4096, 256\], expected \[4096, 512\]
intermediate_size of another | s/("intermediate_size": )768/\1704/ | model/model\.safetensors: tensor 'model\.layers\.0\.mlp\.gate_proj\.weight' has shape \[768, 256\], expected \[704, 256\]
vocab_size of another | s/("vocab_size": )4096/\14000/ | model/model\.safetensors: tensor 'model\.embed_tokens\.weight' has shape \[4096, 256\], expected \[4000, 256\]
a layer too many | s/("num_hidden_layers": )6/\17/ | model/model\.safetensors: tensor 'model\.layers\.6\.input_layernorm\.weight' is missing, expected with shape \[256\]
two billion layers | s/("num_hidden_layers": )6/\12147483647/ | model/config\.json: 2147483647 layers, expected at most 512
heads that do not share | s/("num_key_value_heads": )2/\13/ | model/config\.json: num_attention_heads 4 is not a multiple of num_key_value_heads 3
heads that do not divide | s/("num_attention_heads": )4/\13/;/head_dim/d;/num_key_value/d | model/config\.json: hidden_size 256 is not a multiple of num_attention_heads 3
an odd head | s/("head_dim": )64/\163/ | model/config\.json: head_dim is 63, expected an even number
heads of another model | s/("num_attention_heads": )4/\18/ | model/model\.safetensors: tensor 'model\.layers\.0\.self_attn\.q_proj\.weight' has shape \[256, 256\], expected \[512, 256\]
rms_norm_eps zero | s/1e-05/0/ | model/config\.json: rms_norm_eps is 0, expected a positive
rms_norm_eps below float32 | s/1e-05/1e-60/ | model/config\.json: rms_norm_eps is 1e-60, expected a positive float32
an untied head that is not there | s/("tie_word_embeddings": )true/\1false/ | model/model\.safetensors: tensor 'lm_head\.weight' is missing, expected with shape \[4096, 256\]
tie_word_embeddings a word | s/("tie_word_embeddings": )true/\1"yes"/ | model/config\.json: tie_word_embeddings is "yes", expected true or false
EOF

# ---- tokenizer.json ----

edit_tokenizer() {
    case $1 in
    missing) rm model/tokenizer.json ;;
    empty) : >model/tokenizer.json ;;
    cut) truncate -s 50000 model/tokenizer.json ;;
    *)
        cp model/tokenizer.json before.json
        sed -E -i "$1" model/tokenizer.json
        ! cmp -s before.json model/tokenizer.json || problem "expected tokenizer.json to change: $1"
        ;;
    esac
}
table edit_tokenizer <<'EOF'
tokenizer.json missing | missing | model/tokenizer\.json cannot be opened, and there is no vocab\.json with a merges\.txt either
tokenizer.json empty | empty | model/tokenizer\.json is not valid JSON: line 1, column 1
tokenizer.json cut | cut | model/tokenizer\.json is not valid JSON: line [0-9]+, column
another kind of tokenizer | s/"type": "BPE"/"type": "WordPiece"/ | model/tokenizer\.json: model.*'WordPiece'
another normalizer | s/"normalizer": null/"normalizer": {"type": "BertNormalizer"}/ | model/tokenizer\.json: .*BertNormalizer
another pre_tokenizer | /"pre_tokenizer"/,/use_regex/s/"ByteLevel"/"BertPreTokenizer"/ | model/tokenizer\.json: .*BertPreTokenizer
no vocabulary | s/"vocab": \{/"words": {/ | model/tokenizer\.json: model: vocab is missing or no object
an id that is no number | s/^("b": )[0-9]+/\1"x"/ | model/tokenizer\.json: vocab: 'b' has no valid id
a merge of unknown parts | s/"h ost"/"h qqqq"/ | model/tokenizer\.json: .*qqqq
a merge of one part | s/"h ost"/"host"/ | model/tokenizer\.json: merges: entry 3819 is no pair of tokens
an id beyond the vocabulary | s/^("Ġthe": )[0-9]+/\110001/ | evaluation: evaluation\.txt: token [0-9]+ has id 10001, but the model has a vocabulary of 4096
an added token with another id | s/^"id": 0,/"id": 17,/ | model/tokenizer\.json: added token '<\|endoftext\|>' has id 17, but 0 in vocab
EOF

# ---- a checkpoint of several files ----

# model.safetensors under another name, which an index gives.
shard() {
    mv $weights model/part.safetensors
    {
        printf '{"weight_map": {'
        header model/part.safetensors | grep -oE '"model\.[^"]*"' | sed 's/$/: "part.safetensors"/' |
            paste -sd,
        printf '}}\n'
    } >model/model.safetensors.index.json
}
sharded() {
    restore
    shard
    run run --quiet --output one.h5 one.yaml
    expect_status 0
    expect_same_bytes one.h5 earlier.h5 # the same tensors: the same trials
}
check "the same model by way of an index" sharded

damage_shards() {
    shard
    case $1 in
    missing) rm model/part.safetensors ;;
    cut) truncate -s 9000000 model/part.safetensors ;;
    lost) edit_header model/part.safetensors 's/layers\.1\.mlp\.up_proj/layers.1.mlp.xx_proj/' ;;
    *) sed -E -i "$1" model/model.safetensors.index.json ;;
    esac
}
table damage_shards <<'EOF'
a shard missing | missing | model/model\.safetensors\.index\.json names 'part\.safetensors' for tensor 'model\..*No such file
a shard cut | cut | model/part\.safetensors: tensor 'model\.[a-z0-9_.]+': data_offsets .* reach beyond
a tensor not in its shard | lost | model/part\.safetensors: holds no tensor 'model\.layers\.1\.mlp\.up_proj\.weight'
an index of nothing | s/"weight_map": .*/"weight_map": {/ | model/model\.safetensors\.index\.json: weight_map is missing or empty
an index without a map | s/weight_map/weights/ | model/model\.safetensors\.index\.json: weight_map is missing or empty
an index that leads elsewhere | s/"part/"..\/part/ | model/model\.safetensors\.index\.json: tensor 'model\..*': its shard is no plain file name
an index that forgets a tensor | s/,"model\.norm\.weight": "part\.safetensors"// | model/part\.safetensors: tensor 'model\.norm\.weight' is missing
EOF

# ---- PyTorch's files ----

restore
to_torch $weights sound.bin

# The same model, as torch.save would write it.
torch() {
    rm $weights
    cp sound.bin model/pytorch_model.bin
}
torch_model() {
    restore
    torch
    run run --quiet --output one.h5 one.yaml
    expect_status 0
    expect_same_bytes one.h5 earlier.h5 # the same tensors: the same trials
}
check "the same model from PyTorch" torch_model

# The archive with another pickle, the sound one put through sed.
torch_pickle() {
    torch
    sed -E "$1" sound.bin.pickle >changed.pickle
    ! cmp -s sound.bin.pickle changed.pickle || problem "expected the pickle to change: $1"
    torch_zip changed.pickle sound.bin.data >model/pytorch_model.bin
}
table torch_pickle <<'EOF'
a pickle that calls a program | s/ccollections/cos/;s/OrderedDict/system/ | model/pytorch_model\.bin: data\.pkl: byte [0-9]+: asks for 'os\.system', which a dict of tensors does not need \(nothing was executed\)
a pickle cut short | s/u\.$// | model/pytorch_model\.bin: data\.pkl: the pickle is cut short
a pickle of nothing | 1s/.*/}./;2,$d | model/pytorch_model\.bin: data\.pkl: no pickle of protocol 2 to 5
a missing tensor in a pickle | s/layers\.1\.mlp\.up_proj/layers.1.mlp.xx_proj/ | model/pytorch_model\.bin: tensor 'model\.layers\.1\.mlp\.up_proj\.weight' is missing, expected with shape \[768, 256\]
a tensor twice in a pickle | s/layers\.1\./layers.0./ | model/pytorch_model\.bin: holds tensor 'model\.layers\.0\.[a-z_.]+' twice
whole numbers in a pickle | s/BFloat16Storage/ShortStorage/ | model/pytorch_model\.bin: tensor 'model\.embed_tokens\.weight' has dtype I16, expected F32
another size of elements | s/BFloat16Storage/FloatStorage/ | model/pytorch_model\.bin: tensor 'model\.[a-z0-9_.]+': its storage, data/0, takes 11540992 bytes, expected 23081984
a storage that is not there | s/X(.)\x00\x00\x000X/X\1\x00\x00\x001X/ | model/pytorch_model\.bin: tensor 'model\.[a-z0-9_.]+': its storage is not in the archive
EOF

torch_file() {
    torch
    case $1 in
    old) printf '\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.' >model/pytorch_model.bin ;;
    text) echo '<html>not found</html>' >model/pytorch_model.bin ;;
    compressed) poke model/pytorch_model.bin "$(($(stat -c %s sound.bin) - 22 - 58 + 10))" '\x08' ;;
    nan) poke model/pytorch_model.bin "$((30 + 14 + $(stat -c %s sound.bin.pickle) + 30 + 12))" '\xc0\x7f' ;;
    -*) truncate -s "$1" model/pytorch_model.bin ;;
    esac
}
table torch_file <<'EOF'
a file before PyTorch 1.6 | old | model/pytorch_model\.bin: PyTorch's format before 1\.6; write it anew with: python3 -c
a page for weights from PyTorch | text | model/pytorch_model\.bin: no PyTorch checkpoint: a zip archive's end is missing
an archive cut by a byte | -1 | model/pytorch_model\.bin: no PyTorch checkpoint: .*was the file cut short
an archive cut to its half | -6000000 | model/pytorch_model\.bin: no PyTorch checkpoint: .*was the file cut short
a compressed archive | compressed | model/pytorch_model\.bin: entry 'model/data/0': it is compressed; torch\.save stores without compressing
NaN in a storage | nan | model/pytorch_model\.bin: tensor 'model\.embed_tokens\.weight', shape \[4096, 256\]: element 0 is nan
EOF

torch_shards() {
    torch
    mv model/pytorch_model.bin model/part.bin
    {
        printf '{"weight_map": {'
        header "$project/datasets/tiny/model.safetensors" | grep -oE '"model\.[^"]*"' |
            sed 's/$/: "part.bin"/' | paste -sd,
        printf '}}\n'
    } >model/pytorch_model.bin.index.json
    sed -E -i "$1" model/pytorch_model.bin.index.json
}
torch_sharded() {
    restore
    torch_shards ''
    run run --quiet --output one.h5 one.yaml
    expect_status 0
    expect_same_bytes one.h5 earlier.h5
}
check "PyTorch's file by way of an index" torch_sharded
table torch_shards <<'EOF'
an index of a file that is not there | s/part\.bin/part.pt/ | model/pytorch_model\.bin\.index\.json names 'part\.pt' for tensor 'model\..*No such file
an index of a tensor too many | s/\{"model/{"x": "part.bin", "model/ | model/part\.bin: holds no tensor 'x', which pytorch_model\.bin\.index\.json places in it
EOF

restore
again() {
    run run --quiet --output one.h5 one.yaml
    expect_status 0
    expect_same_bytes one.h5 earlier.h5
}
check "the sound model again: its results are still there" again

finish
