#!/bin/bash
# The path of somebody who has a fine-tune and a text of their own and needs a figure and a table for a
# paper: the README's config with three lines changed, then its commands as they stand there.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

readme=$project/README.md
mkdir bin && ln -s "$program" bin/bitsweep
ln -s "$project/plots" plots # as in the clone; a program that stands elsewhere finds its own

# The fine-tune: weights that differ a little from the embedded model's.
make_model finetuned
size=$(stat -c %s finetuned/model.safetensors)
dd if=finetuned/model.safetensors of=finetuned/model.safetensors bs=2 count=2000 conv=notrunc status=none \
    skip=$((size / 8 * 3)) seek=$((size / 4))
cmp -s finetuned/model.safetensors "$project/datasets/tiny/model.safetensors" && exit 1

# The text: prose without a newline at its end, and letters that are not ASCII.
{ head -c 9000 "$project/datasets/commons/evaluation.txt" | sed '$d'; printf 'Zum Schluß: 数 — fin.'; } >thesis.txt

# What the person writes: a model, a text, and how much calibration a small test takes.
the_config() {
    sed -n '/^```yaml$/,/^```$/p' "$readme" | sed '1d;$d' |
        sed -E 's|^model: [^ ]*|model: {path: finetuned, name: our model}|
                s|text: datasets/commons/calibration.txt, windows: 64, tokens: 256|text: thesis.txt, windows: 4, tokens: 64|
                s|text: datasets/commons/evaluation.txt, tokens: 256|text: thesis.txt, name: thesis, tokens: 64|' >my.yaml
    [ "$(grep -c 'thesis\|finetuned' my.yaml)" = 3 ] || problem "expected three lines of the README to change"
}
check "the README's config, with an own model and text" the_config

# A command of the README, its comment left out, by the name and with the words it has there.
follow() {
    local command
    command=$(grep '^bitsweep ' "$readme" | grep -F -m 1 -e "bitsweep $1" | sed 's/  *#.*//')
    [ -n "$command" ] || problem "expected a command of the README that begins with: bitsweep $1"
    status=0
    PATH=$work/bin:$PATH timeout -k 5 "$patience" bash -c "$command" >.out 2>.err </dev/null || status=$?
    expect_status 0
}

planned() {
    follow 'plan my.yaml'
    expect_out 'smoothquant w8 channel a8 token'
    follow 'plan my.yaml --places'
    expect_out 'mlp.down_proj'
}
check "plan" planned

ran() {
    follow 'run my.yaml'
    expect_there results/my.h5 results/my/pareto.png results/my/perplexity_vs_bits.svg results/my/layer_error.gp
    expect_out '^our model on thesis, '
    expect_out '^gptq w3 g128 act_order '
}
check "run" ran

# A row for each recipe, and nothing in it that LaTeX would stumble over.
the_table() {
    follow 'table results/my.h5'
    expect_out '^\\begin\{tabular\}'
    expect_out '^\\toprule$'
    expect_out '^\\caption\{our model on thesis, '
    expect_out '^\\label\{tab:our-?model-thesis\}'
    expect_out '^gptq w3 g128 act\\_order & '
    expect_out '\\textbf\{'
    [ "$(grep -c ' & .*\\\\$' .out)" -ge 15 ] || problem "expected a row for each recipe"
    ! grep -v '^%' .out | grep -qP '(?<!\\)[_%#]|[^\x00-\x7f]' ||
        problem "expected LaTeX alone: $(grep -P '(?<!\\)[_%#]|[^\x00-\x7f]' .out | head -n 2)"
}
check "a table for LaTeX" the_table

the_figures() {
    follow 'plot results/my.h5 pareto'
    expect_there results/my/pareto_single.pdf
    [ "$(head -c 5 results/my/pareto_single.pdf)" = %PDF- ] || problem "expected a PDF"
    grep -q 'SECTION = "our model on thesis' results/my/pareto_single.gp || problem "expected the names of the config"
    follow 'plot results/my.h5 xy'
    expect_there results/my/kld_mean_over_bits_per_weight.svg
}
check "figures" the_figures

# What else the README shows of a result file, with the file that it compares with.
the_rest() {
    cp results/my.h5 results/other.h5
    follow 'report results/my.h5'
    follow 'diff results/my.h5 results/other.h5'
    follow 'diff results/my.h5 --between'
    expect_out 'gptq w3'
    follow 'export my.yaml'
    expect_there out/config.json
    follow 'describe gptq'
}
check "the other commands of the README" the_rest

finish
