#!/bin/bash
# bitsweep fetch, end to end against a hub on loopback that keeps the protocol, and breaks it.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/hub.bash"
. "$project/tests/cli/support/sweep.bash"

tiny=$project/datasets/tiny
small="config.json tokenizer.json tokenizer_config.json"

# model PATH COMMIT: the embedded model's small files, and 300000 bytes for weights.
model() {
    publish "models/$1" "$2"
    cp "$tiny"/{config,tokenizer,tokenizer_config}.json "$commit_folder"
    head -c 300000 "$tiny/model.safetensors" >"$commit_folder/model.safetensors"
    echo "for people" >"$commit_folder/README.md"
}
model org/tiny $first
snapshot=$(cache_of models/org/tiny)/snapshots/$first
weights=root/models/org/tiny/commits/$first/model.safetensors
blob=$(cache_of models/org/tiny)/blobs/$(sha256_of "$weights")

fetched() {
    expect_status 0
    expect_snapshot models/org/tiny $first $small model.safetensors
}

# ---- the layout ----

start_hub
layout() {
    run fetch org/tiny
    fetched
    expect_out "^org/tiny: 4 files fetched, 0\.4 MB: $snapshot\$"
    expect_err '^\[3/4\] model\.safetensors  0\.3 MB$'
    [ "$(cat "$(cache_of models/org/tiny)/refs/main")" = $first ] || problem "expected refs/main"
    [ "$(readlink "$snapshot/model.safetensors")" = "../../blobs/$(sha256_of "$weights")" ] ||
        problem "expected the weights named by sha256"
    [ "$(readlink "$snapshot/config.json")" = "../../blobs/$(git_sha1_of "$tiny/config.json")" ] ||
        problem "expected config.json named by git's sha1"
    expect_requests 0 'README|auth='
    expect_requests 1 '^store GET .*signature=secret 200$'
}
check "a model comes into the cache as the hub's own tools lay it out" layout

up_to_date() {
    : >log
    run fetch --quiet org/tiny
    fetched
    expect_out "^org/tiny: up to date: $snapshot\$"
    expect_no_err
    expect_requests 1 '^hub GET /api/models/org/tiny/revision/main 200$'
    expect_requests 1 .
}
check "a second fetch asks whether the model is what it was, and nothing more" up_to_date

link_to_nothing() {
    rm "$blob"
    run fetch org/tiny
    fetched
    expect_out '1 file fetched'
}
check "a blob that was removed is fetched again" link_to_nothing

new_commit() {
    cp -r "root/models/org/tiny" root/models/org/moving
    publish models/org/moving $first
    run fetch org/moving
    publish models/org/moving $second
    cp "root/models/org/moving/commits/$first"/* "$commit_folder"
    echo '{"new": 1}' >"$commit_folder/tokenizer_config.json"
    : >log
    run fetch org/moving
    expect_status 0
    expect_snapshot models/org/moving $second $small model.safetensors
    expect_snapshot models/org/moving $first $small model.safetensors
    [ "$(cat "$(cache_of models/org/moving)/refs/main")" = $second ] || problem "expected the new ref"
    expect_out '^org/moving: 1 file fetched, 0\.0 MB: '
    expect_requests 1 'GET .*/resolve/'
    expect_requests 1 'GET .*tokenizer_config'
}
check "a new commit: what changed is fetched, the rest linked, the old one stays" new_commit

revisions() {
    mkdir -p root/models/org/moving/refs/refs/pr
    echo $first >root/models/org/moving/refs/refs/pr/1
    local name cache
    cache=$(cache_of models/org/moving)
    rm -rf "$cache"
    run fetch org/moving@refs/pr/1
    expect_status 0
    [ "$(cat "$cache/refs/refs/pr/1")" = $first ] || problem "expected refs/refs/pr/1"
    expect_absent "$cache/refs/main"
    run fetch --revision $second org/moving
    expect_status 0
    expect_there "$cache/snapshots/$second/config.json"
    expect_absent "$cache/refs/main" "$cache/refs/$second"
    run fetch --revision main org/moving@main
    expect_refusal "'org/moving@main' names a revision, and so does 'main'"
    run fetch --revision ../x org/moving
    expect_refusal "'\.\./x' is no revision"
    run fetch org/moving@v9
    expect_refusal "org/moving has no revision 'v9'"
}
check "revisions: a branch, a pull request, a commit, and one that is not there" revisions

# ---- which files ----

