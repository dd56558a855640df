#!/bin/bash
# Charts and tables from the command line: every chart as picture, data and script that draws it
# again; every style of table; and what happens where gnuplot is not there or fails.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
. "$project/tests/cli/support/space.bash"

charts="perplexity_vs_bits pareto layer_error perplexity_by_position"
make_model model
make_texts
config sweep.yaml 2 32 <<'EOF'
sweep:
  - algorithm: [rtn, gptq]
    weights: {bits: [3, 4], group_size: [channel, 64]}
charts: [pareto, layer_error]
EOF

if ! command -v gnuplot >/dev/null; then
    echo "no gnuplot: install it first" >&2
    exit 1
fi

# A chart's four files, each what its ending says.
expect_chart() {
    local base=$1/$2
    expect_there "$base.png" "$base.svg" "$base.tsv" "$base.gp"
    [ "$(head -c 8 "$base.png" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] ||
        problem "expected the signature of PNG: $base.png"
    [ "$(tail -c 8 "$base.png" | od -An -tx1 | tr -d ' ')" = 49454e44ae426082 ] ||
        problem "expected a whole PNG: $base.png"
    head -n 5 "$base.svg" | grep -q '<svg' && tail -n 3 "$base.svg" | grep -qx '</svg>' ||
        problem "expected a whole SVG: $base.svg"
    [ "$(grep -c "id='gpPt[0-9]*' stroke-width='0.250'" "$base.svg")" = 8 ] ||
        problem "expected points with an outline that shows: $base.svg"
    head -n 1 "$base.tsv" | grep -q '^#' || problem "expected a heading: $base.tsv"
    [ "$(grep -vc '^#' "$base.tsv")" -gt 3 ] || problem "expected data: $base.tsv"
}

# ---- channels ----

channels_are_drawn() {
    {
        sed '/^sweep/,$d' sweep.yaml
        cat <<'EOF'
  channels: {where: [attn_input, down_input], windows: 2}
sweep:
  - algorithm: [rtn, smoothquant, quarot]
    weights: {bits: 8}
    activations: {bits: 8}
EOF
    } >channels.yaml
    run run --quiet --output channels.h5 channels.yaml
    expect_status 0
    run plot --output maxima channels.h5 channels
    expect_status 0
    expect_there maxima/channels.png maxima/channels.svg maxima/channels.tsv maxima/channels.gp
    # Panels of 256 and of 768 channels, those in twos; the unquantized model and three algorithms.
    [ "$(grep -c '^[0-9].*attn_input' maxima/channels.tsv)" = 1024 ] &&
        [ "$(grep -c '^[0-9].*down_input' maxima/channels.tsv)" = 1536 ] ||
        problem "expected a line for each channel or two"
    # The largest over the median: smoothing lowers it, and a rotation more.
    sed -n 's/^MOST\[[1-4]\] = //p' maxima/channels.gp >most
    sed -n 's/^MEDIAN\[[1-4]\] = //p' maxima/channels.gp >median
    paste most median | awk '{r[NR] = $1 / $2} END {exit !(NR == 4 && r[1] == r[2] && r[3] < r[1] && r[4] < r[3])}' ||
        problem "expected channels to become more alike: $(paste most median | tr '\n' ';')"
    run plot --output maxima channels.h5 channels --size single --dark --pictures pdf
    expect_status 0
    expect_there maxima/channels_single_dark.pdf
    run plot --output maxima sweep.h5 channels
    expect_err "no finished trial to draw"
    sed 's/attn_input, down_input/attn_inpt/' channels.yaml >wrong.yaml
    run plan wrong.yaml
    expect_status 2
    expect_err "where is 'attn_inpt', which is no site of"
}

# ---- pictures ----

run_draws() {
    local chart
    run run --quiet --output sweep.h5 sweep.yaml
    expect_status 0
    for chart in pareto layer_error; do
        expect_chart sweep $chart
        expect_err "^sweep/$chart\.png"
    done
    expect_absent sweep/perplexity_vs_bits.gp # which the config does not name
    cp sweep.h5 before.h5
}
check "run draws the charts that the config names" run_draws

check "the largest values of channels before and after smoothing and rotation" channels_are_drawn

plot_all() {
    local chart
    run plot --output all sweep.h5
    expect_status 0
    expect_no_out
    for chart in $charts; do
        expect_chart all $chart
        expect_err "^all/$chart\.png"
    done
    [ "$(ls -A all | wc -l)" = 16 ] || problem "expected four files a chart: $(ls -A all | tr '\n' ' ')"
}
check "plot draws every chart" plot_all

# What stands beside the axis stands in the picture: letters are 32 high, turned, on a line that is theirs.
labels_whole() {
    local place
    for place in $(sed -n 's/.*translate(\([0-9]*\)\.[0-9]*,[0-9.]*) rotate(270).*/\1/p' all/*.svg); do
        [ "$place" -ge 26 ] || problem "expected a label that is not cut off, found its line at $place"
    done
}
check "labels beside the axis are whole" labels_whole

plot_one() {
    run plot --output one/by/one sweep.h5 "$1"
    expect_status 0
    expect_chart one/by/one "$1"
    [ "$(ls -A one/by/one | wc -l)" = 4 ] || problem "expected this chart alone"
    # The same results are the same chart.
    expect_same_bytes "one/by/one/$1.tsv" "all/$1.tsv"
    expect_same_bytes "one/by/one/$1.png" "all/$1.png"
    rm -r one
}
for chart in $charts; do check "plot $chart" plot_one "$chart"; done

beside() {
    rm -rf sweep
    run plot sweep.h5 pareto
    expect_status 0
    expect_chart sweep pareto
}
check "plot without --output draws beside the results" beside

config more.yaml 2 32 <<'EOF'
sweep:
  - algorithm: [rtn, awq]
    weights: {bits: [2, 4], group_size: 64}
EOF
"$program" run --quiet --output more.h5 more.yaml >/dev/null 2>&1

# Two files are one to tables and charts, and the words of a selection are the same for both.
several() {
    run table sweep.h5 more.h5 --format csv --columns file
    expect_status 0
    expect_out '^model,evaluation,gptq w3 g64,sweep\.h5'
    expect_out '^model,evaluation,awq w2 g64,more\.h5'
    [ "$(grep -c 'rtn w4 g64' .out)" = 1 ] || problem "expected a trial of both files once"
    run plot sweep.h5 more.h5 pareto layer_error --where 'bits < 4 and not algorithm = gptq'
    expect_status 0
    for chart in pareto layer_error; do
        expect_chart sweep+more $chart
        expect_err "^sweep\+more/$chart\.png"
    done
    [ "$(awk -F'\t' 'NF == 8 && $5 ~ /^[01]$/ {print $6}' sweep+more/pareto.tsv | sort | tr '\n' ' ')" = \
        'awq w2 g64 rtn w2 g64 rtn w3 channel rtn w3 g64 ' ] ||
        problem "expected four trials: $(cut -f6 sweep+more/pareto.tsv | tr '\n' ' ')"
    run plot --where 'bits = 9' sweep.h5 pareto
    expect_refusal '^bitsweep: sweep\.h5: none of 9 trials fits'
    run plot sweep.h5 nothing.h5
    expect_refusal "^bitsweep: cannot open 'nothing\.h5'"
    run plot sweep.h5 paretto
    expect_refusal "^bitsweep: no chart is called 'paretto' .did you mean 'pareto'..:"
    run plot sweep.h5 pareto_kl_mean
    expect_refusal "^bitsweep: no chart is called 'pareto_kl_mean': 'kl_mean' is no value of trials .did you mean 'kld_mean'..\$"
    run plot sweep.h5 layer_eror
    expect_refusal "^bitsweep: no chart is called 'layer_eror': .* .did you mean 'layer_error'..\$"
    run plot sweep.h5 xy --panels group_size
    expect_refusal "'group_size' is no column: .* .did you mean 'granularity'..\$"
}
check "several files, and a selection" several

# One that cannot be drawn keeps no other from it; in the end all of them are named in one message.
some_fail() {
    run plot -o some sweep.h5 paretto kv_cache pareto layer_error heatmap
    expect_status 2
    expect_chart some pareto
    expect_chart some layer_error
    [ "$(grep -c '^bitsweep: ' .err)" = 1 ] || problem "expected one message"
    expect_err "^bitsweep: 3 of 5 charts are not drawn: paretto: no chart is called 'paretto'.*; kv_cache: .*; heatmap: .* are one cell of the map"
}
check "charts that fail keep no other from being drawn" some_fail

# What a command says it drew is there, whatever models and texts have charts of their own.
named() {
    cat >texts.yaml <<'EOS'
model: [model, twin]
evaluation:
  perplexity:
    - {text: evaluation.txt, windows: 2, tokens: 16}
    - {text: calibration.txt, windows: 2, tokens: 16}
sweep:
  - {algorithm: rtn, weights: {bits: [3, 4]}}
EOS
    local picture
    cp -r model twin
    sed -i 's/"num_hidden_layers": 2/"num_hidden_layers": 1/' twin/config.json
    run run --quiet -o texts.h5 texts.yaml
    run plot -o both texts.h5 --dark pareto perplexity_vs_bits
    expect_status 0
    expect_err '^both/pareto_\*_dark\.png, \.svg, \.gp, \.tsv$'
    run plot -o one texts.h5 pareto --where 'model = twin'
    expect_status 0
    expect_err '^one/pareto_\*\.png, \.svg'
    run plot -o second texts.h5 pareto --where 'text = calibration and model = twin'
    expect_status 0
    for picture in both/pareto_*_dark.png one/pareto_*.png $(sed -n 's/\.png, .*/.png/p' .err); do
        expect_there "$picture"
    done
}
check "what is said to be drawn is there" named

# For a paper and for a dark page, each by a name of its own; the script draws the same again.
print_out() {
    run plot --output print --size single --pictures pdf,eps sweep.h5 pareto
    expect_status 0
    expect_err '^print/pareto_single\.pdf, \.eps, \.gp, \.tsv$'
    [ "$(ls print | tr '\n' ' ')" = 'pareto_single.eps pareto_single.gp pareto_single.pdf pareto_single.tsv ' ] ||
        problem "expected four files: $(ls print | tr '\n' ' ')"
    [ "$(head -c 5 print/pareto_single.pdf)" = %PDF- ] || problem "expected the signature of PDF"
    [ "$(head -c 10 print/pareto_single.eps)" = '%!PS-Adobe' ] || problem "expected the signature of EPS"
    grep -aqE 'CreationDate(: *[^ ]|.*\(D:)' print/pareto_single.* && problem "expected no date in what is drawn"
    rm print/*.pdf
    (cd print && LC_ALL=C.UTF-8 gnuplot -d pareto_single.gp) >.out 2>.err || problem "expected gnuplot to draw"
    expect_there print/pareto_single.pdf
    run plot --output print --dark sweep.h5 pareto
    expect_status 0
    expect_chart print pareto_dark
    expect_err '^print/pareto_dark\.png, \.svg, \.gp, \.tsv$'
}
check "charts for print, and dark ones" print_out

# A config says of a chart what plot does, and what it cannot mean is told before anything runs.
in_a_config() {
    config asked.yaml <<'EOS'
sweep:
  - {algorithm: rtn, weights: {bits: [3, 4]}, kv_cache: {bits: [4, 16]}}
charts:
  - kv_cache
  - {chart: xy, x: bits, y: kld_mean, lines: [algorithm, kv_code_bits]}
  - {chart: heatmap_kld_mean, x: kv_code_bits, panels: algorithm}
EOS
    run run --quiet -o asked.h5 asked.yaml
    expect_status 0
    expect_chart asked kv_cache
    expect_chart asked kld_mean_over_bits
    expect_chart asked heatmap_kld_mean_bits_over_kv_code_bits
    [ "$(sed -n 's/^KEY_NAMES\[[12]\] = //p' asked/kld_mean_over_bits.gp | tr '\n' ' ')" = '"rtn, KV4" "rtn, KV16" ' ] ||
        problem "expected two lines"
    # panels are in the order of their numbers, whatever the trials' is
    run plot asked.h5 xy --x bits --y kld_mean --lines algorithm --panels kv_code_bits \
        --sort -kv_code_bits -o ordered
    expect_status 0
    run plot asked.h5 heatmap_kld_mean --x bits --y activation_bits --panels kv_code_bits \
        --sort -kv_code_bits -o ordered
    expect_status 0
    for chart in kld_mean_over_bits heatmap_kld_mean_activation_bits_over_bits; do
        [ "$(sed -n 's/^PANEL\[[12]\] = //p' ordered/$chart.gp | tr '\n' ' ')" = '"KV4" "KV16" ' ] ||
            problem "expected panels by their bits in $chart: $(grep '^PANEL' ordered/$chart.gp)"
    done
    # of bits what axes say is bits
    grep -q '^X_IS_BITS = 1' ordered/kld_mean_over_bits.gp || problem "expected ticks of bits"
    # of trials whose cache is as it was there is no point
    [ "$(grep -c 'rtn w[34]' asked/kv_cache.tsv)" = 2 ] || problem "expected two points: $(cat asked/kv_cache.tsv)"
    run plot asked.h5 -o unasked
    expect_status 0
    expect_absent unasked/kv_cache.png unasked/heatmap.png # all of one number of bits
    local chart message
    while IFS='|' read -r chart message; do
        sed "/^charts/,\$d" asked.yaml >wrong.yaml
        printf 'charts:\n  - %s\n' "$chart" >>wrong.yaml
        run run -o wrong.h5 wrong.yaml
        expect_refusal "^wrong.yaml:10:$message"
        expect_absent wrong.h5
    done <<'EOS'
{chart: xy, x: bitz}|5: error: x is 'bitz', expected a value or field of results
{chart: pareto, x: bits}|5: error: x is nothing that can be said of chart 'pareto'
{chart: heatmap, panels: [algorithm, no]}|5: error: panels is 'no', expected
{chart: xy, y: [a, b]}|20: error: y is a list, expected a column's name
{chart: xy, z: 3}|17: error: unknown key 'z'
{x: bits}|5: error: chart is missing
{chart: paretto}|13: error: chart is 'paretto', expected .*did you mean 'pareto'
EOS
}
check "charts in a config, with axes and lines" in_a_config

any_value() {
    run plot sweep.h5 xy --output any --x bits --y kld_mean --lines algorithm,granularity --where 'algorithm = gptq'
    expect_status 0
    expect_err '^any/kld_mean_over_bits\.png, \.svg, \.gp, \.tsv$'
    expect_chart any kld_mean_over_bits
    [ "$(cut -f1,5 any/kld_mean_over_bits.tsv | grep gptq | tr '\t\n' ': ')" = \
        '3:gptq w3 channel 4:gptq w4 channel 3:gptq w3 g64 4:gptq w4 g64 ' ] ||
        problem "expected two lines: $(cut -f1,5 any/kld_mean_over_bits.tsv | tr '\t\n' ': ')"
    run plot sweep.h5 xy
    expect_status 0
    expect_chart sweep perplexity_over_bits_per_weight
    run plot sweep.h5 xy --y label
    expect_refusal "^bitsweep: --y: 'label' is a text, expected a number$"
    run plot sweep.h5 xy --y kld_meen
    expect_refusal "^bitsweep: 'kld_meen' is no column: .*did you mean 'kld_mean'"
    run plot sweep.h5 pareto --x bits
    expect_refusal '^bitsweep: --x is nothing that can be said of the charts asked for, expected xy or heatmap among them$'
    run plot sweep.h5 --panels model
    expect_refusal '^bitsweep: --panels is nothing that can be said of the charts'
}
check "any value over any other" any_value

# The folder moves to another place; the script needs nothing but its data.
draws_again() {
    local chart
    cp -r all moved
    for chart in $charts; do
        rm moved/$chart.png moved/$chart.svg
        (cd moved && LC_ALL=C.UTF-8 gnuplot -d $chart.gp) >.out 2>.err || problem "expected gnuplot to draw $chart.gp"
        expect_no_err
        expect_chart moved $chart
        expect_same_bytes all/$chart.svg moved/$chart.svg
    done
    [ "$(ls -A moved | wc -l)" = 16 ] || problem "expected no further files"
}
check "a chart's script draws it again from its folder" draws_again

follows_data() {
    sed -i '/^#/!s/\([0-9]\)\./\11./' moved/pareto.tsv
    ! cmp -s all/pareto.tsv moved/pareto.tsv || problem "expected numbers in the data"
    (cd moved && LC_ALL=C.UTF-8 gnuplot -d pareto.gp) >.out 2>.err || problem "expected gnuplot to draw"
    expect_chart moved pareto
    ! cmp -s all/pareto.svg moved/pareto.svg || problem "expected another picture of other data"
}
check "a chart shows its data" follows_data

from_anywhere() {
    mkdir elsewhere
    cd elsewhere || return
    run plot --output charts ../sweep.h5 pareto
    cp .out .err ..
    cd ..
    expect_status 0
    expect_chart elsewhere/charts pareto
}
check "plot works from any folder" from_anywhere

own_templates() {
    cp -r "$project/plots" templates
    run plot --plots templates --output own sweep.h5 pareto
    expect_status 0
    expect_chart own pareto
    run plot --plots nowhere --output none sweep.h5 pareto
    expect_refusal "^bitsweep: .*'nowhere/style\.gp': No such file or directory$"
}
check "--plots" own_templates

replaced() {
    echo old >all/pareto.png
    echo old >all/pareto.svg
    run plot --output all sweep.h5 pareto
    expect_status 0
    expect_chart all pareto
}
check "old pictures are replaced" replaced

# ---- failures ----

unharmed() { expect_same_bytes sweep.h5 before.h5; }

# A full disk: what was drawn before stays, nothing is left aside, and the message says so.
full_disk() {
    cat >full.sh <<'EOF_FULL'
mount -t tmpfs -o size=4m tmpfs full || exit 77
cp -r all full/charts
dd if=/dev/zero of=full/fill bs=1k count=99999 status=none 2>/dev/null
dd if=/dev/null of=full/fill bs=1k seek=$(($(stat -c %s full/fill) / 1024 - $1)) status=none
timeout -k 5 "$patience" "$program" plot --output full/charts changed.h5 pareto
status=$?
diff -r all full/charts || status="$status, and other files"
exit "$status"
EOF_FULL
    local room
    for room in 0 4 12 24 40 60; do
        mkdir -p full
        status=0
        $own_space bash full.sh $room >.out 2>.err || status=$?
        expect_refusal '^bitsweep: full/charts'
        ! grep -q 'other files' .err || problem "expected the old files with $room KB left"
    done
}
if [ -z "$own_space" ]; then
    skip "a full disk" "no name space of its own"
else
    sed 's/bits: \[3, 4\]/bits: [2, 3, 4, 5]/' sweep.yaml >changed.yaml
    "$program" run --quiet --output changed.h5 changed.yaml >/dev/null 2>&1
    check "a full disk leaves the old pictures" full_disk
fi

# A PATH without gnuplot, but with what the script itself needs.
without_gnuplot() {
    mkdir bare
    local words
    ln -s "$(command -v timeout)" bare/timeout
    (PATH=$work/bare && run plot --output bare_charts sweep.h5 pareto && exit "$status")
    status=$?
    expect_refusal '^bitsweep: gnuplot cannot be run: No such file or directory \(is it installed\?\)$'
    expect_there bare_charts/pareto.gp bare_charts/pareto.tsv # to be drawn elsewhere
    unharmed
    # The results of a run are safe before its charts are drawn, and its table is printed.
    (PATH=$work/bare && run run --quiet --output bare.h5 sweep.yaml && exit "$status")
    status=$?
    expect_status 2
    expect_out '^gptq w4 g64 '
    expect_err '^bitsweep: gnuplot cannot be run: '
    expect_same_results sweep.h5 bare.h5
    # The next one, where gnuplot is, draws them without running anything.
    cp bare.h5 bare_before.h5
    run run --output bare.h5 sweep.yaml
    expect_status 0
    expect_same_bytes bare.h5 bare_before.h5
    expect_chart bare pareto
}
check "no gnuplot: a message, and the results are there" without_gnuplot

# A gnuplot that says something and fails, one that is killed, one that draws nothing.
bad_gnuplot() {
    rm -rf bad
    mkdir bad
    printf '#!/bin/sh\n%s\n' "$1" >bad/gnuplot
    chmod +x bad/gnuplot
    (PATH=$work/bad:$PATH && run plot --output bad_charts sweep.h5 pareto && exit "$status")
    status=$?
    expect_status 2
    expect_no_out
    expect_err "^bitsweep: bad_charts/pareto\.gp: $2"
    [ -z "$3" ] || expect_err "$3"
    unharmed
}
check "gnuplot that fails with words" bad_gnuplot 'echo "line 7: no such terminal" >&2; exit 1' \
    'gnuplot failed: ' 'line 7: no such terminal$'
check "gnuplot that fails without words" bad_gnuplot 'exit 3' 'gnuplot failed$' ''
check "gnuplot that is killed" bad_gnuplot 'kill -9 $$' 'gnuplot failed$' ''

charts_folder_is_a_file() {
    echo 'a file' >taken
    run plot --output taken sweep.h5 pareto
    expect_refusal "^bitsweep: .*'taken': Not a directory$"
    [ "$(cat taken)" = 'a file' ] || problem "expected the file to stay"
    run run --quiet --output taken.h5 sweep.yaml
    expect_status 2
    expect_out '^gptq w4 g64 '
    expect_err "^bitsweep: .*'taken': Not a directory$"
    expect_same_results sweep.h5 taken.h5
    unharmed
}
check "a file where the charts' folder would be" charts_folder_is_a_file

# ---- tables ----

# "style | first line | some line | lines at least" of table and diff.
style() {
    local command
    for command in "table sweep.h5" "diff sweep.h5 other.h5"; do
        run $command --format "$1"
        expect_status 0
        expect_no_err
        expect_out 'rtn w4 g64'
        expect_out "$2"
        [ "$(wc -l <.out)" -ge 9 ] || problem "expected nine recipes"
        run $command "--format=$1"
        expect_out "$2"
    done
}
cp sweep.h5 other.h5
while read -r name pattern; do check "table and diff as $name" style "$name" "$pattern"; done <<'EOF'
terminal ^rtn w4 g64  +
markdown ^\|.*-+\|.*$
csv      ^([a-z0-9_]+,){10,}[a-z0-9_]+.?$
latex    \\begin\{tabular\}
json     ^ +"label(_a)?": "rtn w4 g64",$
EOF

# The linears are chosen by the same words, by their own columns and their trials'.
layers() {
    run table sweep.h5 --layers --format csv --where 'name = *down_proj and bits = 3 and algorithm = rtn'
    expect_status 0
    expect_out '^model,text,label,id,block,name,out_features,in_features,seconds,.*relative_output_error'
    [ "$(tr -d '\r' <.out | sed 1d | cut -d, -f3,5,6 | tr '\n' ' ')" = \
        'rtn w3 channel,0,mlp.down_proj rtn w3 channel,1,mlp.down_proj rtn w3 g64,0,mlp.down_proj rtn w3 g64,1,mlp.down_proj ' ] ||
        problem "expected four linears: $(cut -d, -f3,5,6 .out | tr '\n' ' ')"
    run table sweep.h5 --layers --sort -relative_output_error --top 3 --format csv --columns relative_output_error
    [ "$(sed 1d .out | wc -l)" = 3 ] || problem "expected three linears"
    cut -d, -f7 .out | sed 1d | sort -rgc || problem "expected the largest first"
    COLUMNS=80 run table sweep.h5 --layers --top 2
    expect_status 0
    expect_out 'output$|output  '
    [ "$(LC_ALL=C.UTF-8 wc -L <.out)" -le 80 ] || problem "expected 80 columns"
    run table sweep.h5 --layers --fail-if 'relative_output_error > 0.01' --top 1
    expect_status 1
    expect_err '^bitsweep: --fail-if .* holds of 1 of 1: rtn w3 channel'
    run table sweep.h5 --layers --where 'nam = x'
    expect_refusal "^bitsweep: --where 'nam = x', character 1: 'nam' is no column .did you mean 'name'"
    run table sweep.h5 --layers --where 'block = 77'
    expect_refusal '^bitsweep: sweep\.h5: none of 112 linears of trials fits$'
    run table sweep.h5 --layers --items
    expect_refusal '^bitsweep table: --items, --positions, --layers, --values and --pivot are a table each'
}
check "table --layers" layers

narrow() {
    run table sweep.h5
    cp .out plain
    run table --format terminal sweep.h5
    expect_same_bytes .out plain
    unharmed
}
check "terminal is what table prints unasked" narrow

finish
