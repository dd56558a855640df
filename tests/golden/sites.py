"""Writes sites.json: what the authors' code of LLM.int8, KIVI and KVQuant makes of fixed numbers, on a CPU.

    python3 tests/golden/sites.py --kivi <checkout>/quant --kvquant <checkout>/quant/kvquant \\
                                  --out tests/golden/sites.json

tests/conformance/test_golden_sites.c makes the same numbers: float16 as float32, as the authors' inputs are. The
modules that a CPU lacks and that what is called here does not need (triton, scikit-learn) are supplied empty.
"""
import argparse
import importlib.metadata
import json
import sys
import types

import numpy as np
import torch
import torch._dynamo  # before the modules that are supplied empty

from formats import uniform

TOKENS, WIDTH, HEADS, OUT, STEP = 32, 64, 4, 24, 29


def inputs():
    u = uniform(3 * TOKENS * WIDTH).reshape(3, TOKENS, WIDTH)
    x = (u[0] - u[1]) * np.float32(4)
    x[:, 5] *= np.float32(3)       # some of it beyond 6
    x[:, 40] = x[:, 40] * u[2][:, 40] * np.float32(9)
    return torch.from_numpy(x.astype(np.float16).astype(np.float32))


def weights():
    u = uniform(OUT * WIDTH + 3 * TOKENS * WIDTH)[3 * TOKENS * WIDTH:]
    return torch.from_numpy(u.reshape(OUT, WIDTH).astype(np.float16).astype(np.float32))


def row(settings, values, what="values"):
    flat = values.float().flatten()[::STEP]
    return {"settings": settings, "what": what, "values": " ".join(f"{float(v):.9g}" for v in flat)}


def load_authors(args):
    sys.path[:0] = [args.kivi, args.kvquant]
    for name in "triton", "triton.language", "sklearn", "sklearn.cluster":
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["triton"].jit = lambda f: f
    sys.modules["triton"].language = sys.modules["triton.language"]
    sys.modules["triton.language"].constexpr = int
    sys.modules["sklearn.cluster"].KMeans = None


def llm_int8(threshold):
    import bitsandbytes.functional as F
    x, w = inputs(), weights()
    codes, row_stats, columns = F.int8_vectorwise_quant(x.half(), threshold=threshold)
    decoded = codes.float() * (row_stats[:, None] * np.float32(1 / 127))
    if columns is not None and columns.numel():
        decoded[:, columns.long()] = x[:, columns.long()]
    settings = f"bits=8 grid=bitsandbytes threshold={threshold}"
    yield row(settings, decoded)
    w_codes, w_stats, _ = F.int8_vectorwise_quant(w.half())
    product, _ = torch.ops.bitsandbytes.int8_mixed_scaled_mm(x, codes, w_codes, row_stats, w_stats, columns, None)
    yield row(settings, product, "product")


def kivi(bits):
    import new_pack
    heads = inputs().view(1, TOKENS, HEADS, WIDTH // HEADS).transpose(1, 2).contiguous()
    for group in 16, 32:
        packed = new_pack.quant_and_pack_kcache(heads.clone(), group, bits)
        keys = new_pack.unpack_and_dequant_kcache(*packed, group, bits)
        yield row(f"bits={bits} grid=kivi scales=float32 sharing=channel group_size={group}",
                  keys.transpose(1, 2))
    for group in 8, 16:
        code, scale, low = new_pack.quant_and_pack_vcache(heads.clone(), group, bits)
        values = new_pack.unpack_and_dequant_vcache(code, scale, low, group, bits)
        yield row(f"bits={bits} grid=kivi scales=float32 sharing=head group_size={group}", values.transpose(1, 2))


def kvquant(bits):
    import simquant_module_quantizer as kv
    x = inputs()
    for channel, sharing in (-1, "token"), (0, "channel"):
        for keep in 0, 0.01, 0.1:
            for clamp in False, True:
                mask = kv.get_outliers_dynamic(x, channel=channel, thresh=1 - keep) if keep else None
                made = kv.quant_fn_zp(x.clone(), bits=bits, qchannel=channel, dynamicquantization=True,
                                      include_sparse=keep > 0, outlier_mask=mask, clamp=clamp)
                yield row(f"bits={bits} grid=kvquant sharing={sharing} keep={keep} "
                          f"zero_point={'integer' if clamp else 'float'}", made)


def main():
    parser = argparse.ArgumentParser()
    for name in "kivi", "kvquant", "out":
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    load_authors(args)
    rows = [r for t in (6.0, 3.5) for r in llm_int8(t)]
    rows += [r for b in (2, 4) for r in kivi(b)] + [r for b in (2, 3, 4) for r in kvquant(b)]
    made = {"bitsandbytes": importlib.metadata.version("bitsandbytes"), "torch": torch.__version__, "rows": rows}
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump(made, file, indent=0)


if __name__ == "__main__":
    main()
