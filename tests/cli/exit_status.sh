#!/bin/bash
# Exit statuses, help, and where words go: results to stdout, everything else to stderr.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
. "$project/tests/cli/support/safetensors.bash"

commands="run plan submit export table plot diff fetch tokenize describe help"
make_model model
make_texts
config_one one.yaml
config_one other.yaml
sed -i 's/bits: 4/bits: 3/' other.yaml

# ---- help and version ----

general_help() {
    local command
    run --help
    expect_status 0
    expect_no_err
    expect_out '^usage: bitsweep '
    for command in $commands; do expect_out "^  $command "; done
    expect_out 'exit status: 0 .* 1 .* 2 '
    run -h
    expect_status 0
    expect_out '^usage: bitsweep '
}
check "--help lists every command" general_help

no_command() {
    run
    expect_status 2
    expect_no_out
    expect_err '^usage: bitsweep '
}
check "no command: the help goes to stderr" no_command

version() {
    run --version
    expect_status 0
    expect_no_err
    [ "$(wc -l <.out)" = 1 ] || problem "expected one line on stdout"
    expect_out '^bitsweep [0-9]+\.[0-9]+\.[0-9]+ \(.+\)$'
}
check "--version" version

short_forms() {
    run -V
    expect_status 0
    expect_out '^bitsweep [0-9]'
    run help plot
    expect_status 0
    cp .out help.out
    run plot -h
    cmp -s .out help.out || problem "help plot and plot -h differ"
    run help nonsense
    expect_status 2
    expect_err "unknown command 'nonsense'"
    run plan -q -o there.h5 one.yaml
    expect_status 0
}
check "-V, -h, -q, -o and help" short_forms

# Each option that a command's help names must be taken, and each that it takes must be named.
takes() {
    case $1 in
    run) echo output set model shard time-limit accept-unknown memory numerics scratch checkpoint threads plots quiet progress verbose log help ;;
    plan) echo output set model shard shards places accept-unknown memory numerics scratch checkpoint threads quiet help ;;
    submit) echo slurm nodes time partition dry-run output set model accept-unknown memory numerics scratch checkpoint threads plots help ;;
    export) echo recipe as set verify model accept-unknown memory scratch threads numerics quiet help ;;
    table) echo columns fail-if format group-by help items layers pivot positions sort split top values where ;;
    diff) echo between columns fail-if format help ;;
    fetch) echo revision quiet help ;;
    tokenize) echo ids no-special help ;;
    plot) echo output where sort top x y lines panels pictures size dark plots help ;;
    report) echo output columns where sort group-by top plots help ;;
    init) echo output help ;;
    describe) echo markdown help ;;
    help) echo help man ;;
    esac
}
command_help() {
    local expected found
    run "$1" --help
    expect_status 0
    expect_no_err
    expect_out "^usage: bitsweep $1 \[options\] "
    expected=$(takes "$1" | tr ' ' '\n' | sort | tr '\n' ' ')
    found=$(sed -n 's/^  \(-.,\|   \) --\([a-z-]*\).*/\2/p' .out | sort | tr '\n' ' ')
    [ "$found" = "$expected" ] || problem "expected the options $expected, found $found"
    run "$1" nowhere --help
    expect_status 0
    expect_out "^usage: bitsweep $1 "
}
for command in $commands; do check "$command --help" command_help "$command"; done

# ---- slips on the command line: message | arguments ----

refused() {
    run "$@"
    expect_refusal "$message"
}
while IFS='|' read -r message arguments; do
    message=${message%"${message##*[! ]}"}
    read -ra words <<<"$arguments"
    for i in "${!words[@]}"; do [ "${words[i]}" != EMPTY ] || words[i]=; done
    check "refused: bitsweep$arguments" refused "${words[@]}"
