#!/usr/bin/env python3
"""Golden figures of the authors' own code of GPTQ, AWQ and SmoothQuant for other families.

    family_quant.py --gptq DIR --awq DIR --smoothquant DIR [--out FILE] [--only TEXT]

runs that code (of the commits that oracle.py names, supplied with what it lacks on a CPU as
oracle.py does it) on tiny models of families/ and writes family_quant.json: for each model
calibration windows of random tokens, and for each setting

    mse       of every linear, in the order of `linears`, block after block: the mean squared
              difference between the final weight and the original one, after the columns were
              divided and the rows multiplied by the scales that were folded in; a tensor that
              holds q, k and v is one linear to the authors and split into three here
    mean_nll  over the windows of families/families.json

What drives what: GPTQ by opt.py, bloom.py and llama.py (Qwen2), and for the families without a
driver by the same steps around its class; AWQ by run_awq; SmoothQuant by smooth_lm and
quantize_model, which does not know BLOOM and GPT-NeoX: there every linear of a block becomes a
W8A8Linear. To make AWQ work on models this small and on the classes of transformers:
  - auto_clip_layer works on chunks of 64 rows, each row by itself: it is given rows of zeros up to
    that, and their clips are dropped;
  - it is asked for CLIP_TOKENS sampled tokens, and for the whole row as a group where there are no
    groups, a case in which the rank of its tensors is wrong for its own quantizer;
  - Falcon is recognised by the name of its module of remote code: the class is given such a name.
Needs what oracle.py needs. Runs in a minute.
"""
import argparse
import contextlib
import json
import pathlib
import types

import torch
import transformers

import authors_code
from authors_code import awq, gptq, replaced, rtn, setting, silence, smoothquant

HERE = pathlib.Path(__file__).parent
WINDOWS, TOKENS, CLIP_TOKENS = 6, 40, 80

W8A8 = [smoothquant(0.0, smooth=False), smoothquant(0.0, smooth=False, **authors_code.PER_TENSOR)]
BMM = [smoothquant(0.5, quantize_bmm_input=True),
       smoothquant(0.5, **authors_code.PER_TENSOR, quantize_bmm_input=True)]
SMOOTH = [smoothquant(0.5), smoothquant(0.8, **authors_code.PER_TENSOR)]
RTN = [setting("unquantized"), rtn(4), rtn(3, 8), rtn(4, sym=True)]
GPTQ = [gptq(4), gptq(3), gptq(4, 8), gptq(4, percdamp=0.1, sym=True)]
ORDER = [gptq(4, act_order=True), gptq(4, 8, act_order=True, static_groups=True)]


def awqs(group):
    """Settings of AWQ; `group` has to divide all widths of a model."""
    clipped = [awq(bits, group, clip_tokens=CLIP_TOKENS) for bits in (3, 4)]
    return [awq(4, clip=False), awq(3, group, clip=False),
            awq(4, group, scale=False, clip_tokens=CLIP_TOKENS), *clipped]


# Where the tensors are: the blocks, the linears that stand alone, and the fused one.
LLAMA = {"blocks": "model.layers", "linears": [f"self_attn.{x}_proj" for x in "qkvo"] +
         [f"mlp.{x}_proj" for x in ("gate", "up", "down")]}
OPT = {"blocks": "model.decoder.layers",
       "linears": [f"self_attn.{x}_proj" for x in ("q", "k", "v", "out")] + ["fc1", "fc2"]}
GPT2 = {"blocks": "transformer.h", "fused": "attn.c_attn",
        "linears": ["attn.c_proj", "mlp.c_fc", "mlp.c_proj"]}


def dense(blocks, attention):
    return {"blocks": blocks, "fused": attention + ".query_key_value",
            "linears": [attention + ".dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"]}


MODELS = [
    {"name": "opt", **OPT, "rows": RTN + GPTQ + ORDER + awqs(None) + W8A8 + SMOOTH + BMM},
    {"name": "opt-350m", **OPT, "rows": RTN + GPTQ + ORDER + W8A8},
    {"name": "bloom", **dense("transformer.h", "self_attention"),
     "rows": RTN + GPTQ + awqs(5) + W8A8 + SMOOTH + BMM},
    {"name": "gpt_neox", **dense("gpt_neox.layers", "attention"),
     "rows": RTN + GPTQ + ORDER + awqs(6) + W8A8},
    {"name": "falcon", **dense("transformer.h", "self_attention"), "remote": "falcon-7b",
     "rows": RTN + GPTQ + ORDER + awqs(6) + W8A8 + SMOOTH + BMM},
    {"name": "falcon-grouped", **dense("transformer.h", "self_attention"), "remote": "falcon-40b",
     "rows": RTN + GPTQ + ORDER + awqs(4) + W8A8 + SMOOTH + BMM},
    {"name": "gpt2", **GPT2, "rows": RTN + GPTQ + ORDER},
    {"name": "qwen2", **LLAMA, "rows": RTN + GPTQ + ORDER + awqs(None)},
]


