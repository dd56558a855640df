#!/bin/bash
# A model with outliers differs from the one without by powers of two in its norms' outputs: what is
# quantized elsewhere, or after a rotation that takes the norms' weights along, has the same bits.
# So figures of caches and rotations that agree with the authors' on the one agree on the other.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_texts
make_model model
config sweep.yaml 4 64 <<'YAML'
sweep:
  - algorithm: [rtn, [outliers, rtn]]
    weights: none
    kv_cache: {bits: 2, grid: kivi, group_size: 32, when: store, residual: 32, key: {sharing: channel, leave: together}}
  - algorithm: [rtn, [outliers, rtn]]
    weights: none
    kv_cache: {bits: 3, grid: kvquant, sharing: token, keep: 0.01, key: {sharing: static_channel, pre_rope: true}}
  - algorithm: [rtn, [outliers, rtn]]
    weights: none
    kv_cache: {format: q4_0, hadamard: true}
  - algorithm: [[quarot, gptq], [outliers, quarot, gptq]]
    weights: {bits: 4, group_size: channel, grid: smoothquant, range: mse}
    activations: {bits: 4, where: [inputs, key, value], sharing: token, grid: smoothquant}
  # What does see them.
  - algorithm: [rtn, [outliers, rtn]]
    weights: none
    activations: {bits: 8, sharing: token}
YAML

sweep() {
    run run --quiet --output all.h5 sweep.yaml
    expect_status 0
    run table --format csv --columns label,perplexity,kld_mean all.h5
    expect_status 0
    cp .out all.csv
}
check "caches, rotations and inputs, with and without outliers" sweep

# $1 the beginning of a label, $2 whether both rows have the same figures.
alike() {
    local plain with
    plain=$(sed -n "s/^[^,]*,[^,]*,$1[^,]*,//p" all.csv)
    with=$(sed -n "s/^[^,]*,[^,]*,outliers+$1[^,]*,//p" all.csv)
    [ -n "$plain" ] && [ -n "$with" ] || problem "expected two rows of '$1'"
    [ "$([ "$plain" = "$with" ] && echo same || echo other)" = "$2" ] || problem "expected $2 figures, found $plain and $with"
}
check "KIVI's cache" alike "rtn w16 k2 " same
check "KVQuant's cache" alike "rtn w16 k3 " same
check "a turned cache in blocks" alike "rtn w16 kv:q4_0 " same
check "QuaRot with inputs, keys and values of 4 bits" alike "quarot+gptq " same
check "inputs of linears" alike "rtn w16 a8 " other

finish