which_files() {
    expect_files() {
        run fetch "org/$1"
        expect_status 0
        expect_snapshot "models/org/$1" $first "${@:2}"
    }
    model org/opt $first
    mv "$commit_folder/model.safetensors" "$commit_folder/pytorch_model.bin"
    rm "$commit_folder/tokenizer.json"
    touch "$commit_folder"/{flax_model.msgpack,merges.txt,generation_config.json}
    echo '{}' >"$commit_folder/vocab.json"
    expect_files opt config.json tokenizer_config.json vocab.json merges.txt pytorch_model.bin

    model org/both $first
    cp "$weights" "$commit_folder/pytorch_model.bin"
    expect_files both $small model.safetensors

    local kind
    for kind in model.safetensors pytorch_model.bin; do
        model org/sharded $first
        rm "$commit_folder"/*.safetensors
        mkdir "$commit_folder/deep"
        head -c 100000 "$weights" >"$commit_folder/a-1.${kind#*.}"
        tail -c 100000 "$weights" >"$commit_folder/deep/a-2.${kind#*.}"
        echo unused >"$commit_folder/a-3.${kind#*.}"
        printf '{"metadata": {}, "weight_map": {"x": "a-1.%s", "y": "deep/a-2.%s", "z": "a-1.%s"}}' \
            "${kind#*.}" "${kind#*.}" "${kind#*.}" >"$commit_folder/$kind.index.json"
        expect_files sharded $small "$kind.index.json" "a-1.${kind#*.}" "deep/a-2.${kind#*.}"
        rm -rf root/models/org/sharded "$(cache_of models/org/sharded)"
    done

    model org/empty $first
    rm "$commit_folder"/*.safetensors
    run fetch org/empty
    expect_refusal 'org/empty has no weights that bitsweep reads: model\.safetensors, pytorch_model\.bin'
    rm "$commit_folder/config.json"
    run fetch org/empty
    expect_refusal 'org/empty has no config\.json'
    expect_absent "$(cache_of models/org/empty)"
}
check "safetensors before .bin, an index with its shards, tokenizers of every kind" which_files

several() {
    rm -rf "$HF_HOME"
    run fetch --quiet org/tiny org/nothing org/opt
    expect_status 2
    expect_out '^org/tiny: 4 files'
    expect_out '^org/opt: 5 files'
    expect_err_lines 1
    expect_err "^bitsweep: no model 'org/nothing'"
}
check "several names: one that fails does not keep the others" several

in_a_config() {
    publish models/org/whole $first
    cp "$tiny"/* "$commit_folder"
    make_texts
    config_one one.yaml
    sed -i 's/^model: .*/model: org\/whole/' one.yaml
    run plan one.yaml
    expect_refusal "model 'org/whole' is no folder in the current folder.*bitsweep fetch org/whole"
    run fetch org/whole
    expect_status 0
    run plan one.yaml
    expect_status 0
    expect_out '2 of 2 trials to run'
    run plan --quiet --output here.h5 <(sed "s|org/whole|$tiny|" one.yaml)
    cp .out by_path
    run plan --quiet --output here.h5 one.yaml
    expect_same_bytes by_path .out
}
check "a fetched model works in a config, with the trials of the same folder" in_a_config

# ---- tokens ----

start_hub token:org/tiny:hf_right gated:org/whole:hf_right
tokens() {
    export HF_TOKEN=hf_right
    run fetch org/tiny
    fetched
    expect_requests 1 '^store GET'
    expect_requests 0 '^store .*auth='
    expect_requests "$(requests '^hub ')" '^hub .* auth=Bearer hf_right$'
    unset HF_TOKEN
    rm -rf "$HF_HOME"
    mkdir "$HF_HOME"
    printf ' hf_right \r\n' >"$HF_HOME/token"
    run fetch org/tiny
    fetched
    mv "$HF_HOME/token" elsewhere
    rm -rf "$HF_HOME"
    HF_TOKEN_PATH=$work/elsewhere run fetch org/tiny
    fetched
}
check "the token goes to the hub, and not to where it redirects" tokens

