#!/usr/bin/env python3
"""Golden figures from the authors' own code of GPTQ, AWQ and SmoothQuant.

The figures in this directory say what the published code of the three algorithms makes of the
embedded model, with all arithmetic in float32 on a CPU. This script only drives that code: it
imports the authors' modules from directories given on the command line, gives them our windows of
tokens, and measures the model they leave. The commits read:

    IST-DASLab/gptq            2d65066    --gptq DIR         (the directory that holds gptq.py)
    mit-han-lab/llm-awq        d6e797a    --awq DIR          (the directory that holds awq/)
    mit-han-lab/smoothquant    c61476d    --smoothquant DIR  (the directory that holds smoothquant/)

Needs Python 3.8 to 3.11 with torch 1.13 or later, transformers 4.38 to 4.45, numpy, safetensors
and tokenizers; no GPU. PROVENANCE.md names the versions the stored files were made with.

    AUTHORS="--gptq DIR --awq DIR --smoothquant DIR"
    DATA="--model DIR --calibration FILE --evaluation FILE"
    oracle.py check  $AUTHORS $DATA --against reference.json [--only awq]
    oracle.py rows   $AUTHORS $DATA --carry reference.json --out new.json
    oracle.py spread $AUTHORS $DATA --orders 1 2 3 --splits 40 88 --out spread.json [--only gptq]
    oracle.py spread $AUTHORS $DATA --seeds 4 5 --out spread.json [--only gptq]
    oracle.py codes  $AUTHORS $DATA --seeds 1 2 3 --out codes.json
    oracle.py layers $AUTHORS $DATA --out layers.json
    oracle.py tokens $DATA --out tokens.json

'rows' keeps the rows of --carry as they are and computes those of ROWS that are missing there.
'check' computes rows again and prints how far they are from the stored ones. 'spread' computes
each row under changes that alter nothing but the rounding of float32 sums, and adds the
perplexities to those in its file: they show how much of a figure is rounding noise. --orders takes
seeds of shuffles of the calibration windows (0 is no shuffle); --splits takes channel counts n, for
every linear to be computed as the product over its first n input channels plus that over the rest;
--seeds takes seeds that draw both. --double computes the forward pass in float64. What the libraries
read from the environment to choose their kernels (ATEN_CPU_CAPABILITY, MKL_CBWR) makes another
machine of this one; what a run was is stored beside its figure.

'codes' lets the authors' solver quantize every linear on the unquantized model's inputs of it, so that
no rounding decision hangs on an earlier linear, and stores what came of each row of weights as one
character; under the changes of --seeds it counts the rows that come out differently.

authors_code.py says what the authors' modules expect and a plain CPU lacks.
"""
import argparse
import json
import os

import torch
import transformers

from authors_code import (PER_TENSOR, awq, block_linears, gptq, load_model, measure, prepare, replaced, rtn,
                          setting, silence, smoothquant, versions, watching, write_json)
from oracle_layers import command_layers
from oracle_tokens import command_tokens

ROWS = [
    setting("unquantized"),
    rtn(2), rtn(3), rtn(4), rtn(8), rtn(2, 128), rtn(3, 128), rtn(4, 128), rtn(3, 32), rtn(4, 32),
    rtn(4, sym=True), rtn(4, 128, sym=True), rtn(3, mse=True),
    gptq(2), gptq(3), gptq(4), gptq(2, 128), gptq(3, 128), gptq(4, 128), gptq(3, 32),
    gptq(4, 128, sym=True), gptq(3, act_order=True),
    gptq(3, 128, act_order=True, static_groups=True), gptq(3, mse=True),
    awq(2, 128), awq(3, 128), awq(4, 128), awq(3, 32), awq(3, clip=False),
    awq(3, 128, clip=False), awq(3, 128, scale=False),
    smoothquant(0.5), smoothquant(0.8), smoothquant(0.5, **PER_TENSOR),
    smoothquant(0.0, smooth=False), smoothquant(0.0, smooth=False, **PER_TENSOR),
    gptq(3, true_sequential=True), gptq(3, 128, act_order=True), gptq(4, percdamp=0.1),
    rtn(3, 32, sym=True), rtn(2, 128, mse=True),
    smoothquant(0.5, weight="per_tensor", act="per_token"),
    smoothquant(0.5, quantize_bmm_input=True),
    awq(2, 32), awq(4, 32),
]


# ---------------------------------------------------------------- rows and check

def settings_of(row):
    return {key: value for key, value in row.items() if key not in ("perplexity", "mean_nll")}


