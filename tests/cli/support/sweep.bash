# Models, texts and configs for the scripts that sweep, and how two result files compare.

# The embedded model with its first two blocks only: everything happens, in a third of the time.
make_model() {
    mkdir "$1"
    cp "$project"/datasets/tiny/{model.safetensors,tokenizer.json,tokenizer_config.json} "$1"
    sed 's/"num_hidden_layers": 6/"num_hidden_layers": 2/' "$project/datasets/tiny/config.json" \
        >"$1/config.json"
    grep -q '"num_hidden_layers": 2' "$1/config.json"
}

# calibration.txt and evaluation.txt: the beginnings of the embedded texts, up to a whole line.
make_texts() {
    local name
    for name in calibration evaluation; do
        head -c 20000 "$project/datasets/commons/$name.txt" | sed '$d' >"$name.txt"
    done
}

# config FILE [WINDOWS [TOKENS]]: writes a config whose grids (and charts) come from stdin.
config() {
    {
        cat <<EOF
model: model
calibration: {text: calibration.txt, windows: 2, tokens: 64}
evaluation:
  perplexity:
    - {text: evaluation.txt, windows: ${2:-2}, tokens: ${3:-64}}
  layer_error: {windows: 1}
EOF
        cat
    } >"$1"
}

# The cheapest sweep there is: the unquantized model and one recipe.
config_one() {
    config "$1" 1 16 <<'EOF'
sweep:
  - algorithm: rtn
    weights: {bits: 4, group_size: channel}
EOF
}

# The least --memory with which a config runs: a recipe or few a walk.
least_memory() {
    "$program" plan --memory 1M "$@" 2>&1 >/dev/null | sed -n 's/.*walk needs \([0-9]*\) MB.*/\1M/p'
}

# The walks a run would take.
walks() {
    "$program" plan "$@" | sed -n 's/.* in \([0-9]*\) walks\{0,1\} of .*/\1/p'
}

# Every field of every trial but times and threads, a line each, in the file's order.
fields() {
    "$program" table --format json "$1" | grep -v '"seconds_\|"time"\|"started"\|"threads"'
}

labels() {
    "$program" table --format json "$1" | sed -n 's/^ *"label": "\(.*\)",$/\1/p'
}

# The trials of two result files, a line each; the last field is 1 where every NLL has the same bits.
compare() { "$program" diff --format csv "$1" "$2" | tr -d '\r' | sed 1d; }

# Two result files with the same trials in the same order, alike but for the times: every summary
# number to the last digit, every token's NLL to the last bit.
expect_same_results() {
    fields "$1" >.fields_a && fields "$2" >.fields_b || problem "expected two result files: $1, $2"
    [ "$(grep -c '"id"' .fields_a)" -gt 1 ] || problem "expected trials in $1"
    cmp -s .fields_a .fields_b ||
        problem "expected the same fields, found $(diff .fields_a .fields_b | sed -n '2,5p' | tr -s ' \n' ' ')"
    local trials same
    trials=$(grep -c '"id"' .fields_a)
    same=$(compare "$1" "$2" | grep -c ',1$')
    [ "$same" = "$trials" ] || problem "expected $trials trials with the same NLL bits, found $same"
}