refusals() {
    rm -rf "$HF_HOME"
    run fetch org/tiny
    expect_refusal "^bitsweep: no model 'org/tiny' at http.*misspelt, or it is private and needs a token"
    HF_TOKEN=hf_other run fetch org/tiny
    expect_refusal "no model 'org/tiny' .*misspelt, or it is private and the token of HF_TOKEN may not"
    HF_TOKEN=malformed run fetch org/tiny
    expect_refusal 'does not take the token of HF_TOKEN: Invalid credentials'
    run fetch org/whole
    expect_refusal 'org/whole is gated: ask for access at http.*/org/whole, then set HF_TOKEN'
    HF_TOKEN=hf_other run fetch org/whole
    expect_refusal 'org/whole is gated, and the token of HF_TOKEN has no access: ask for it at'
    HF_TOKEN=$'a\nX-Evil: 1' run fetch org/whole
    expect_refusal 'the token of HF_TOKEN has a character no token has'
    run fetch org//whole
    expect_refusal "'org//whole' is no name of the hub"
    expect_absent "$HF_HOME"
}
check "private, gated, misspelt and malformed are told apart, and leave nothing" refusals

offline() {
    : >log
    local word
    for word in 1 ON yes True; do
        HF_HUB_OFFLINE=$word run fetch org/tiny
        expect_refusal 'HF_HUB_OFFLINE forbids the network'
    done
    TRANSFORMERS_OFFLINE=1 run fetch org/tiny
    expect_refusal 'TRANSFORMERS_OFFLINE forbids the network'
    expect_requests 0 .
    HF_HUB_OFFLINE=0 HF_TOKEN=hf_right run fetch org/tiny
    fetched
}
check "HF_HUB_OFFLINE keeps it from asking" offline

# ---- what breaks on the way ----

start_hub cut:store/:100000:2
cut_twice() {
    run fetch org/tiny
    fetched
    expect_requests 3 '^store GET'
    expect_requests 1 '^store GET .* 206 range=bytes=100000-$'
    expect_requests 1 '^store GET .* 206 range=bytes=200000-$'
    expect_err 'again in 0\.5 s'
}
check "a connection that is cut goes on where it was" cut_twice

start_hub cutclean:store/:100000:1
cut_clean() {
    run fetch org/tiny
    fetched
    expect_requests 1 '^store GET .* 206 range=bytes=100000-$'
}
check "so does one that ends as if that were all" cut_clean

start_hub cut:tokenizer.json:1000:1
cut_small() {
    run fetch org/tiny
    fetched
    expect_requests 1 "GET .*/tokenizer\.json 206 range=bytes=1000- if-range=\"$(git_sha1_of "$tiny/tokenizer.json")\"\$"
}
check "a file of the hub itself goes on if it is still the same" cut_small

start_hub cut:store/:100000:1 norange:store/
no_range() {
    run fetch org/tiny
    fetched
    expect_requests 1 '^store GET .* 200 range=bytes=100000-$'
}
check "a server without Range: it begins anew" no_range

start_hub cut:store/:100000:1 badrange:store/
bad_range() {
    run fetch org/tiny
    fetched
    expect_requests 1 '^store GET .* 206 range=bytes=100000-$'
    expect_requests 2 '^store GET .* 200$'
}
check "a server that answers another range than it was asked: it begins anew" bad_range

start_hub cut:store/:100000
always_cut() {
    head -c 800000 "$tiny/model.safetensors" >"$weights.long"
    publish models/org/long $first
    cp "$tiny"/config.json "$commit_folder"
    mv "$weights.long" "$commit_folder/model.safetensors"
    run fetch org/long
    expect_status 0
    expect_snapshot models/org/long $first config.json model.safetensors
    expect_requests 8 '^store GET'
}
check "a connection that is always cut ends at last, as long as bytes come" always_cut

start_hub status:store/:503 retry:store/:0
always_503() {
    run fetch --quiet org/tiny
    expect_status 2
    expect_err '^bitsweep: model\.safetensors of org/tiny: 127\.0\.0\.1 answers 503$'
    expect_requests 6 '^store GET .* 503$'
    expect_absent "$snapshot/config.json" "$(cache_of models/org/tiny)/refs/main" "$blob.incomplete"
    ! grep -q secret .err || problem "expected no signature in a message"
}
check "a server that stays busy: told after six tries, and no model in parts" always_503

store_refuses() {
    start_hub "status:store/:$1"
    run fetch --quiet org/tiny
    expect_status 2
    expect_err_lines 1
    expect_err "^bitsweep: model\.safetensors of org/tiny: the file store of http.* answers $1\$"
    expect_absent "$blob" "$blob.incomplete" "$(cache_of models/org/tiny)/refs/main"
}
check "a file store that refuses is not taken for a misspelt name: 403" store_refuses 403
check "a file store that refuses is not taken for a misspelt name: 404" store_refuses 404

