"""Writes formats.json: what libraries of other projects make of fixed tensors and of a weight of the
embedded model, in each number format, as the CRC-32 of the decoded float32 values (-0 counts as 0).

    python3 tests/golden/formats.py datasets/tiny/model.safetensors > tests/golden/formats.json

A tensor is [16][256]; tests/conformance/test_golden_formats.c makes the same ones.
"""
import json
import sys
import zlib

import numpy as np
import torch
from safetensors.torch import load_file

ROWS, WIDTH = 16, 256
WEIGHT = "model.layers.2.mlp.gate_proj.weight"


def uniform(count):
    state, out = 1, np.empty(count, np.float32)
    for i in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out[i] = np.float32((state >> 40) * 2.0**-24 - 0.5)
    return out


def tensors(model):
    u = uniform(4 * ROWS * WIDTH).reshape(4, ROWS * WIDTH)
    bell = u[0] + u[1] + u[2]
    heavy = u[0] * u[1] * u[2] * np.float32(64)
    ties = np.round(u[3] * np.float32(64)) / np.float32(16)
    holes = np.where(np.arange(ROWS * WIDTH) // WIDTH % 4 == 1, np.float32(0), bell)
    aside = u[0] + np.float32(0.75)
    extreme = bell * np.float32(2.0) ** (np.arange(ROWS * WIDTH) // WIDTH * 4 - 32).astype(np.float32)
    made = {"bell": bell, "heavy": heavy, "ties": ties, "holes": holes, "aside": aside, "extreme": extreme}
    made = {name: torch.from_numpy(x.astype(np.float32).reshape(ROWS, WIDTH).copy()) for name, x in made.items()}
    made["weight"] = load_file(model)[WEIGHT].float()
    return made


def crc(x):
    x = x.detach().float().contiguous().numpy() + np.float32(0)
    return zlib.crc32(x.tobytes())


# ---- bitsandbytes ----

def absmax_code(table, x):
    """The search of its CUDA code for the code of an absmax (the CPU takes it from a table)."""
    pivot, upper, lower = 127, 255, 0
    step = 64
    while step:
        if x > table[pivot]:
            lower, pivot = pivot, pivot + step
        else:
            upper, pivot = pivot, pivot - step
        step //= 2
    value, half = table[pivot], np.float32(0.5)
    if x > value:
        return upper if x > (table[upper] + value) * half else pivot
    return lower if x < (table[lower] + value) * half else pivot


FP4_BOUNDS = [.00260417, .0859375, .20833333, .29166667, .4166667, .583333, .8333333]
FP4_VALUES = [0, .005208333333, .16666667, .25, .33333333, .5, .66666667, 1]


def fp4_of_cuda(w, block):
    """fp4 as its CUDA code has it: thresholds of |u|, which is x times the inverse of absmax."""
    x = w.reshape(-1, block).numpy()
    absmax = np.abs(x).max(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = x * (np.float32(1) / absmax)
    code = (np.abs(u)[..., None] > np.array(FP4_BOUNDS, np.float32)).sum(-1)
    value = np.array(FP4_VALUES, np.float32)[code] * np.sign(x)
    return value.astype(np.float32), torch.from_numpy(absmax[:, 0])


def bitsandbytes_4bit(w, kind, block, double):
    import bitsandbytes.functional as F
    q, state = F.quantize_4bit(w, blocksize=block, quant_type=kind)
    if kind == "fp4":
        value, absmax = fp4_of_cuda(w, block)
        ours = torch.from_numpy(value) * absmax[:, None]
        theirs = F.dequantize_4bit(q, state).reshape(-1, block)
        assert (absmax == state.absmax).all()
        if not double:
            print(f"fp4 {block}: {(ours != theirs).sum()} of {w.numel()} values differ on the CPU", file=sys.stderr)
    if double:
        absmax = state.absmax
        offset = absmax.double().mean().float()
        rest = (absmax - offset).numpy()
        table = F.create_dynamic_map(signed=True).numpy()
        out = np.empty_like(rest)
        for at in range(0, rest.size, 256):
            most = np.abs(rest[at:at + 256]).max()
            inverse = np.float32(1) / most if most > 0 else np.float32(0)
            for i in range(at, min(at + 256, rest.size)):
                out[i] = table[absmax_code(table, rest[i] * inverse)] * most + offset.numpy()
        mine = torch.from_numpy(out)
        theirs = F.quantize_4bit(w, blocksize=block, quant_type=kind, compress_statistics=True)[1]
        other = F.dequantize_blockwise(theirs.absmax, theirs.state2) + theirs.offset
        print(f"{kind} {block}: {(other != mine).sum()} of {out.size} absmax differ on the CPU",
              file=sys.stderr)
        state.absmax = mine
    if kind == "fp4":
        return torch.from_numpy(value) * state.absmax[:, None]
    return F.dequantize_4bit(q, state)


# ---- integer grids ----

def groups(w, size):
    return w.reshape(-1, size)


def compressed_tensors(w, bits, size, symmetric):
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize
    from compressed_tensors.quantization.utils import calculate_qparams
    args = QuantizationArgs(num_bits=bits, type="int", symmetric=symmetric, strategy="group", group_size=size)
    parts = w.reshape(w.shape[0], -1, size)
    scale, zero = calculate_qparams(parts.amin(-1), parts.amax(-1), args)
    return fake_quantize(w, scale, zero, args)


def auto_round(w, bits, size, symmetric, scales):
    from auto_round.data_type import int as rules
    run = rules.quant_tensor_sym if symmetric else rules.quant_tensor_asym
    return run(groups(w, size), bits=bits, group_size=-1, scale_dtype=scales)[0]


def auto_round_opt_rtn(w, bits, size):
    from auto_round.data_type.int import quant_tensor_opt_rtn_sym
    return quant_tensor_opt_rtn_sym(w, bits=bits, group_size=size)[0]


def torchao(w, bits, size, mapping):
    from torchao.quantization.quant_primitives import (MappingType, choose_qparams_affine, dequantize_affine,
                                                       quantize_affine)
    low, high = (0, 2**bits - 1) if mapping == "ASYMMETRIC" else (-2**(bits - 1), 2**(bits - 1) - 1)
    kind = torch.uint8 if mapping == "ASYMMETRIC" else torch.int8
    block = (1, size)
    scale, zero = choose_qparams_affine(w, MappingType[mapping], block, kind, low, high)
    q = quantize_affine(w, block, scale, zero, kind, low, high)
    return dequantize_affine(q, block, scale, zero, kind, low, high)


def hqq(w, bits, size):
    from hqq.core.quantize import Quantizer
    q, meta = Quantizer.quantize(w, nbits=bits, group_size=size, axis=1, optimize=False, round_zero=False,
                                 compute_dtype=torch.float32, device="cpu", bitpack=False)
    return Quantizer.dequantize(q, meta)


def integer_settings():
    for bits in 2, 3, 4, 8:
        for size in 32, 256:
            text = f"format=int bits={bits} group_size={size} grid="
            for symmetric in True, False:
                yield (f"{text}compressed_tensors symmetric={str(symmetric).lower()}",
                       lambda w, b=bits, s=size, y=symmetric: compressed_tensors(w, b, s, y))
                # float16 has no room for the scales of `extreme`: there its infinity is not followed
                for name, kind in ("float16", torch.float16), ("bfloat16", torch.bfloat16), ("float32", torch.float32):
                    yield (f"{text}auto_round symmetric={str(symmetric).lower()} scales={name}",
                           lambda w, b=bits, s=size, y=symmetric, k=kind: auto_round(w, b, s, y, k))
            for grid, mapping in (("torchao symmetric=true", "SYMMETRIC"), ("torchao symmetric=false", "ASYMMETRIC"),
                                  ("torchao_no_clipping", "SYMMETRIC_NO_CLIPPING_ERR")):
                yield text + grid, lambda w, b=bits, s=size, m=mapping: torchao(w, b, s, m)
            if bits != 2 or size != 256:
                yield text + "hqq", lambda w, b=bits, s=size: hqq(w, b, s)


def searched_settings():
    """What is searched for by sums in float32, whose order torch leaves open: compared row by row."""
    for bits in 2, 3, 4, 8:
        for size in 32, 128:
            more = " range_step=0.005 range_steps=90" if bits == 2 else ""
            yield (f"format=int bits={bits} group_size={size} grid=auto_round scales=float32 range=opt_rtn{more}",
                   lambda w, b=bits, s=size: auto_round_opt_rtn(w, b, s))


def settings():
    for kind in "nf4", "fp4":
        for block in 64, 128:
            for double in False, True:
                yield (f"format={kind} group_size={block} double_quant={str(double).lower()}",
                       lambda w, k=kind, b=block, d=double: bitsandbytes_4bit(w, k, b, d))


def main():
    rows = []
    for text, run in [*settings(), *integer_settings()]:
        for name, w in tensors(sys.argv[1]).items():
            if name != "extreme" or "float16" not in text.split("scales=")[-1:]:
                rows.append({"settings": text, "tensor": name, "crc": crc(run(w.clone()))})
    for text, run in searched_settings():
        for name, w in tensors(sys.argv[1]).items():
            if name != "extreme": # scales below 1e-5 that are no search's
                rows.append({"settings": text, "tensor": name, "rows": [crc(row) for row in run(w[:256].clone())]})
    print("[" + ",\n ".join(map(json.dumps, rows)) + "]")


if __name__ == "__main__":
    main()