done <<'EOF'
^bitsweep: unknown command 'rnu', did you mean 'run'\?      | rnu one.yaml
^bitsweep: unknown command 'tabel', did you mean 'table'\?  | tabel one.h5
^bitsweep: unknown command 'quantize'; see --help           | quantize one.yaml
^bitsweep: unknown command '--frobnicate'                   | --frobnicate
^bitsweep: unknown command ''                               | EMPTY
^bitsweep run: unknown option '--outptu', did you mean '--output'\?; see --help | run --outptu one.h5 one.yaml
^bitsweep run: unknown option '-x'                          | run -x one.yaml
^bitsweep run: unknown option '-abc'                        | run -abc one.yaml
^bitsweep run: unknown option '--format': it is one of bitsweep table; see  | run --format csv one.yaml
^bitsweep table: unknown option '--memory'                  | table --memory 1G one.h5
^bitsweep plot: unknown option '--quiet'                    | plot --quiet one.h5
^bitsweep describe: unknown option '--threads'              | describe --threads 2
^bitsweep run: unknown option '--quiet=1': --quiet takes no value; see      | run --quiet=1 one.yaml
^bitsweep run: expected 'CONFIG'                            | run
^bitsweep plan: expected 'CONFIG'                           | plan
^bitsweep table: expected 'RESULTS\.\.\.'                   | table
^bitsweep plot: expected 'RESULTS... \[CHART...\]'          | plot
^bitsweep diff: expected                   | diff
^bitsweep diff: expected                   | diff one.h5
^bitsweep fetch: expected 'NAME...'                         | fetch
^bitsweep fetch: unknown option '--output'                  | fetch --output x org/name
^bitsweep: 'a/b/c' is no name of the hub, expected org/name | fetch a/b/c
^bitsweep run: one operand too many: 'other.yaml'           | run one.yaml other.yaml
^bitsweep choose: one operand too many: 'b.h5'              | choose a.h5 b.h5
^bitsweep plot: --pictures takes png, svg, pdf and eps, not 'gif' | plot --pictures png,gif a.h5
^bitsweep plot: --size takes single or double, not 'triple' | plot --size triple a.h5
^bitsweep diff: one operand too many: 'c.h5'                | diff a.h5 b.h5 c.h5
^bitsweep describe: one operand too many: 'awq'             | describe gptq awq
^bitsweep run: a value is missing after '--output'         | run one.yaml --output
^bitsweep table: a value is missing after '--format'       | table one.h5 --format
^bitsweep run: --output takes a path, not ''                | run --output EMPTY one.yaml
^bitsweep run: --memory takes a size such as 900M, not '0'  | run --memory 0 one.yaml
^bitsweep run: --memory takes .*, not '-1G'                 | run --memory=-1G one.yaml
^bitsweep run: --memory takes .*, not 'much'                | run --memory much one.yaml
^bitsweep run: --memory takes .*, not '8X'                  | run --memory 8X one.yaml
^bitsweep run: --memory takes .*, not '8GBs'                | run --memory 8GBs one.yaml
^bitsweep run: --memory takes .*, not 'nan'                 | run --memory nan one.yaml
^bitsweep run: --scratch takes a folder, not ''             | run --scratch EMPTY one.yaml
^bitsweep run: --threads takes .*, not '0'                  | run --threads 0 one.yaml
^bitsweep run: --threads takes .*, not '-2'                 | run --threads -2 one.yaml
^bitsweep run: --threads takes .*, not 'two'                | run --threads two one.yaml
^bitsweep run: --threads takes .*, not '2.5'                | run --threads 2.5 one.yaml
^bitsweep run: --threads takes .*, not '99999999999999'     | run --threads 99999999999999 one.yaml
^bitsweep: format 'cvs', expected .*; did you mean 'csv'\?  | table one.h5 --format cvs
^bitsweep: format 'pdf', expected terminal, .* or jsonl$    | table one.h5 --format pdf
^bitsweep: format 'mark', expected .* mean 'markdown'\?     | diff one.h5 one.h5 --format mark
^bitsweep: .*'nowhere.h5': No such file or directory        | table nowhere.h5
^bitsweep: .*'nowhere.h5': No such file or directory        | plot nowhere.h5
^bitsweep: .*'nowhere.h5': No such file or directory        | diff nowhere.h5 nowhere.h5
^bitsweep: .*'nowhere.yaml': No such file or directory      | run nowhere.yaml
^bitsweep: .*'nowhere.yaml': No such file or directory      | plan nowhere.yaml
^bitsweep: .*'model': Is a directory                        | run model
^bitsweep: .*'model': Is a directory                        | table model
^bitsweep: the smallest walk needs [0-9]+ MB, .* allows 1 MB | run --memory 1M --output one.h5 one.yaml
^bitsweep: the smallest walk needs [0-9]+ MB, .* allows 1 MB | plan --memory 1M one.yaml
^bitsweep: 'nothing' is nothing to describe, expected algorithm, rtn,  | describe nothing
^bitsweep: .* \(did you mean 'smoothquant'\?\)              | describe smoothqant
EOF
level_refused() {
    BITSWEEP_ISA=avx2 run plan one.yaml
    expect_status 2
    expect_no_out
    expect_err "^bitsweep: environment variable BITSWEEP_ISA: 'avx2' .* base, fma, v3 or v4$"
}
check "refused: a level of instructions that there is not" level_refused

