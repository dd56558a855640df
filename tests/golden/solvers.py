"""solvers.json: what the authors' code of GPTAQ, QuIP (LDLQ) and HQQ makes of one small matrix.

    solvers.py --gptqv2 <checkout> --quip <checkout> --out solvers.json

The matrix and the inputs are whole numbers from a generator that the test repeats, so that H = X^T X
and D = (X~ - X)^T X are exact in float32. Each solver rounds with the grid of its own project, where
that is the rule of grid gptq without a symmetric option. Of every row of the result the sum of its
values is kept: with one code otherwise it differs by a scale.

What the authors' modules import by name but do not use here is supplied empty, and
torch.cuda.synchronize does nothing.
"""
import argparse
import importlib.metadata
import importlib.util
import json
import os
import sys
import types

import torch

OUT, IN, TOKENS = 70, 40, 200


class Draws:
    """Whole numbers of 15 bits."""
    def __init__(self, seed):
        self.state = seed

    def next(self, below):
        self.state = (self.state * 1103515245 + 12345) % 2**31
        return (self.state >> 16) % below


def matrix(seed):
    draws = Draws(seed)
    values = [sum(draws.next(1024) - 512 for _ in range(4)) / 512 for _ in range(OUT * IN)]
    return torch.tensor(values, dtype=torch.float32).reshape(OUT, IN)


def inputs(seed):
    """X and X~: channels that correlate and differ in size."""
    draws = Draws(seed)
    x = torch.zeros(TOKENS, IN, dtype=torch.float32)
    other = torch.zeros(TOKENS, IN, dtype=torch.float32)
    for t in range(TOKENS):
        common = draws.next(7) - 3
        for j in range(IN):
            size = 3 if j % 7 == 2 else 1
            x[t, j] = size * (draws.next(7) - 3 + common)
            other[t, j] = x[t, j] + size * (draws.next(5) - 2 + (x[t, j].item() > 2))
    return x, other


def load(folder, name, **empty):
    for module in empty:
        sys.modules[module] = empty[module] or types.ModuleType(module)
    spec = importlib.util.spec_from_file_location(name, os.path.join(folder, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run_gptaq(authors, weight, x, other, bits, group, act_order, static_groups, alpha):
    gptqv2, quant = authors["gptqv2_utils"], authors["quant_utils"]
    layer = torch.nn.Linear(IN, OUT, bias=False)
    layer.weight.data = weight.clone()
    solver = gptqv2.GPTQv2(layer)
    solver.quantizer = quant.WeightQuantizer()
    solver.quantizer.configure(bits, perchannel=True, sym=False, mse=False)
    half = TOKENS // 2
    for batch in range(2):
        rows = slice(batch * half, (batch + 1) * half)
        solver.fp_inp = [other[rows].T]
        solver.add_batch(x[rows].unsqueeze(0), None)
    solver.fasterquant(percdamp=.01, groupsize=group or -1, actorder=act_order,
                       static_groups=static_groups, alpha=alpha)
    return layer.weight.data


def run_ldlq(authors, weight, x, _other, bits, act_order, greedy_passes):
    low = weight.min(1, keepdim=True)[0].clamp(max=0)
    high = weight.max(1, keepdim=True)[0].clamp(min=0)
    scale = (high - low) / (2**bits - 1)
    zero = torch.round(-low / scale)
    hessian = x.T @ x
    hessian += .01 * hessian.diag().mean() * torch.eye(IN)
    balance = authors["vector_balance"]
    solve = balance.round_sorted_ldlqRG if act_order else balance.round_ldl
    codes = solve(weight / scale + zero, hessian, bits, n_greedy_passes=greedy_passes)
    return (codes - zero) * scale


def run_hqq(_authors, weight, _x, _other, bits, group):
    from hqq.core.quantize import Quantizer
    codes, meta = Quantizer.quantize(weight, nbits=bits, group_size=group, axis=1, device="cpu",
                                     bitpack=False, compute_dtype=torch.float32)
    meta["compute_dtype"] = torch.float32
    return Quantizer.dequantize(codes, meta)


RUN = {"gptaq": run_gptaq, "ldlq": run_ldlq, "hqq": run_hqq}
ROWS = (
    [("gptaq", dict(bits=bits, group=group, act_order=order, static_groups=static, alpha=alpha))
     for bits, group, order, static, alpha in (
         (4, None, False, False, .25), (3, None, False, False, 1.), (2, None, True, False, .25),
         (3, 8, False, False, .25), (4, 8, True, True, .5), (3, 20, True, False, .25))]
    + [("ldlq", dict(bits=bits, act_order=order, greedy_passes=passes))
       for bits, order, passes in ((4, False, 0), (2, False, 0), (3, True, 0), (3, False, 2),
                                   (3, True, 9))]
    + [("hqq", dict(bits=bits, group=group))
       for bits, group in ((2, 8), (3, 20), (4, 40), (8, 8), (4, 8))])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gptqv2", required=True)
    parser.add_argument("--quip", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.cuda.synchronize = lambda *_args: None
    folder = os.path.join(args.gptqv2, "fake_quant")
    none = dict(utils=None, hadamard_utils=None, fast_hadamard_transform=None, model_utils=None)
    authors = {"quant_utils": load(folder, "quant_utils", **none)}
    authors["gptqv2_utils"] = load(folder, "gptqv2_utils")
    authors["vector_balance"] = load(args.quip, "vector_balance")
    weight, (x, other) = matrix(1), inputs(2)
    rows = []
    for algorithm, options in ROWS:
        got = RUN[algorithm](authors, weight.clone(), x, other, **options)
        sums = [round(value, 7) for value in got.double().sum(1).tolist()]
        rows.append({"algorithm": algorithm, "settings": options, "row_sums": sums})
    versions = {name: importlib.metadata.version(name) for name in ("torch", "hqq")}
    with open(args.out, "w", encoding="utf-8") as out:
        out.write(json.dumps({"versions": versions, "rows": []})[:-2] + "\n")
        out.write(",\n".join(json.dumps(row) for row in rows) + "\n]}\n")


if __name__ == "__main__":
    main()
