#!/bin/bash
# Sensitivity and budgets: one place at a time, bits shared out by that, and the recipe that comes of
# it.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model model
make_texts

# two_texts FILE: a config that measures on both texts; its grids come from stdin.
two_texts() {
    {
        cat <<'EOF'
model: model
calibration: {text: calibration.txt, windows: 2, tokens: 64}
evaluation:
  perplexity:
    - {text: calibration.txt, windows: 2, tokens: 64}
    - {text: evaluation.txt, windows: 2, tokens: 64}
  layer_error: {windows: 1}
sweep:
EOF
        cat
    } >"$1"
}

two_texts mix.yaml <<'EOF'
  - algorithm: [rtn, gptq]
    weights: {bits: [2, 4], group_size: 64}
    sensitivity: {places: block, text: calibration}
    budget: {bits_per_weight: [3.5, 100], rounds: 2, random: 5, seed: 3}
EOF

runs() {
    run run --quiet --output mix.h5 mix.yaml
    expect_status 0
    # The unquantized model on both texts, 2 x 2 x 2 candidates on one, 2 x 2 budgets on both, what is
    # around each, 2 x 2 x 2 on one, and 2 x 5 at random on both.
    [ "$(labels mix.h5 | wc -l)" = 46 ] || problem "expected 46 trials, found $(labels mix.h5 | wc -l)"
    labels mix.h5 | grep -q '^rtn allotted 100 bits by kl per block but layer\[1\]\.\* w2 g64$' ||
        problem "expected what one other candidate changes"
    [ "$(labels mix.h5 | grep -c '^gptq allotted at random [1-5] seed 3 per block$')" = 10 ] ||
        problem "expected mixes at random"
    labels mix.h5 | grep -q '^rtn w16 (layer\[1\]\.\* w2 g64)$' || problem "expected one block alone"
    [ "$(labels mix.h5 | grep -c '^gptq allotted 3.5 bits by kl per block$')" = 2 ] ||
        problem "expected the allotted recipe on both texts"
    cp mix.h5 before.h5
    run run --quiet --output mix.h5 mix.yaml
    expect_status 0
    expect_same_results before.h5 mix.h5
}
check "a run measures one place at a time, then what budgets make of it, once" runs

# On a cluster the job that merges the shards is the run over what they have measured.
on_a_cluster() {
    run submit --slurm --nodes 2 --dry-run --time 30 --output all.h5 mix.yaml
    expect_status 0
    sed '/^==> .*merge/,$d; 1d' .out >shards.sh
    sed '1,/^==> .*merge/d' .out >merge.sh
    grep -qx '#SBATCH --time=30' merge.sh || problem "expected a time for the second round"
    SLURM_JOB_ID=7 bash merge.sh >.out 2>.err </dev/null && problem "expected no second round without a first"
    local k
    for k in 1 2; do
        SLURM_ARRAY_JOB_ID=6 SLURM_ARRAY_TASK_ID=$k bash shards.sh >log.$k 2>&1 </dev/null ||
            problem "expected shard $k to end well: $(cat log.$k)"
        [ $k = 2 ] || SLURM_JOB_ID=7 bash merge.sh >.out 2>.err </dev/null || status=$?
    done
    expect_err '^what they are shared out by is not complete: the same submit again runs what is left$'
    [ "$status" = 1 ] || problem "expected 1 of a first round that is not whole, found $status"
    SLURM_JOB_ID=7 bash merge.sh >.out 2>.err </dev/null || problem "expected the merge to end well: $(cat .err)"
    expect_same_results mix.h5 all.h5
    expect_out "^gptq allotted 3.5 bits by kl"
}
check "submit: the second round is part of the job that merges" on_a_cluster

# What allows everything costs what the best candidates of all places do; the places' errors are of
# the same tokens, so that theirs is at most their sum.
cat >sums.py <<'EOF'
import json, math, sys
found = json.load(sys.stdin)
for chain in "rtn", "gptq":
    best = [p for p in found["places"] if p["candidate"] == chain + " w4 g64"]
    mix = [m for m in found["mixes"] if m["recipe"] == chain + " allotted 100 bits by kl per block"]
    errors = [p["damage_se"] for p in best]
    assert len(best) == 2 and len(mix) == 2
    for m in mix:
        assert math.isclose(m["predicted"], sum(p["damage"] for p in best), rel_tol=1e-5)
        assert 0 < m["predicted_se"] <= sum(errors) * 1.00001
    drawn = [m for m in found["mixes"] if m["kind"] == "at random" and m["recipe"].startswith(chain)]
    assert len({m["recipe"] for m in drawn}) == 5 and all(m["measured"] > 0 for m in drawn)
EOF