# ---------------------------------------------------------------- models

def load(case):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        HERE / "families" / case["name"] / "4.57",  # the form that this transformers reads
        torch_dtype=torch.float32, attn_implementation="eager")
    model.config.use_cache = False
    model.seqlen = TOKENS
    return model.eval()


def modules_of(case):
    """Names of a block's linears, as the model has them."""
    return ([case["fused"]] if "fused" in case else []) + case["linears"]


def linears_of(case, model):
    """{"transformer.h.0.mlp.dense_h_to_4h": module, ...}, block after block."""
    return {f"{case['blocks']}.{index}.{name}": block.get_submodule(name)
            for index, block in enumerate(model.get_submodule(case["blocks"]))
            for name in modules_of(case)}


def is_transposed(module):
    return isinstance(module, transformers.Conv1D)


def weight_of(module):
    """[out][in]"""
    return module.weight.data.t() if is_transposed(module) else module.weight.data


def set_weight(module, weight):
    module.weight.data = weight.t().contiguous() if is_transposed(module) else weight


def split_fused(config, weight):
    """The rows of q, of k and of v."""
    if config.model_type == "gpt2":
        return weight.split(config.n_embd)
    heads, kv_heads = config.num_attention_heads, config.num_attention_heads
    if config.model_type == "falcon":
        kv_heads = config.num_kv_heads if config.new_decoder_architecture else 1
        assert config.new_decoder_architecture or config.multi_query
    width = config.hidden_size // heads
    groups = weight.reshape(kv_heads, heads // kv_heads + 2, width, -1)
    return (groups[:, :-2].flatten(0, 2), groups[:, -2].flatten(0, 1), groups[:, -1].flatten(0, 1))


# ---------------------------------------------------------------- the algorithms
# Each returns the scales found: {name of a linear: factor of its columns}, the same for its rows.

def run_rtn(case, authors, model, row, calibration):
    for linear in linears_of(case, model).values():
        weight = weight_of(linear)
        parts = weight.split(row["group"] or weight.shape[1], dim=1)
        set_weight(linear, torch.cat([authors_code.nearest(authors.quant, part, row) for part in parts],
                                     dim=1))
    return {}, {}


def run_gptq(case, authors, model, row, calibration):
    family = model.config.model_type
    driver = {"opt": (authors.opt, "opt_sequential"), "bloom": (authors.bloom, "bloom_sequential"),
              "qwen2": (authors.llama, "llama_sequential")}.get(family)
    options = types.SimpleNamespace(
        nsamples=len(calibration), wbits=row["bits"], groupsize=row["group"] or -1,
        percdamp=row.get("percdamp", 0.01), sym=row.get("sym", False), trits=False,
        act_order=row.get("act_order", False), static_groups=row.get("static_groups", False),
        true_sequential=False)
    with silence():
        if driver:
            driver[0].args = options
            getattr(*driver)(model, [(window,) for window in calibration], "cpu")
        else:
            solve_block_by_block(case, authors, model, options, calibration)
    return {}, {}


def solve_block_by_block(case, authors, model, options, calibration):
    """As the drivers do it: the Hessians of a block, unquantized, after quantized ones."""
    for block in model.get_submodule(case["blocks"]):
        solvers = {block.get_submodule(name): None for name in modules_of(case)}
        for linear in solvers:
            solvers[linear] = authors.gptq.GPTQ(linear)
            solvers[linear].quantizer = authors.quant.Quantizer()
            solvers[linear].quantizer.configure(options.wbits, perchannel=True, sym=options.sym,
                                                mse=False)
        hooks = [linear.register_forward_hook(
            lambda module, inputs, output: solvers[module].add_batch(inputs[0], output))
            for linear in solvers]
        for window in calibration:
            model(window)
        for hook in hooks:
            hook.remove()
        for solver in solvers.values():
            solver.fasterquant(percdamp=options.percdamp, groupsize=options.groupsize,
                               actorder=options.act_order, static_groups=options.static_groups)


@contextlib.contextmanager
def small_models(case, authors, model):
    """See above: chunks of rows, sampled tokens, whole rows, Falcon's name."""
    clip_layer = authors.awq_clip.auto_clip_layer

    def clip(weight, inputs, n_bit, q_config):
        rows, width = weight.shape
        padded = torch.cat([weight, weight.new_zeros(-rows % 64, width)])
        group = q_config["q_group_size"] if q_config["q_group_size"] > 0 else width
        return clip_layer(padded, inputs, n_bit, {**q_config, "q_group_size": group},
                          n_sample_token=CLIP_TOKENS)[:rows]

    block = type(model.get_submodule(case["blocks"])[0])
    module = f"transformers_modules.{case['remote']}" if "remote" in case else block.__module__
    with replaced(authors.awq_clip, "auto_clip_layer", clip), replaced(block, "__module__", module):
        yield


def run_awq(case, authors, model, row, calibration):
    with small_models(case, authors, model):
        found = authors_code.run_awq(authors, model, row, calibration)
    columns = {name: scales for _, names, scales in found["scale"] for name in names}
    return columns, {previous: scales for previous, _, scales in found["scale"]}


def run_smoothquant(case, authors, model, row, calibration):
    columns = {}
    names = {linear: name for name, linear in linears_of(case, model).items()}

    def smoothed(variables):
        columns.update({names[linear]: variables["scales"].clone() for linear in variables["fcs"]})

    if row.get("smooth", True):
        maxima = authors_code.activation_maxima(authors, model, calibration)
        with authors_code.watching({("smooth_ln_fcs", "return"): smoothed}):
            authors.sq_smooth.smooth_lm(model, maxima, row["alpha"])
    options = {"weight_quant": row.get("weight", "per_channel"),
               "act_quant": row.get("act", "per_token")}
    bmm_input = row.get("quantize_bmm_input", False)
    if model.config.model_type in ("opt", "falcon"):
        authors.sq_quant.quantize_model(model, **options, quantize_bmm_input=bmm_input)
        return columns, {}
    for linear, name in names.items():
        parent, _, last = name.rpartition(".")
        quantized = authors.sq_quant.W8A8Linear.from_float(
            linear, **options, quantize_output=bmm_input and name.endswith(case["fused"]))
        setattr(model.get_submodule(parent), last, quantized)
    return columns, {}


RUN = {"unquantized": lambda *_: ({}, {}), "rtn": run_rtn, "gptq": run_gptq, "awq": run_awq,
       "smoothquant": run_smoothquant}


# ---------------------------------------------------------------- measure

def short(value):
    return float(f"{value:.10g}")


def errors_of(case, model, before, columns, rows):
    """The mean squared error of every linear, q, k and v apart."""
    errors = []
    for name, linear in linears_of(case, model).items():
        got = weight_of(linear).double()
        if name in columns:
            got = got / columns[name].double().view(1, -1)
        if name in rows:
            got = got * rows[name].double().view(-1, 1)
        squares = (got - before[name].double()).square()
        fused = "fused" in case and name.endswith(case["fused"])
        parts = split_fused(model.config, squares) if fused else (squares,)
        errors += [short(part.mean().item()) for part in parts]
    return errors


def measure(case, authors, row, calibration, evaluation):
    model = load(case)
    before = {name: weight_of(linear).clone() for name, linear in linears_of(case, model).items()}
    columns, rows = RUN[row["algorithm"]](case, authors, model, row, calibration)
    result = {**row, "mean_nll": short(authors_code.mean_nll(model, evaluation))}
    if row["algorithm"] != "unquantized":
        result["mse"] = errors_of(case, model, before, columns, rows)
    return result


def windows_of(ids, tokens):
    return torch.tensor(ids).view(-1, 1, tokens)


def measure_model(case, authors, seed, only):
    with open(HERE / "families" / "families.json", encoding="utf-8") as file:
        text = next(row for row in json.load(file)["families"] if row["name"] == case["name"])
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(load(case).config.vocab_size, (WINDOWS, TOKENS), generator=generator)
    calibration = windows_of(ids.flatten().tolist(), TOKENS)
    evaluation = windows_of(text["ids"], text["tokens"])
    fused = [f"{case['fused']}.{part}" for part in "qkv"] if "fused" in case else []
    rows = []
    for row in case["rows"]:
        if only in json.dumps(row):
            rows.append(measure(case, authors, row, calibration, evaluation))
            print(case["name"], json.dumps({**rows[-1], "mse": None}), flush=True)
    return {"name": case["name"], "windows": WINDOWS, "tokens": TOKENS,
            "ids": ids.flatten().tolist(), "linears": fused + case["linears"], "rows": rows}


def load_authors(args):
    authors = authors_code.load_authors(args)
    with silence():
        import bloom
        import gptq as solver
        import opt
        from awq.quantize import auto_clip
    authors.opt, authors.bloom, authors.gptq, authors.awq_clip = opt, bloom, solver, auto_clip
    return authors


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for project in ("gptq", "awq", "smoothquant"):
        parser.add_argument("--" + project, required=True, help="its source directory")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "family_quant.json")
    parser.add_argument("--only", default="", help="only rows whose JSON contains this")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    authors = load_authors(args)
    models = [measure_model(case, authors, 1 + seed, args.only) for seed, case in enumerate(MODELS)]
    authors_code.write_json(args.out, {"what": "see family_quant.py", "versions": authors_code.versions(),
                                 "models": models})


if __name__ == "__main__":
    main()
