#!/bin/bash
# What GPTQ is for: on the embedded model it leaves less error than rounding to nearest, in formats of
# every family that share a scale among 16 to 256 weights.
# Figures: run at every level of the processor.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"

cat >formats.yaml <<YAML
model: $project/datasets/tiny
calibration: {text: $project/datasets/commons/calibration.txt, windows: 8, tokens: 256}
evaluation:
  perplexity:
    - {text: $project/datasets/commons/evaluation.txt, windows: 1, tokens: 16}
  layer_error: {windows: 1}
sweep:
  - algorithm: [rtn, gptq]
    weights: {bits: 3, group_size: 16}
  - algorithm: [rtn, gptq]
    weights: {format: codebook, levels: [-1, 0, 1], group_size: 128}
  - algorithm: [rtn, gptq]
    weights: {format: [nf4, q2_k, iq4_xs, tq1_0, mxfp4, nvfp4]}
YAML

# The errors of all linears, by recipe: of each format GPTQ's mean is the lower one.
cat >less.py <<'PY'
import collections, csv, sys
errors = collections.defaultdict(dict)
for row in csv.DictReader(sys.stdin):
    if row["label"] != "unquantized":
        algorithm, weights = row["label"].split(" ", 1)
        errors[weights].setdefault(algorithm, []).append(float(row["relative_output_error"]))
assert len(errors) == 8, list(errors)
for weights, by in errors.items():
    rtn, gptq = by["rtn"], by["gptq"]
    assert len(rtn) == len(gptq) == 42
    assert sum(gptq) < sum(rtn), f"{weights}: {sum(gptq) / 42} of gptq, {sum(rtn) / 42} of rtn"
PY

gains() {
    run run --quiet --output formats.h5 formats.yaml
    expect_status 0
    run table --layers --format csv formats.h5
    expect_status 0
    python3 less.py <.out || problem "expected less error of GPTQ in every format"
}
check "GPTQ leaves less error than rounding to nearest in every format" gains

finish
