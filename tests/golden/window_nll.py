"""Writes window_nll.json: the mean NLL of every window of 256 tokens of the embedded evaluation text,
for the unquantized embedded model and some recipes that differ little. The tests of the standard
errors and of `bitsweep diff` take their windows from it.

    bitsweep run window_nll.yaml --output window_nll.h5
    python3 tests/golden/window_nll.py window_nll.h5 > tests/golden/window_nll.json

with, as window_nll.yaml:

    model: datasets/tiny
    calibration: {text: datasets/commons/calibration.txt, windows: 32, tokens: 256}
    evaluation:
      perplexity: [{text: datasets/commons/evaluation.txt, tokens: 256}]
      layer_error: {windows: 0}
    sweep:
      - {algorithm: [rtn, gptq], weights: {bits: [2, 3], group_size: 128}}
      - {algorithm: gptq, weights: {bits: 3, group_size: 128}, act_order: true}
"""
import json
import sys

import h5py

with h5py.File(sys.argv[1]) as f:
    means = {}
    for row in f["trials"][:]:
        text, tokens, bits = row["text"].decode(), row["tokens"], row["bits"]
        if tokens != 256 or text != "evaluation" or bits not in (2, 3, 16):
            continue
        nll = f[f"trial/{row['id'].decode()}/{text}/nll"][:].astype(float)
        name = row["recipe" if "recipe" in row.dtype.names else "label"].decode()
        means[name] = [round(x, 6) for x in nll.mean(axis=1)]
json.dump(means, sys.stdout, separators=(",", ":"))
print()