prints() {
    run allot --output mix.h5 mix.yaml
    expect_status 0
    expect_out 'one place at a time on calibration: KL mean'
    expect_out '^layer\[0\]\.\* '
    expect_out '^rtn allotted 3.5 bits by kl per block '
    expect_out '^rtn allotted 100 bits by kl per block: round 2 comes to the same$'
    expect_out '^gptq allotted at random  *evaluation  *5 '
    [ "$(grep -c '^  - algorithm' .out)" = 4 ] || problem "expected four grids"
    run allot --format json --output mix.h5 mix.yaml
    expect_status 0
    python3 sums.py <.out || problem "expected sums of what places cost, with their errors"
}
check "allot prints the places, the budgets and their recipes" prints

drawn() {
    run plot --output maps --pictures svg mix.h5 sensitivity
    expect_status 0
    # Two chains, two candidates, two blocks of seven linears each.
    [ "$(grep -c '^[01]' maps/sensitivity.tsv)" = 56 ] || problem "expected all linears in the map"
    grep -qxF 'PANEL[4] = "gptq, 4.31 bits"' maps/sensitivity.gp || problem "expected four panels"
    [ -s maps/sensitivity.svg ] || problem "expected a picture"
    run plot --output maps --pictures svg mix.h5 sensitivity_nll_delta
    expect_status 0
    run plot --output maps mix.h5 sensitivity --where 'recipe = gptq*random*'
    expect_refusal 'no finished trial to draw'
}
check "sensitivities are drawn as a map" drawn

# kld LABEL FILE: the divergences of the trials whose recipe is called so, as they are stored.
kld() {
    "$program" table --format json "$2" |
        awk -v label="$1" '/"recipe":/ { ours = index($0, "\"" label "\"") } /"kld_mean":/ && ours'
}

# The grids as they are printed are a config, whose recipes do the same to the last digit.
pasted() {
    "$program" allot --output mix.h5 mix.yaml | sed -n '/^  # /,$p' | two_texts pasted.yaml
    run run --quiet --output pasted.h5 pasted.yaml
    expect_status 0
    local algorithm there
    "$program" table --format json pasted.h5 >.pasted
    for algorithm in rtn gptq; do
        there=$(kld "$algorithm allotted 3.5 bits by kl per block" mix.h5)
        [ "$(wc -l <<<"$there")" = 2 ] || problem "expected $algorithm's mix on two texts"
        while read -r line; do
            grep -qF "$line" .pasted || problem "expected $line among the pasted recipes"
        done <<<"$there"
    done
}
check "a printed grid does what the allotted recipe does" pasted

# What allows everything gives the best candidate to all; no recipe takes more than its budget.
kept_within() {
    run allot --output mix.h5 mix.yaml
    awk '/ allotted 3.5 / && !/#/ && $9 ~ /^[0-9]/ { if ($9 + 0 > 3.5 || $9 + 0 < 2) exit 1; n++ } END { exit n != 2 }' .out ||
        problem "expected no more bits than the budget"
    grep -A3 '# rtn allotted 100' .out | grep -q 'bits: 4' || problem "expected 4 bits everywhere"
}
check "budgets are kept, and used" kept_within

refused() {
    two_texts wrong.yaml <<'EOF'
  - algorithm: rtn
    weights: {bits: [2, 4]}
    sensitivity: {places: layers, text: evaluatoin}
    budget: {bits_per_weight: 3, by: fisher}
  - algorithm: rtn
    weights: {bits: 4}
    budget: {bits_per_weight: 3}
  - algorithm: rtn
    weights: {bits: 4}
    sensitivity: {places: block}
    budget: {bits_per_weight: [3, -1]}
  - algorithm: rtn
    weights: {bits: 4}
    activations: {bits: 8}
    sensitivity: {places: block}
EOF
    run plan wrong.yaml
    expect_status 2
    expect_err "wrong.yaml:11:27: error: places is 'layers', expected linear, fused, block or role"
    expect_err "wrong.yaml:11:41: error: text is 'evaluatoin', expected .*evaluation"
    expect_err "wrong.yaml:12:38: error: by is 'fisher', which is made of gradients"
    expect_err "wrong.yaml:15:13: error: budget is shared out by what sensitivity measures"
    expect_err "wrong.yaml:19:35: error: bits_per_weight is '-1', expected a number above 0"
    expect_err "wrong.yaml:20:16: error: sensitivity is of weights at one place at a time"
    two_texts small.yaml <<'EOF'
  - algorithm: rtn
    weights: {bits: [2, 4], group_size: 64}
    sensitivity: {places: block, text: calibration}
    budget: {bits_per_weight: 1}
EOF
    run run --quiet --output small.h5 small.yaml
    expect_status 2
    expect_err "small.yaml:12:31: error: budget of 1 bits a weight: .* take 2.[0-9]* at least"
    [ ! -e small.h5 ] || problem "expected a budget to be refused before anything is measured"
    sed -i 's/bits_per_weight: 1/bytes: [90000000, 12]/' small.yaml
    run plan --output small.h5 small.yaml
    expect_err "small.yaml:12:32: error: budget of 12 bytes: the candidates take [0-9]* at least"
    sed -e '/tasks:/d; s/^  layer_error.*/  tasks: [{task: endings, items: "x.jsonl"}]\n  layer_error: {windows: 0}/' \
        mix.yaml >unmeasured.yaml
    sed -i 's/text: calibration}$/text: endings}/' unmeasured.yaml
    run plan unmeasured.yaml
    expect_status 2
    expect_err "unmeasured.yaml:13:13: error: budget is by kl, which 'endings' does not have"
    sed -i 's/text: endings}/text: calibration}/; s/3.5, 100]/3.5], by: output_error/' unmeasured.yaml
    run plan unmeasured.yaml
    expect_status 2
    expect_err "unmeasured.yaml:13:13: error: budget is by output_error, which layer_error: .* leaves out"
    config_one none.yaml
    run allot none.yaml
    expect_status 2
    expect_err "none.yaml has no grid with sensitivity"
}
check "what cannot be meant is refused" refused