start_hub status:resolve:500:1 status:store/:429:1 retry:store/:1 status:api:502:1
passing() {
    local start=$SECONDS
    run fetch org/tiny
    fetched
    [ $((SECONDS - start)) -ge 2 ] || problem "expected two waits of half a second and one of one"
    expect_err 'answers 429; again in 1 s'
    expect_requests 1 '^hub HEAD .* 500$'
    expect_requests 1 '^store GET .* 429$'
}
check "429 and 5xx pass, and Retry-After is kept" passing

start_hub status:store/:429 retry:store/:4000
long_wait() {
    run fetch --quiet org/tiny
    expect_status 2
    expect_err_lines 1
    expect_err 'answers 429, and asks to come again in 4000 s'
}
check "a Retry-After of an hour is told instead of waited for" long_wait

unreachable() {
    stop_hub
    run fetch --quiet org/tiny
    expect_refusal "127\.0\.0\.1: Failed to connect to 127\.0\.0\.1 port"
    HF_ENDPOINT=ftp://127.0.0.1 run fetch --quiet org/tiny
    expect_refusal "HF_ENDPOINT: 'ftp://127\.0\.0\.1' is no http or https address"
}
check "no server at all: told at once" unreachable

# A slow hub, and a program that is ended in the middle of the weights.
interrupt() {
    restart_hub slow:store/:60
    rm -rf "$HF_HOME"
    # Background jobs of a script ignore SIGINT, and so may the script itself.
    env --default-signal=INT "$program" fetch org/tiny >.out 2>.err &
    local pid=$! size
    until [ "$(stat -c %s "$blob.incomplete" 2>/dev/null || echo 0)" -gt 50000 ]; do sleep 0.02; done
    kill "-$1" $pid
    wait $pid 2>/dev/null && problem "expected the fetch to end by the signal"
    size=$(stat -c %s "$blob.incomplete")
    [ "$size" -gt 50000 ] && [ "$size" -lt 300000 ] || problem "expected a part, found $size bytes"
    expect_absent "$blob" "$snapshot/config.json" "$(cache_of models/org/tiny)/refs/main"
    cmp -s -n "$size" "$weights" "$blob.incomplete" || problem "expected the file's beginning"
    restart_hub
    run fetch org/tiny
    fetched
    expect_requests 1 "^store GET .* 206 range=bytes=$size-\$"
}
check "Ctrl-C leaves what has come, and the next run goes on with it" interrupt INT
check "so does kill -9" interrupt KILL

other_part() {
    rm -rf "$HF_HOME"
    mkdir -p "$(dirname "$blob")"
    head -c 100 /dev/zero >"$blob.incomplete"
    run fetch --quiet org/tiny
    expect_status 2
    expect_err_lines 1
    expect_err "model\.safetensors of org/tiny: the checksum is [0-9a-f]{64}, expected $(sha256_of "$weights"); what was fetched is removed"
    expect_absent "$blob.incomplete" "$blob" "$snapshot/model.safetensors"
    run fetch org/tiny
    fetched
    rm -rf "$(cache_of models/org/tiny)"
    mkdir -p "$(dirname "$blob")"
    head -c 400000 /dev/zero >"$blob.incomplete"
    run fetch org/tiny
    fetched
    rm -rf "$(cache_of models/org/tiny)"
    mkdir -p "$(dirname "$blob")"
    cp "$weights" "$blob.incomplete"
    : >log
    run fetch org/tiny
    fetched
    expect_requests 0 '^store GET'
}
restart_hub
check "a part that is something else, is too long, or lacks only its name" other_part

part_is_a_link() {
    rm -rf "$HF_HOME"
    mkdir -p "$(dirname "$blob")"
    echo precious >precious
    ln -s "$work/precious" "$blob.incomplete"
    run fetch --quiet org/tiny
    expect_status 2
    [ "$(cat precious)" = precious ] || problem "expected the link's target untouched"
}
check "nothing is written through a link" part_is_a_link

two_at_once() {
    restart_hub slow:store/:5
    rm -rf "$HF_HOME"
    "$program" fetch org/tiny >other.out 2>other.err &
    local pid=$!
    run fetch org/tiny
    fetched
    wait $pid || problem "expected the other to succeed as well: $(cat other.err)"
    expect_requests 1 '^store GET'
    cat .err other.err | grep -q 'waiting for another process' || problem "expected one to wait"
}
check "two at once fetch each file once" two_at_once