check "refused command lines leave no results" expect_absent results one.h5 one.h5.lock one.h5.partial

# ---- each command at its work ----

plan_one() {
    run plan one.yaml
    expect_status 0
    expect_no_err
    expect_out '^[0-9a-f]{16}  open   evaluation        unquantized$'
    expect_out '^[0-9a-f]{16}  open   evaluation        rtn w4 channel$'
    expect_out '^2 of 2 trials to run: 1 recipe in 1 walk '
    expect_out '^time: about [0-9.]+ (s|min|h) on [0-9]+ threads?, '
    run plan --threads 1 one.yaml
    expect_out '^time: about [0-9.]+ (s|min|h) on 1 thread, '
    run plan --quiet one.yaml
    expect_status 0
    ! grep -q '^time' .out || problem "expected --quiet to measure no time"
    expect_absent results
}
check "plan prints the trials and runs nothing" plan_one

run_one() {
    run run one.yaml
    expect_status 0
    expect_out '^unquantized '
    expect_out '^rtn w4 channel '
    expect_err '^results/one.h5$'
    expect_err '^100 % '
    expect_there results/one.h5
    expect_absent results/one # no charts were asked for
    run run --quiet --output other.h5 other.yaml
    expect_status 0
    expect_out '^rtn w3 channel '
    [ "$(cat .err)" = other.h5 ] || problem "expected --quiet to leave the path alone on stderr"
}
check "run: the table on stdout, progress and path on stderr" run_one

plan_done() {
    run plan one.yaml
    expect_status 0
    expect_out '^[0-9a-f]{16}  done   evaluation        unquantized$'
    expect_out '^[0-9a-f]{16}  done   evaluation        rtn w4 channel$'
    expect_out '^0 of 2 trials to run'
    ! grep -q '^time' .out || problem "expected no time where nothing is open"
    run plan --output other.h5 one.yaml
    expect_status 0
    expect_out '^[0-9a-f]{16}  done   evaluation        unquantized$'
    expect_out '^[0-9a-f]{16}  open   evaluation        rtn w4 channel$'
}
check "plan tells what an earlier run has done" plan_done

table_one() {
    run table results/one.h5
    expect_status 0
    expect_no_err
    expect_out '^model on evaluation, protocol gptq, 1 of 363 windows'
    expect_out '^rtn w4 channel '
}
check "table: to stdout, nothing on stderr" table_one

diff_two() {
    run diff results/one.h5 other.h5
    expect_status 0
    expect_no_err
    expect_out '^unquantized .* identical '
    expect_out '^1 compared: .* 1 has the same bits'
    expect_out '^only in A: rtn w4 channel on evaluation'
    expect_out '^only in B: rtn w3 channel on evaluation'
}
check "diff: what both have, and what one has" diff_two

config two_windows.yaml 2 16 <<'EOF'
sweep:
  - algorithm: rtn
    weights: {bits: 4, group_size: channel}
EOF
diff_protocols() {
    local measured='in results/one.h5 by protocol gptq, 1 of 363 windows .* 16 tokens, in other_way.h5 by protocol'
    run run --quiet --output other_way.h5 two_windows.yaml
    expect_status 0
    run diff results/one.h5 other_way.h5
    expect_refusal "$measured gptq, 2 of 363 windows .*cannot be compared"
    sed 's/windows: 2, tokens: 16/windows: 1, tokens: 16, protocol: llama.cpp/' two_windows.yaml >llama.yaml
    rm other_way.h5
    run run --quiet --output other_way.h5 llama.yaml
    expect_status 0
    expect_out '^model on evaluation, protocol llama.cpp, the first 1 of 363 windows'
    run diff results/one.h5 other_way.h5
    expect_refusal "$measured llama.cpp, the first 1 of 363 windows .*cannot be compared"
}
check "diff refuses two protocols" diff_protocols