# Two grids may have the same budget under two names.
named() {
    two_texts named.yaml <<'EOF'
  - algorithm: rtn
    weights: {bits: [2, 4], group_size: 64}
    sensitivity: {places: block, text: calibration}
    budget: {bits_per_weight: 3.5}
  - algorithm: rtn
    weights: {bits: [2, 4], group_size: 32}
    sensitivity: {places: block, text: calibration}
    budget: {bits_per_weight: 3.5}
EOF
    run plan --output named.h5 named.yaml
    expect_status 2
    expect_err "named.yaml:16:13: error: recipes of this budget are called as those of another one .named.yaml:12:[0-9]*., expected a name:"
    sed -i '16s/3.5/3.5, name: fine/' named.yaml
    run plan --output named.h5 named.yaml
    expect_status 0
    expect_out '^budgets: 2 recipes more, once'
    run run --quiet --output named.h5 named.yaml
    expect_status 0
    run allot --output named.h5 named.yaml
    local label bits
    for label in 'rtn allotted 3.5 bits by kl per block' 'rtn allotted 3.5 bits by kl per block fine'; do
        bits=$("$program" table --format csv --columns bits_per_weight named.h5 2>/dev/null | tr -d '\r' |
            awk -F, -v label="$label" '$3 == label { printf "%.4f\n", $NF }' | sort -u)
        [ -n "$bits" ] || problem "expected a trial of '$label'"
        expect_out "^$label  *$bits "
    done
}
check "budgets of one size have names, and each its own trial" named

# Each model has places of its own.
several() {
    cp -r model other
    sed -i 's/"rms_norm_eps": [^,}]*/"rms_norm_eps": 0.001/' other/config.json
    sed 's/^model: .*/model: [model, other]/' mix.yaml >several.yaml
    run run --quiet --output several.h5 several.yaml
    expect_status 0
    run allot --output several.h5 several.yaml
    expect_out '^model  *rtn allotted 3.5 bits by kl per block '
    expect_out '^other  *rtn allotted 3.5 bits by kl per block '
    sed -n '/^  # /,$p' .out | two_texts pasted.yaml
    sed -i 's/^model: .*/model: [model, other]/' pasted.yaml
    run plan --quiet --output pasted2.h5 pasted.yaml
    expect_status 0
}
check "budgets of several models" several

# What a file says beside the format is part of the budget: with act_order the group of each column.
indexed() {
    two_texts indexed.yaml <<'EOF'
  - algorithm: gptq
    weights: {bits: [2, 3, 4], group_size: 32}
    act_order: true
    sensitivity: {places: linear, text: calibration}
    budget: {bits_per_weight: 3.2}
EOF
    run run --quiet --output indexed.h5 indexed.yaml
    expect_status 0
    local bits
    bits=$("$program" table --format csv --columns bits_per_weight indexed.h5 2>/dev/null | tr -d '\r' |
        awk -F, '/allotted/ { printf "%.4f\n", $NF }' | sort -u)
    awk -v bits="$bits" 'BEGIN { exit !(bits > 2.9 && bits <= 3.2) }' ||
        problem "expected at most 3.2 bits a weight as they were measured, found '$bits'"
    run allot --output indexed.h5 indexed.yaml
    expect_out "^gptq allotted 3.2 bits by kl act_order  *$bits "
}
check "budgets count what a file says beside the format" indexed

# A grid that is pasted elsewhere finds the files that it names.
with_file() {
    mkdir -p there
    run imatrix --quiet --output there/own.gguf mix.yaml
    expect_status 0
    two_texts filed.yaml <<'EOF'
  - algorithm: rtn
    weights: {format: [q2_k, q4_0, q8_0], importance: there/own.gguf}
    sensitivity: {places: block, text: calibration}
    budget: {bits_per_weight: 8.5}
EOF
    run run --quiet --output filed.h5 filed.yaml
    expect_status 0
    "$program" allot --output filed.h5 filed.yaml | sed -n '/^  # /,$p' | two_texts there/pasted.yaml
    sed -i 's,^model: ,&../,; s,text: ,&../,' there/pasted.yaml
    run plan there/pasted.yaml
    expect_status 0
}
check "a printed grid says where its files are" with_file

finish
