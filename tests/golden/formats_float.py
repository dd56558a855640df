#!/usr/bin/env python3
"""Writes formats_float.json: what the formats' own libraries make of fixed tensors and of the embedded
model's weights, for floating-point, microscaling and NVFP4 formats.

    formats_float.py --model datasets/tiny --text datasets/commons/evaluation.txt --out FILE

Needs torch, transformers, numpy, safetensors, ml_dtypes, gfloat, torchao, compressed-tensors,
nvidia-modelopt and auto-round; runs on a CPU in a few minutes. The tensors are made of integers by a
recurrence that tests/conformance/test_formats_float.c repeats (tensor below). A digest stands for the
values of a row, or of the linears of the model's first block: zeros without their sign.

`cases` have the digests of every row of every tensor; null where a library's own result is no number
of the format, or where it goes by another rule than stated: `left_out` says why. `casts` lists single
values. `perplexity` is that of the first WINDOWS windows of the text, computed by transformers with
the library's values in the place of the weights of all linears of the blocks.
"""
import argparse
import importlib.metadata
import json
import pathlib
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore")

ROWS, COLUMNS, WINDOWS, TOKENS = 8, 256, 5, 256


# ---------------------------------------------------------------- tensors

class Draws:
    """x = 1664525 x + 1013904223 modulo 2^32; a draw is its upper 16 bits."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (1664525 * self.state + 1013904223) % 2**32
        return self.state >> 16


def gaussian(draws):
    return (sum(draws.next() for _ in range(12)) - 12 * 2**15) * 2.0**-16


def element(kind, draws, row, column):
    if kind == "gaussian":
        return gaussian(draws)
    if kind == "tails":
        value, draw = gaussian(draws), draws.next()
        return value * 2.0**(1 + draw // 16 % 6) if draw % 16 == 0 else value
    if kind == "zeros":
        value, draw = gaussian(draws), draws.next()
        return value if row and column // 16 % 3 and draw % 4 == 0 else 0.0
    if kind == "ties":
        a, b = draws.next(), draws.next()
        if column == 0 and row % 2:
            return 2688.0 if row == 1 else 448.0
        return (a % 257 - 128) / 16 if row % 2 == 0 else (a % 127 - 63) * 2.0**(b % 16 - 14)
    sign, a, b = draws.next() % 2, draws.next(), draws.next()
    if kind == "extremes":
        bits = sign << 31 | (64 + a % 128) << 23 | b << 7
    else:
        bits = sign << 31 | (b << a % 12)
    return np.uint32(bits).view(np.float32)


KINDS = ["gaussian", "tails", "zeros", "ties", "extremes", "subnormals"]


def tensor(kind):
    draws = Draws(KINDS.index(kind) + 1)
    return np.array([[element(kind, draws, i, j) for j in range(COLUMNS)] for i in range(ROWS)],
                    np.float32)


def digest(values):
    """Of float32 values in order."""
    bits = (np.asarray(values, np.float32).ravel() + np.float32(0)).view(np.uint32).astype(np.uint64)
    mixed = (bits ^ np.arange(bits.size, dtype=np.uint64) * 2654435761) % 2**32
    mixed = mixed * 2246822519 % 2**32
    mixed = (mixed ^ mixed >> 15) * 3266489917 % 2**32
    return int(mixed.sum() % 2**32)


# ---------------------------------------------------------------- libraries

def ml_dtypes_cast(name, most=None):
    import ml_dtypes
    kind = np.float16 if name == "float16" else getattr(ml_dtypes, name)

    def run(x):
        with np.errstate(all="ignore"):
            return (np.clip(x, -most, most) if most else x).astype(kind).astype(np.float32)
    return run


def gfloat_cast(exponent, mantissa, variant, mode="TiesToEven"):
    import gfloat
    highest = {"finite": 0, "fn": 1, "ieee": 2**mantissa - 1}[variant]
    extended = variant == "ieee"
    info = gfloat.FormatInfo(name="f", k=1 + exponent + mantissa, precision=mantissa + 1,
                             bias=2**(exponent - 1) - 1, is_signed=True,
                             domain=gfloat.Domain.Extended if extended else gfloat.Domain.Finite,
                             has_nz=True, num_high_nans=highest, has_subnormals=True,
                             is_twos_complement=False)
    rounding = getattr(gfloat.RoundMode, mode)

    def run(x):
        return np.array([gfloat.round_float(info, float(v), rounding, True) for v in x.ravel()],
                        np.float32).reshape(x.shape)
    return run


def compressed_tensors(**keys):
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize
    from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
    args = QuantizationArgs(symmetric=True, dynamic=False, **keys)

    def run(x):
        w = torch.from_numpy(x)
        if args.strategy == "tensor":
            groups = w.reshape(1, 1, -1)
        elif args.strategy == "channel":
            groups = w.unsqueeze(1)
        elif args.strategy == "block":
            return blocks(w)
        else:
            groups = w.unflatten(-1, (-1, args.group_size))
        low, high = groups.amin(-1), groups.amax(-1)
        overall = generate_gparam(w.amin(), w.amax()) if args.strategy == "tensor_group" else None
        scale, zero = calculate_qparams(low, high, args, global_scale=overall)
        if keys.get("scale_dtype") == torch.uint8:
            scale = scale.to(torch.float32)
        if args.strategy == "tensor":
            scale, zero = scale.reshape(1), zero.reshape(1)
        return fake_quantize(w, scale, zero, args, global_scale=overall).numpy()

    def blocks(w):
        h, v = args.block_structure
        out, width = w.shape
        padded = torch.nn.functional.pad(w, (0, -width % v, 0, -out % h))
        tiles = padded.unflatten(0, (-1, h)).unflatten(2, (-1, v)).transpose(1, 2)
        scale, zero = calculate_qparams(tiles.amin((-2, -1)), tiles.amax((-2, -1)), args)
        return fake_quantize(w, scale, zero, args).numpy()
    return run


def mx_through_compressed_tensors(bits):
    """Scales as its observers make them, as powers of two; rounding by its own cast."""
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.quant_args import round_to_quantized_type_args
    from compressed_tensors.quantization.utils import calculate_range
    from compressed_tensors.quantization.utils.mxfp_utils import generate_mx_scales
    args = QuantizationArgs(num_bits=bits, type="float", symmetric=True, strategy="group",
                            group_size=32, scale_dtype=torch.uint8)

    def run(x):
        groups = torch.from_numpy(x).unflatten(-1, (-1, 32))
        exponent = generate_mx_scales(groups.abs().amax(-1, keepdim=True), bits)
        scale = torch.exp2(exponent.clamp(0, 255).to(torch.uint8).float() - 127)
        low, high = calculate_range(args, "cpu")
        rounded = round_to_quantized_type_args(groups / scale, args, low, high)
        return (rounded * scale).flatten(1).numpy()
    return run


def torchao_mx(element, mode):
    from torchao.prototype.mx_formats import mx_tensor
    from torchao.prototype.mx_formats.config import ScaleCalculationMode

    def run(x):
        kind = getattr(torch, element) if hasattr(torch, element) else element
        scale, data = mx_tensor.to_mx(torch.from_numpy(x), kind, 32,
                                      getattr(ScaleCalculationMode, mode))
        return mx_tensor.to_dtype(data, scale, kind, 32, torch.float32).numpy()
    return run


def torchao_nvfp4(overall):
    from torchao.prototype.mx_formats import nvfp4_tensor

    def run(x):
        w = torch.from_numpy(x)
        scale = nvfp4_tensor.per_tensor_amax_to_scale(w.abs().amax()) if overall else None
        return nvfp4_tensor.NVFP4Tensor.to_nvfp4(w, per_tensor_scale=scale).dequantize().numpy()
    return run


def modelopt(name):
    from modelopt.torch.quantization import qtensor

    def nvfp4(x):
        packed, scale, above = qtensor.NVFP4QTensor.quantize(torch.from_numpy(x), 16)
        return packed.dequantize(torch.float32, scale=scale, double_scale=above,
                                 block_sizes={-1: 16}).numpy()

    def mxfp4(x):
        packed, scale = qtensor.MXFP4QTensor.quantize(torch.from_numpy(x), 32)
        return packed.dequantize(torch.float32, scale=scale, block_sizes={-1: 32}).numpy()

    def mxfp8(x):
        packed, scale = qtensor.MXFP8QTensor.quantize(torch.from_numpy(x))
        return packed.dequantize(torch.float32, scale=scale).numpy()
    return {"nvfp4": nvfp4, "mxfp4": mxfp4, "mxfp8": mxfp8}[name]


def auto_round(function, **keys):
    from auto_round.data_type import mxfp, nvfp
    call = getattr(mxfp, function, None) or getattr(nvfp, function)

    def run(x):
        return call(torch.from_numpy(x.copy()), **keys)[0].numpy()
    return run


def torchao_float8(kind, size):
    from torchao.quantization.quant_primitives import (_choose_scale_float8,
                                                       _dequantize_affine_float8,
                                                       _quantize_affine_float8)

    def run(x):
        w = torch.from_numpy(x)
        block = [1, size]
        if size == "channel":
            block = [1, w.shape[1]]
        elif size == "tensor":
            block = list(w.shape)
        scale = _choose_scale_float8(w, block, kind)
        return _dequantize_affine_float8(_quantize_affine_float8(w, scale, kind), scale).numpy()
    return run


# ---------------------------------------------------------------- cases

FP8 = {"num_bits": 8, "type": "float"}
MX = {"mxfp4": "float4_e2m1fn_x2", "mxfp6_e2m3": "fp6_e2m3", "mxfp6_e3m2": "fp6_e3m2",
      "mxfp8_e4m3": "float8_e4m3fn", "mxfp8_e5m2": "float8_e5m2"}
AUTO_ROUND = {"mxfp4": "mx_fp4", "mxfp6_e2m3": "mx_fp6e2m3", "mxfp6_e3m2": "mx_fp6e3m2",
              "mxfp8_e4m3": "mx_fp8e4m3", "mxfp8_e5m2": "mx_fp8e5m2", "mxint8": "mx_int8"}


def cases():
    """(library, settings of ours, the library's function)"""
    for settings, name, most in [
            ("format=fp16 overflow=saturate", "float16", 65504), ("format=bf16", "bfloat16", None),
            ("format=fp8_e4m3 group_size=cast", "float8_e4m3fn", 448),
            ("format=fp8_e5m2 group_size=cast", "float8_e5m2", 57344),
            ("format=float exponent_bits=2 mantissa_bits=1 group_size=cast", "float4_e2m1fn", 6),
            ("format=float exponent_bits=2 mantissa_bits=3 group_size=cast", "float6_e2m3fn", 7.5),
            ("format=float exponent_bits=3 mantissa_bits=2 group_size=cast", "float6_e3m2fn", 28),
            ("format=float variant=ieee group_size=cast", "float8_e4m3", 240),
            ("format=float exponent_bits=3 mantissa_bits=4 variant=ieee group_size=cast",
             "float8_e3m4", 15.5)]:
        yield "ml_dtypes", settings, ml_dtypes_cast(name, most)
    for e, m, variant in [(1, 2, "finite"), (2, 0, "finite"), (3, 0, "finite"), (3, 5, "fn"),
                          (5, 0, "finite"), (6, 3, "ieee"), (7, 8, "finite"), (8, 3, "ieee")]:
        settings = f"format=float exponent_bits={e} mantissa_bits={m} variant={variant} group_size=cast"
        yield "gfloat", settings, gfloat_cast(e, m, variant)
    for rounding, mode in [("floor", "TowardNegative"), ("ceil", "TowardPositive"),
                           ("truncate", "TowardZero"), ("half_away", "TiesToAway")]:
        yield ("gfloat", f"format=fp8_e4m3 group_size=cast rounding={rounding}",
               gfloat_cast(4, 3, "fn", mode))
        yield ("gfloat", f"format=fp8_e5m2 group_size=cast rounding={rounding}",
               gfloat_cast(5, 2, "ieee", mode))
        yield ("gfloat", "format=float exponent_bits=2 mantissa_bits=1 group_size=cast "
               f"rounding={rounding}", gfloat_cast(2, 1, "finite", mode))
    for size, keys in [("channel", {"strategy": "channel"}), ("tensor", {"strategy": "tensor"}),
                       ("128", {"strategy": "group", "group_size": 128}),
                       ("32", {"strategy": "group", "group_size": 32}),
                       ("block", {"strategy": "block", "block_structure": [128, 128]})]:
        yield ("compressed-tensors", f"format=fp8_e4m3 group_size={size}",
               compressed_tensors(**FP8, **keys))
    for size in ("channel", "tensor", 128, 32):
        for name, kind in ("fp8_e4m3", "float8_e4m3fn"), ("fp8_e5m2", "float8_e5m2"):
            yield ("torchao", f"format={name} group_size={size}",
                   torchao_float8(getattr(torch, kind), size))
    for name, element in MX.items():
        for rule in ("floor", "rceil", "ceil", "even"):
            yield "torchao", f"format={name} scale_rule={rule}", torchao_mx(element, rule.upper())
    yield ("compressed-tensors", "format=mxfp4 scale_rule=even", mx_through_compressed_tensors(4))
    yield ("compressed-tensors", "format=mxfp6_e2m3 scale_rule=even",
           mx_through_compressed_tensors(6))
    yield ("compressed-tensors", "format=mxfp8_e4m3 scale_rule=even_fp4",
           mx_through_compressed_tensors(8))
    yield "modelopt", "format=mxfp4 scale_rule=rceil ties=zero", modelopt("mxfp4")
    yield "modelopt", "format=mxfp8_e4m3 scale_rule=rceil", modelopt("mxfp8")
    for name, kind in AUTO_ROUND.items():
        yield ("auto-round", f"format={name} scale_rule=floor_log2",
               auto_round("quant_mx", group_size=32, data_type=kind))
        yield ("auto-round", f"format={name} scale_rule=floor_log2 scale_search=true",
               auto_round("quant_mx_opt_rtn", group_size=32, data_type=kind))
        yield ("auto-round", f"format={name} scale_rule=rceil",
               auto_round("quant_mx_rceil", group_size=32, data_type=kind))
    yield "modelopt", "format=nvfp4 scale_rule=modelopt", modelopt("nvfp4")
    yield ("compressed-tensors", "format=nvfp4 scale_rule=compressed_tensors",
           compressed_tensors(num_bits=4, type="float", strategy="tensor_group", group_size=16,
                              scale_dtype=torch.float8_e4m3fn))
    yield "torchao", "format=nvfp4 scale_rule=torchao", torchao_nvfp4(True)
    yield ("torchao", "format=nvfp4 scale_rule=torchao tensor_scale=false", torchao_nvfp4(False))
    yield "auto-round", "format=nvfp4 scale_rule=auto_round", auto_round("nv_fp4")


# What is left out: (library, a part of the settings, tensors, why).
LEFT_OUT = [("torchao", "format=mx", ("subnormals",),
             "blocks whose scale is 2^-127 are divided by 2^-126, or by 1")]


def reason(library, settings, kind):
    for who, part, kinds, why in LEFT_OUT:
        if who == library and part in settings and kind in kinds:
            return why
    return None


def rows_of(library, settings, run, kind):
    got = run(tensor(kind))
    return [digest(row) if np.isfinite(row).all() else None for row in got]


def linears_of(state):
    return [name for name in state if name.endswith("_proj.weight")]


def case_of(library, settings, run, state):
    found = {"library": library, "settings": settings, "rows": {}, "left_out": {}}
    for kind in KINDS:
        why = reason(library, settings, kind)
        if why:
            found["left_out"][kind] = why
        else:
            found["rows"][kind] = rows_of(library, settings, run, kind)
    if library != "gfloat": # which goes value by value
        names = [n for n in linears_of(state) if ".layers.0." in n]
        found["block"] = [digest(run(state[n].numpy())) for n in sorted(names)]
    return found


SPECIAL = [0.0, 448, 449, 464, 464.1, 465, 1e5, -470, 2.0**-10, 0.00146, 1.5 * 2.0**-9, 61439,
           61440, 57344, 65504, 65519, 65520, -65520, 2.0**-24, 2.0**-25, 1.5 * 2.0**-24, 3.4e38,
           2.0**-133, 2.0**-134, 1.5 * 2.0**-133, float("inf"), float("-inf"), float("nan")]
SPECIAL_CASTS = [("format=fp16", "float16", None), ("format=fp16 overflow=saturate", "float16", 65504),
                 ("format=bf16", "bfloat16", None),
                 ("format=fp8_e4m3 group_size=cast", "float8_e4m3fn", 448),
                 ("format=fp8_e5m2 group_size=cast", "float8_e5m2", 57344),
                 ("format=fp8_e5m2 group_size=cast overflow=infinity", "float8_e5m2", None)]


def hexadecimal(values):
    values = np.asarray(values, np.float32)
    return [f"{int(b):08x}" if v == v else "nan" for v, b in
            zip(values, (values + np.float32(0)).view(np.uint32))]


def casts():
    x = np.array(SPECIAL, np.float32)
    return {"values": hexadecimal(x),
            "casts": [{"settings": settings, "values": hexadecimal(ml_dtypes_cast(name, most)(x))}
                      for settings, name, most in SPECIAL_CASTS]}


MEASURED = ["format=mxfp4 scale_rule=floor", "format=mxfp4 scale_rule=rceil",
            "format=mxfp8_e4m3 scale_rule=floor", "format=mxfp6_e2m3 scale_rule=even",
            "format=mxint8 scale_rule=floor_log2", "format=nvfp4 scale_rule=modelopt",
            "format=nvfp4 scale_rule=compressed_tensors", "format=nvfp4 scale_rule=torchao",
            "format=fp8_e4m3 group_size=channel", "format=fp8_e4m3 group_size=128",
            "format=fp8_e4m3 group_size=block",
            "format=float exponent_bits=3 mantissa_bits=2 group_size=cast"]


def perplexities(args, state):
    import transformers
    model = transformers.AutoModelForCausalLM.from_pretrained(
        args.model, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    text = pathlib.Path(args.text).read_text(encoding="utf-8")
    ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
    windows = ids[:WINDOWS * TOKENS].reshape(WINDOWS, TOKENS)
    rows, done = [], set()
    for library, settings, run in cases():
        if settings not in MEASURED or settings in done:
            continue
        done.add(settings)
        with torch.no_grad():
            for name in linears_of(state):
                model.get_parameter(name).copy_(torch.from_numpy(run(state[name].numpy())))
            nll = torch.stack([-torch.log_softmax(model(w[None]).logits[0, :-1].double(), -1)
                               .gather(1, w[1:, None]).mean() for w in windows])
        rows.append({"library": library, "settings": settings,
                     "perplexity": float(nll.mean().exp())})
        print(rows[-1], flush=True)
    return {"windows": WINDOWS, "tokens": TOKENS, "rows": rows}


# ---------------------------------------------------------------- command

def load(folder):
    from safetensors.torch import load_file
    state = load_file(pathlib.Path(folder) / "model.safetensors")
    return {name: value.float() for name, value in state.items()}


def versions():
    return {name: importlib.metadata.version(name) for name in
            ("torch", "transformers", "numpy", "ml_dtypes", "gfloat", "torchao",
             "compressed-tensors", "nvidia-modelopt", "auto-round")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    state = load(args.model)
    found = []
    for library, settings, run in cases():
        print(library, settings, flush=True)
        found.append(case_of(library, settings, run, state))
    result = {"what": __doc__.splitlines()[0], "versions": versions(), "kinds": KINDS,
              "rows": ROWS, "columns": COLUMNS,
              "tensors": {kind: [digest(row) for row in tensor(kind)] for kind in KINDS},
              "cases": found, "special": casts(), "perplexity": perplexities(args, state)}
    text = json.dumps(result, indent=1)
    with open(args.out, "w", encoding="utf-8") as file:
        file.write(compact(text) + "\n")


def compact(text):
    """Lists of numbers on one line."""
    import re
    return re.sub(r"\[\s+((?:[^][{}]|\n)*?)\s+\]",
                  lambda m: "[" + re.sub(r"\s+", " ", m.group(1)) + "]", text)


if __name__ == "__main__":
    main()