plot_unknown() {
    run plot --output charts results/one.h5 paretto
    expect_refusal "'paretto'.* perplexity_vs_bits, pareto, layer_error, perplexity_by_position, kv_cache, sensitivity and channels"
    expect_absent charts
}
check "plot: an unknown chart is refused before anything is made" plot_unknown

describe_everything() {
    local name
    run describe
    expect_status 0
    expect_no_err
    cp .out all
    run describe --markdown
    expect_status 0
    cp .out markdown
    grep -q '^|---' markdown || problem "expected tables in Markdown"
    # The names, once from the Markdown's headings, must all be described one by one.
    for name in $(sed -n 's/^### //p' markdown); do
        run describe "$name"
        expect_status 0
        expect_no_err
        expect_out "^$name( \([a-z0-9 ]+\))?: "
        grep -qE "^ *${name}[: ]" all || problem "expected $name in what describe prints"
        run describe --markdown "$name"
        expect_status 0
        expect_out "^### $name( \([a-z0-9 ]+\))?$"
    done
    [ "$(grep -c '^### ' markdown)" -ge 12 ] || problem "expected algorithms and sections"
}
check "describe: all, and each one" describe_everything

# ---- a trial that fails ----

# Two columns that never see an input (their norm weight is 0) hold +3e38 and -3e38: the unquantized
# model is sound, and a grid from the least to the largest weight of the row has an infinite step.
# Absolute maxima, as SmoothQuant takes, still fit.
make_model extreme
weights=extreme/model.safetensors
poke $weights "$(tensor_begin $weights model.layers.0.input_layernorm.weight)" '\0\0\0\0'
poke $weights "$(tensor_begin $weights model.layers.0.self_attn.q_proj.weight)" '\x62\x7f\x62\xff'
config extreme.yaml 1 16 <<'EOF'
sweep:
  - algorithm: rtn
    weights: {bits: 4, group_size: channel, grid: [gptq, smoothquant]}
EOF
sed -i 's/^model: .*/model: extreme/' extreme.yaml

trial_fails() {
    run run --output extreme.h5 extreme.yaml
    expect_status 1
    expect_err '^bitsweep: 1 of 3 trials failed'
    expect_out '^rtn w4 channel.* failed '
    expect_out '^failed: rtn w4 channel.*: block 0: .*not finite'
    run table --format csv extreme.h5
    expect_status 0
    [ "$(grep -c ',done,' .out)" = 2 ] || problem "expected two finished trials"
    [ "$(grep -c ',failed,"block 0: ' .out)" = 1 ] || problem "expected a failed one with its place"
}
check "a failed trial: status 1, the others run, the table says why" trial_fails

failed_again() {
    "$program" table --format csv extreme.h5 | grep ',done,' >before
    run run --output extreme.h5 extreme.yaml
    expect_status 1
    expect_err '^bitsweep: 1 of 1 trials failed'
    "$program" table --format csv extreme.h5 | grep ',done,' >after
    expect_same_bytes before after
}
check "the next run tries the failed trial alone" failed_again

# ---- a stdout that cannot be written ----

full_stdout() {
    status=0
    "$program" "$@" >/dev/full 2>.err || status=$?
    : >.out
    expect_status 2
    expect_err '^bitsweep: standard output cannot be written(: No space left on device)?$'
}
if [ -c /dev/full ]; then
    check "table to a full disk" full_stdout table results/one.h5
    check "table --format json to a full disk" full_stdout table --format json results/one.h5
    check "describe to a full disk" full_stdout describe
    check "run to a full disk" full_stdout run one.yaml
    check "--help to a full disk" full_stdout --help
    check "run --help to a full disk" full_stdout run --help
    check "--version to a full disk" full_stdout --version
else
    skip "stdout on a full disk" "there is no /dev/full"
fi

# The program starts itself again; what it is called must not show that.
process_name() {
    mkfifo text
    "$program" tokenize model <text >.out 2>.err &
    local child=$! name= tries
    exec 7>text # once both have it open, it is past its beginning
    for tries in $(seq 100); do
        name=$(cat /proc/$child/comm)
        [ "$name" = bitsweep ] && break
        sleep 0.05
    done
    exec 7>&-
    wait "$child" || problem "expected the program to end well"
    [ "$name" = bitsweep ] || problem "expected ps and top to call it bitsweep, found '$name'"
}
check "the process goes by the program's name" process_name

finish