# ---- a hub that lies ----

wrong_bytes() {
    restart_hub "wrong:$1"
    rm -rf "$HF_HOME"
    run fetch --quiet org/tiny
    expect_status 2
    expect_err_lines 1
    expect_err "$2 of org/tiny: the checksum is [0-9a-f]+, expected $3; what was fetched is removed"
    expect_absent "$snapshot/config.json" "$snapshot/$2" "$(cache_of models/org/tiny)/refs/main"
    [ -z "$(find "$HF_HOME" -name '*.incomplete')" ] || problem "expected nothing incomplete"
    restart_hub
    run fetch org/tiny
    fetched
}
check "wrong bytes of a large file" wrong_bytes store/ model.safetensors "$(sha256_of "$weights")"
check "wrong bytes of a small file" wrong_bytes /config.json config.json "$(git_sha1_of "$tiny/config.json")"

lie() {
    local message=$1
    shift
    start_hub "$@"
    run fetch --quiet org/tiny
    expect_status 2
    expect_err_lines 1
    expect_err "$message"
    expect_absent "$snapshot/config.json" "$(cache_of models/org/tiny)/refs/main"
    # Nothing is written but blobs, links to them and locks.
    local written
    written=$(find . -newer ports -type f ! -path './home/hub/models--org--tiny/blobs/*' \
        ! -path './home/hub/.locks/*' ! -name log ! -name ports ! -name .out ! -name .err)
    [ -z "$written" ] || problem "expected no such file: $written"
}
check "a checksum that is a path" lie "'\.\./\.\./evil' is no ETag" etag:tokenizer.json:../../evil
check "a checksum that is nothing" lie "'' is no ETag" etag:tokenizer.json:
check "a commit that is a path" lie 'gives no commit, but \.\./evil' commit:tokenizer.json:../evil
check "another commit than it listed" lie "changed while it was fetched, from commit $first to $second" commit:resolve:$second
check "more bytes than it said" lie 'more than the 1000 bytes' size:model.safetensors:1000
no_room() {
    lie 'no room for it .*: 9000000000000\.[0-9] MB are needed' "size:$1:9000000000000000000"
    expect_requests 0 'GET .*/resolve/'
}
check "a file larger than any disk is not begun, nor those before it" no_room model.safetensors
check "no size" lie 'the size is not told' size:model.safetensors:many
check "a redirect to a file" lie '127\.0\.0\.1: Protocol .file. not supported' location:model.safetensors:file:///etc/passwd
check "redirects in a circle" lie 'redirects in a circle' renamed:org/tiny/resolve:org/tiny/resolve

hostile_list() {
    local message=$1
    printf '%s' "$2" >root/models/org/tiny/api.json
    start_hub
    run fetch --quiet org/tiny
    expect_refusal "$message"
    expect_absent "$HF_HOME"
    rm root/models/org/tiny/api.json
}
check "a list that is no JSON" hostile_list 'is not valid JSON: line 1' '<html>'
check "a list without a commit" hostile_list 'gives no commit' '{"siblings": []}'
check "a list whose commit is a number" hostile_list 'gives no commit' '{"sha": 1, "siblings": []}'
check "a list that is none" hostile_list 'has no config\.json' "{\"sha\": \"$first\", \"siblings\": {\"a\": 1}}"
check "a list of GGUF files" hostile_list 'download the one that is meant \(x\.Q4_0\.gguf, say\) and name the file' \
    "{\"sha\": \"$first\", \"siblings\": [{\"rfilename\": \"README.md\"}, {\"rfilename\": \"x.Q4_0.gguf\"}]}"
check "a list of other things" hostile_list 'has no config\.json' "{\"sha\": \"$first\", \"siblings\": [1, {}, {\"rfilename\": 2}]}"

