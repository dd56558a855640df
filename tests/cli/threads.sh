#!/bin/bash
# The same config gives the same bits whatever the threads, and however many walks the memory makes
# of it: every number to the last digit, but for the times.
# Figures: run at every level of the processor.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
. "$project/tests/cli/support/safetensors.bash"

make_model model
make_texts
# Sizes that no thread count divides; every algorithm, and both sides to calibrate on.
config sweep.yaml 5 67 <<'EOF'
sweep:
  - algorithm: rtn
    weights: {bits: [3, 8], group_size: [channel, tensor, 48], range: [minmax, mse]}
  - {algorithm: rtn, weights: {bits: 4, group_size: 64}, compute: bfloat16}
  - algorithm: gptq
    weights: {bits: 3, group_size: 64}
    act_order: [false, true]
    true_sequential: [false, true]
    calibrate_on: [quantized, unquantized]
  - algorithm: [awq, [awq, gptq]]
    weights: {bits: 4, group_size: 64}
    calibrate_on: [quantized, unquantized]
  - algorithm: [rtn, smoothquant, [smoothquant, gptq], [outliers, smoothquant]]
    weights: {bits: 8, group_size: channel}
    activations: {bits: 8, sharing: [token, window, static]}
EOF
sed -i 's/windows: 2, tokens: 64/windows: 3, tokens: 61/' sweep.yaml
# Half of the axes for the slow program.
[ -z "$sanitize" ] ||
    sed -i '/calibrate_on/d; /true_sequential/d; s/, window, static/, static/; s/tensor, 48/48/' sweep.yaml
memory=$(least_memory --threads 4 sweep.yaml)

alone() {
    [ "$(walks --threads 1 --memory 2G sweep.yaml)" = 1 ] || problem "expected one walk in 2G"
    run run --quiet --threads 1 --memory 2G --output one.h5 sweep.yaml
    expect_status 0
    [ "$(labels one.h5 | wc -l)" -gt 15 ] || problem "expected more than 15 trials"
    ! fields one.h5 | grep -q '"status": "failed"' || problem "expected every trial to be done"
}
check "one thread, one walk" alone

computes() {
    fields one.h5 | sed -n 's/^ *"\(label\|compute\)": "\(.*\)",$/\2/p' | paste -d: - - >computes
    [ "$(grep -c ' bfloat16:bfloat16$' computes)" = 1 ] || problem "expected a trial in bfloat16"
    ! grep -v bfloat16 computes | grep -qv ':float32$' || problem "expected the others in float32"
}
check "what a trial computed in is a field of its own" computes

alike() {
    local name=$1 wanted=$2 walks
    shift 2
    walks=$(walks "$@" sweep.yaml)
    [[ $wanted = one && $walks = 1 || $wanted = many && $walks -gt 3 ]] ||
        problem "expected $wanted walks with $*, found $walks"
    run run --quiet "$@" --output "$name.h5" sweep.yaml
    expect_status 0
    expect_same_results one.h5 "$name.h5"
}
check "two threads, one walk" alike two one --threads 2 --memory 2G
check "four threads, many walks in $memory" alike four many --threads 4 --memory "$memory"
if [ -z "$sanitize" ]; then
    check "seven threads, one walk" alike seven one --threads 7 --memory 2G
    check "as many threads as there are cores" alike default one --memory 2G
fi

# What OpenMP is told counts where --threads says nothing.
threads_of() { "$program" table --format json "$1" | sed -n 's/^ *"threads": \([0-9]*\),*$/\1/p' | sort -u; }
told() {
    config_one told.yaml
    OMP_NUM_THREADS=1 run run --quiet --output told.h5 told.yaml
    expect_status 0
    [ "$(threads_of told.h5)" = 1 ] || problem "expected 1 thread, found $(threads_of told.h5)"
    rm told.h5
    OMP_NUM_THREADS=1 run run --quiet --threads 3 --output told.h5 told.yaml
    [ "$(threads_of told.h5)" = 3 ] || problem "expected 3 threads, found $(threads_of told.h5)"
}
check "OMP_NUM_THREADS, unless --threads says else" told

# The comparison sees the last bit of a weight: in a norm, times 1 + 2^-7.
differs() {
    cp -r model other
    local weights=other/model.safetensors offset old
    offset=$(tensor_begin $weights model.norm.weight)
    old=$(od -An -tu1 -j "$offset" -N1 $weights)
    poke $weights "$offset" "\\x$(printf %x $((old ^ 1)))"
    sed 's/^model: .*/model: other/' sweep.yaml >other.yaml
    sed -i '/algorithm: gptq/,$d' other.yaml
    run run --quiet --output other.h5 other.yaml
    expect_status 0
    [ "$(compare one.h5 other.h5 | grep -c ',1$')" = 0 ] || problem "expected other NLLs"
}
check "another bit in the model gives other bits" differs

finish
