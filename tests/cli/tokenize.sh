#!/bin/bash
# `bitsweep tokenize`: the ids of a text, and what it refuses. The ids themselves are tested in
# tests/unit/test_tokenizer_kinds.c.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"

kinds=$project/tests/golden/tokenizers
printf 'cost 3.50\n' >text

# What expected.json says of the text called "plain", and that text.
expected() {
    sed -n "/^\"$1\":{/,/^\"plain\"/p" "$kinds/expected.json" | sed -n 's/^"plain":\[\(.*\)\],$/\1/p' |
        tr ',' ' '
}
printf '%s' "The baker's loaves, still warm, cost 3.50 at 7:45; we'd bought 12 of them." >plain

ids() {
    run tokenize --ids "$kinds/$1" plain
    expect_status 0
    expect_no_err
    [ "$(cat .out)" = "$(expected "$1")" ] || problem "expected $(expected "$1")"
}
check "--ids: one line, as the library gives them" ids llama2
check "--ids: from vocab.json and merges.txt" ids opt

special_tokens() {
    run tokenize --ids --no-special "$kinds/llama2" plain
    expect_status 0
    [ "1 $(cat .out)" = "$(expected llama2)" ] || problem "expected all ids but the first, 1"
}
check "--no-special leaves BOS out" special_tokens

pieces() {
    run tokenize "$kinds/llama2" text
    expect_status 0
    expect_out '^ +1 "<s>"$'
    expect_out '^ +13 "<0x0A>"$'
    [ "$(awk '{print $1}' .out | tr '\n' ' ')" = "$("$program" tokenize --ids "$kinds/llama2" text) " ] ||
        problem "expected the ids of --ids, one a line"
    run tokenize "$kinds/gpt2" text
    expect_out '^ +[0-9]+ "Ċ"$'
}
check "a line a token, with its spelling" pieces

standard_input() {
    "$program" tokenize --ids "$kinds/gpt2" text >file
    "$program" tokenize --ids "$kinds/gpt2" <text >redirected
    "$program" tokenize --ids "$kinds/gpt2" < <(cat text) >piped
    expect_same_bytes file redirected
    expect_same_bytes file piped
}
check "standard input, a file or a pipe" standard_input

empty_text() {
    run tokenize --ids "$kinds/llama2"
    expect_status 0
    [ "$(cat .out)" = 1 ] || problem "expected BOS alone"
}
check "an empty text" empty_text

missing() {
    run tokenize nowhere text
    expect_refusal "'nowhere'.*bitsweep fetch nowhere"
    mkdir -p folder
    run tokenize folder text
    expect_refusal 'folder/tokenizer.json cannot be opened'
    : >folder/tokenizer.model
    run tokenize folder text
    expect_refusal 'tokenizer.model \(SentencePiece\) alone .*save_pretrained'
    run tokenize "$kinds/gpt2" nothing
    expect_refusal "cannot open 'nothing'"
    run tokenize "$kinds/gpt2" folder
    expect_refusal "cannot read 'folder'"
    run tokenize
    expect_refusal 'MODEL'
}
check "what is missing is named" missing

not_utf8() {
    printf 'ab\200' >broken
    run tokenize "$kinds/gpt2" broken
    expect_refusal 'broken: text is not UTF-8: byte offset 2'
}
check "text that is not UTF-8" not_utf8

# A pattern that looks at the whole rest of a line from every place in it.
backtracking() {
    mkdir -p slow
    sed 's/"Regex":"[^"]*"/"Regex":".*\\\\x{1F600}|."/' "$kinds/llama3/tokenizer.json" >slow/tokenizer.json
    grep -q 1F600 slow/tokenizer.json || problem "expected a pattern to be replaced"
    head -c 200000 /dev/zero | tr '\0' a >long
    run tokenize slow long
    expect_refusal "long: cannot split the text into words by the tokenizer's pattern '\.\*.*x\{1F600\}\|\.'"
}
check "a pattern that backtracks without end" backtracking

as_saved() {
    mkdir -p saved
    cp "$kinds/gpt2/tokenizer.json" saved
    printf '{"model_max_length": 1000000000000000019884624838656, "is_local": true}' >saved/tokenizer_config.json
    run tokenize --ids saved plain
    expect_status 0
    [ "$(cat .out)" = "$(expected gpt2)" ] || problem "expected $(expected gpt2)"
    printf '{"split_special_tokens": true}' >saved/tokenizer_config.json
    printf '<|endoftext|>' | "$program" tokenize --ids saved >split
    [ "$(wc -w <split)" -gt 5 ] || problem "expected the token in pieces, found $(cat split)"
}
check "tokenizer_config.json as transformers writes it" as_saved

finish