hostile_index() {
    model org/index $first
    rm "$commit_folder"/*.safetensors
    printf '%s' "$2" >"$commit_folder/model.safetensors.index.json"
    start_hub
    run fetch --quiet org/index
    expect_refusal "$1"
    expect_absent evil "$(cache_of models/org/index)/refs" "$(cache_of models/org/index)/snapshots/$first/config.json"
}
for path in ../../../../../../evil /evil a/../../evil 'a\\evil' a//b; do
    check "a shard at $path" hostile_index 'which is no path below a folder' "{\"weight_map\": {\"x\": \"$path\"}}"
done
check "a shard that is not there" hostile_index "org/index has no file 'nowhere' in revision 'main'" '{"weight_map": {"x": "nowhere"}}'
check "a shard that is a number" hostile_index "the file of 'x' is no text" '{"weight_map": {"x": 1}}'
check "an index without shards" hostile_index 'has no weight_map' '{"weight_map": {}}'
check "an index that is no JSON" hostile_index 'not valid JSON' 'weights'

start_hub cached:json
cached() {
    run fetch org/tiny
    fetched
    [ "$(readlink "$snapshot/config.json")" = "../../blobs/$(git_sha1_of "$tiny/config.json")" ] ||
        problem "expected the checksum of the repository, not that of the host it leads to"
    expect_requests 3 '^hub GET /store/.*json 200$'
}
check "small files to which the hub redirects keep their checksums" cached

start_hub renamed:old/name:org/tiny
renamed() {
    run fetch old/name
    expect_status 0
    expect_same_bytes "$weights" "$(cache_of models/old/name)/snapshots/$first/model.safetensors"
    [ "$(cat "$(cache_of models/old/name)/refs/main")" = $first ] || problem "expected refs/main"
}
check "a renamed model is found by its old name" renamed
# ---- a known text ----

# 60 documents of C4's validation file, as the hub has it.
publish datasets/allenai/c4 $first
mkdir -p "$commit_folder/en"
documents() {
    local i text
    for ((i = 0; i < 60; i++)); do
        text=$(head -c $((300 + 150 * (i % 5))) "$project/datasets/commons/evaluation.txt" | tr '\n"\\' '   ')
        printf '{"text": "%s", "url": "u"}\n' "$text"
    done
}
documents | gzip >"$commit_folder/en/c4-validation.00000-of-00008.json.gz"
known_text() {
    rm -rf "$HF_HOME"
    restart_hub
    printf '%s\n' "model: $tiny" \
        'evaluation: {perplexity: [{text: c4-new, tokens: 64, windows: 2}], layer_error: {windows: 0}}' \
        'sweep: [{algorithm: rtn, weights: {bits: 4}}]' >known.yaml
    run run known.yaml
    expect_refusal "'c4-new': en/c4-validation.*is not in the Hugging Face cache.*bitsweep fetch c4-validation"
    run fetch --quiet c4-validation
    expect_status 0
    expect_out '^c4-validation: 1 file fetched'
    run run --quiet --output known.h5 known.yaml
    expect_status 0
    expect_out 'on c4-new, protocol gptq, the first 2 of [0-9]+ windows × 64 tokens'
}
check "a known text is asked for, fetched, and measured on" known_text

# Items as the hub has them, and those that shots are drawn from.
publish datasets/Rowan/hellaswag $first
mkdir -p "$commit_folder/data"
for part in validation train; do
    cp "$project/tests/golden/parquet/hellaswag.parquet" "$commit_folder/data/$part-00000-of-00001.parquet"
done
known_task() {
    rm -rf "$HF_HOME"
    restart_hub
    printf '%s\n' "model: $tiny" \
        'evaluation: {tasks: [{task: hellaswag, shots: 2, limit: 4}], layer_error: {windows: 0}}' \
        'sweep: [{algorithm: rtn, weights: {bits: 4}}]' >task.yaml
    run run task.yaml
    expect_refusal "the task 'hellaswag': data/validation.*is not in the Hugging Face cache.*bitsweep fetch hellaswag"
    run fetch --quiet hellaswag
    expect_status 0
    expect_out '^hellaswag: 1 file fetched'
    expect_snapshot datasets/Rowan/hellaswag $first data/{validation,train}-00000-of-00001.parquet
    run run --quiet --output task.h5 task.yaml
    expect_status 0
    expect_out 'on hellaswag, 2-shot'
}
check "a known task is asked for, fetched, and measured" known_task

server_says() {
    local code
    for code in 404 403 418 500; do
        start_hub status:models/org/tiny:$code retry:models/org/tiny:0 \
            "says:models/org/tiny:$(printf '\033]0;x\007\033[31mred \302\2331m')"
        run fetch --quiet org/tiny
        expect_status 2
        ! grep -qaP '\x1b|\x07|\xc2\x9b' .err || problem "expected no control characters of the server's"
        [ $code = 404 ] || expect_err '\\x1b\]0;x\\x07\\x1b\[31mred \\u009b1m'
    done
}
check "what a server says is printed escaped" server_says
stop_hub

finish