ADDED_SETUP = {
    "added": "the rows after those of the original set (from true_sequential on) were computed by "
             "oracle.py, which runs llama_sequential, run_awq, get_act_scales and quantize_model of "
             "the authors themselves, with the versions below",
    "true_sequential": "the order k,v,q; o; up,gate; down of llama.py, each set after a new pass "
                       "through the block with the earlier sets quantized",
    "act_order without static_groups": "groups of consecutive columns in the permuted order",
    "quantize_bmm_input": "the outputs of q_proj, k_proj and v_proj quantized like activations, "
                          "before the rotary embedding",
}


def command_rows(args):
    with open(args.carry, encoding="utf-8") as file:
        reference = json.load(file)
    rows = reference["rows"]
    stored = [settings_of(row) for row in rows]
    authors, calibration, evaluation = prepare(args)
    for row in ROWS:
        if row in stored or not wanted(args, row):
            continue
        rows.append(measure(args, authors, row, calibration, evaluation))
        print(json.dumps(rows[-1]), flush=True)
        reference["setup"].update(ADDED_SETUP, versions=versions())
        write_json(args.out, reference)


def command_check(args):
    with open(args.against, encoding="utf-8") as file:
        stored = [row for row in json.load(file)["rows"] if wanted(args, settings_of(row))]
    authors, calibration, evaluation = prepare(args)
    for want in stored:
        got = measure(args, authors, settings_of(want), calibration, evaluation)
        difference = got["perplexity"] / want["perplexity"] - 1
        print(f"{difference:+.2e}  {got['perplexity']:.10f}  {json.dumps(settings_of(want))}",
              flush=True)


def command_spread(args):
    authors, calibration, evaluation = prepare(args)
    rows = [row for row in ROWS if wanted(args, row)]
    runs = [(f"order {seed}", seed, None) for seed in args.orders]
    runs += [(f"split {channels}", 0, channels) for channels in args.splits]
    runs += [(f"order {seed} split {drawn_split(seed)}", seed, drawn_split(seed))
             for seed in args.seeds]
    for name, seed, channels in runs:
        for row in rows:
            linear = split_linear(channels) if channels else torch.nn.functional.linear
            with replaced(torch.nn.functional, "linear", linear):
                result = measure(args, authors, row, reordered(calibration, seed), evaluation)
            add_perplexity(args.out, result, " ".join([name] + machine(args)))


def drawn_split(seed):
    return 8 * (1 + seed * 11 % 30)


def machine(args):
    """What else than the order of sums is not as it is by default."""
    chosen = [f"{name}={os.environ[name]}" for name in ("ATEN_CPU_CAPABILITY", "MKL_CBWR")
              if name in os.environ]
    return chosen + ["float64"] * args.double


def reordered(windows, seed):
    if seed == 0:
        return windows
    return windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(seed))]


def split_linear(channels):
    linear = torch.nn.functional.linear

    def split(inputs, weight, bias=None):
        return (linear(inputs[..., :channels], weight[:, :channels], bias)
                + linear(inputs[..., channels:], weight[:, channels:]))
    return split


def add_perplexity(path, result, run):
    """Add one perplexity to those of its row in the file, which need not exist yet."""
    print(json.dumps(result), flush=True)
    spread = {"what": SPREAD_WHAT, "rows": []}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            spread = json.load(file)
    row = settings_of(result)
    found = [one for one in spread["rows"] if one["settings"] == row]
    if not found:
        found = [{"settings": row, "perplexities": [], "runs": []}]
        spread["rows"] += found
    found[0]["perplexities"].append(round(result["perplexity"], 8))
    found[0]["runs"].append(run)
    write_json(path, spread)


SPREAD_WHAT = ("Perplexities of the same rows under changes that alter nothing but the rounding of "
               "float32 sums: how far another correct implementation may be from reference.json.")


def wanted(args, row):
    return args.only in json.dumps(row)


# ---------------------------------------------------------------- codes

ROW_MARKS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"


def command_codes(args):
    authors, calibration, _evaluation = prepare(args)
    rows = [row for row in ROWS if row["algorithm"] == "gptq" and "true_sequential" not in row]
    known = quantize_linears(args, authors, rows, calibration)
    for row in known:
        row["rows_apart"], row["scale_apart"] = [], 0
    for seed in args.seeds:
        with replaced(torch.nn.functional, "linear", split_linear(drawn_split(seed))):
            again = quantize_linears(args, authors, rows, reordered(calibration, seed))
        for row, other in zip(known, again):
            compare_codes(row, other)
        write_json(args.out, {"what": CODES_WHAT, "fields": CODES_FIELDS, "versions": versions(),
                              "seeds": args.seeds, "rows": known})


def quantize_linears(args, authors, rows, calibration):
    """What each recipe makes of each linear on the unquantized model's inputs."""
    model = load_model(args)
    linears = block_linears(model)
    solvers = {name: authors.llama.GPTQ(linear) for name, linear in linears.items()}

    def collector(solver):
        return lambda _module, inputs, outputs: solver.add_batch(inputs[0].data, outputs.data)

    hooks = [linear.register_forward_hook(collector(solvers[name]))
             for name, linear in linears.items()]
    for window in calibration:
        model.model(window)
    for hook in hooks:
        hook.remove()
    return [{"settings": row, "linears": [quantize_linear(authors, row, solvers[name], name)
                                          for name in linears]} for row in rows]


def quantize_linear(authors, row, solver, name):
    """Solves for a linear by a copy of its Hessian and gives its weights back as they were."""
    weight = solver.layer.weight.data
    solve = authors.llama.GPTQ(solver.layer)
    solve.H = solver.H.clone()
    solve.quantizer = authors.quant.Quantizer()
    solve.quantizer.configure(row["bits"], perchannel=True, sym=row.get("sym", False),
                              mse=row.get("mse", False))
    levels, scales, order = [], [], []

    def column(variables):
        if variables["x"].shape[1] == 1:  # not the search for a range, which sees whole groups
            levels.append(variables["q"] - variables["zero"])
            scales.append(variables["scale"])

    def solved(variables):
        if "perm" in variables:
            order.append(variables["perm"])

    with watching({("quantize", "return"): column, ("fasterquant", "return"): solved}), silence():
        solve.fasterquant(percdamp=row.get("percdamp", 0.01), groupsize=row["group"] or -1,
                          actorder=row.get("act_order", False),
                          static_groups=row.get("static_groups", False))
    solver.layer.weight.data = weight
    levels = torch.cat(levels, dim=1)
    if order:
        levels = levels[:, torch.argsort(order[0])]
    _model, _layers, block, short = name.split(".", 3)
    return {"block": int(block), "name": short, "marks": marks_of(levels.int().numpy()),
            "mean_scale": torch.cat(scales, dim=1).double().mean().item()}


def marks_of(levels):
    """One of 64 characters for each row of integers: the upper bits of h = (h ^ level) * 2654435761
    over its columns, modulo 2^32."""
    import numpy
    sums = numpy.zeros(levels.shape[0], dtype=numpy.uint32)
    for level in levels.T.astype(numpy.uint32):
        sums = (sums ^ level) * numpy.uint32(2654435761)
    return "".join(ROW_MARKS[int(mark)] for mark in sums >> 26)


def compare_codes(row, other):
    apart = 0
    for one, two in zip(row["linears"], other["linears"]):
        apart += sum(a != b for a, b in zip(one["marks"], two["marks"]))
        row["scale_apart"] = max(row["scale_apart"], abs(two["mean_scale"] / one["mean_scale"] - 1))
    row["rows_apart"].append(apart)
    print(row["rows_apart"], row["scale_apart"], json.dumps(row["settings"]), flush=True)


CODES_WHAT = ("What the authors' solver makes of every linear on the unquantized model's inputs of "
              "it, and how much of that the order of float32 sums decides.")
CODES_FIELDS = {
    "marks": "a character for each row of weights: the columns' codes less their zero points, hashed "
             "as marks_of() of oracle.py says",
    "mean_scale": "mean over rows and columns of the scale",
    "rows_apart": "for each of the seeds, the rows of all linears whose marks differ: one code at a "
                  "near tie moves the rest of its row",
    "scale_apart": "the largest relative difference of a linear's mean_scale",
}


# ---------------------------------------------------------------- command line

def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("rows", "check", "spread", "codes", "layers", "tokens"):
        command = commands.add_parser(name)
        command.add_argument("--model", required=True)
        command.add_argument("--calibration", required=True)
        command.add_argument("--evaluation", required=True)
        if name != "check":
            command.add_argument("--out", required=True)
        if name != "tokens":
            for project in ("gptq", "awq", "smoothquant"):
                command.add_argument("--" + project, required=True, help="its source directory")
            command.add_argument("--threads", type=int, default=2)
            command.add_argument("--only", default="", help="only rows whose JSON contains this")
            command.add_argument("--double", action="store_true", help="forward in float64")
    commands.choices["rows"].add_argument("--carry", required=True)
    commands.choices["check"].add_argument("--against", required=True)
    commands.choices["spread"].add_argument("--orders", type=int, nargs="+", default=[])
    commands.choices["spread"].add_argument("--splits", type=int, nargs="+", default=[])
    for name in ("spread", "codes"):
        commands.choices[name].add_argument("--seeds", type=int, nargs="+", default=[])
    return parser.parse_args()


def main():
    args = parse_arguments()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(getattr(args, "threads", 1))
    torch.set_grad_enabled(False)
    {"rows": command_rows, "check": command_check, "spread": command_spread,
     "codes": command_codes, "layers": command_layers, "tokens": command_tokens}[args.command](args)


if __name__ == "__main__":
    main()
