#!/usr/bin/env python3
"""Writes the tables of configs/formats/README.md: how many values the program makes of fixed tensors
otherwise than each library, and why; and what GPTQ adds to each format.

    make build/release/tests/golden/round_values
    python3 tests/golden/report.py build/release/tests/golden/round_values results/formats.h5

Needs what formats.py, formats_float.py and formats_ggml.py need, and h5py; results/formats.h5 is what
`bitsweep run configs/formats.yaml` leaves. The tensors are those of formats_float.py (8 x 256 values
each) and a weight of the embedded model. The libraries are asked as their users ask them: where the
golden files go around a point in which a library's CPU code differs from its GPU code or from itself,
this does not. A difference whose reason is not stated here is an error.
"""
import collections
import pathlib
import re
import subprocess
import sys
import warnings

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))
warnings.filterwarnings("ignore")
import formats  # noqa: E402
import formats_float  # noqa: E402
import formats_ggml  # noqa: E402

README = "configs/formats/README.md"
MODEL = "datasets/tiny/model.safetensors"
ANOTHER_CODE = 2.0**-10  # a value that differs by more of itself has another code or scale


def tensors():
    from safetensors.torch import load_file
    made = {kind: formats_float.tensor(kind) for kind in formats_float.KINDS}
    made["weight"] = load_file(MODEL)[formats.WEIGHT].float().numpy()
    return made


# ---- the libraries ----

def by_torch(run):
    import torch
    return lambda x: run(torch.from_numpy(x.copy())).detach().float().numpy().reshape(x.shape)


def bitsandbytes(kind, block, double):
    import bitsandbytes.functional as F

    def run(w):
        q, state = F.quantize_4bit(w, blocksize=block, quant_type=kind, compress_statistics=double)
        return F.dequantize_4bit(q, state)
    return by_torch(run)


def ggml(kind, weighed):
    def run(x):
        importance = formats_ggml.importance_of(x.shape[1]) if weighed else None
        return formats_ggml.encode(kind, x, importance)[1]
    return run


def cases():
    """(library, format, settings of ours, the library's function of an array)"""
    for kind in formats_ggml.TYPES:
        name = formats_ggml.OWN.get(kind, kind.lower())
        yield "ggml", name, f"format={name}", ggml(kind, False)
        if kind not in formats_ggml.WITHOUT_IMPORTANCE:
            yield "ggml", name, f"format={name} importance=imatrix", ggml(kind, True)
    for kind in "nf4", "fp4":
        for block in 64, 128:
            for double in False, True:
                text = f"format={kind} group_size={block} double_quant={str(double).lower()}"
                name = kind + (" double_quant" if double else "")
                yield "bitsandbytes", name, text, bitsandbytes(kind, block, double)
    for text, run in formats.integer_settings():
        grid = re.search("grid=([a-z_]+)", text)[1]
        library = {"compressed_tensors": "compressed-tensors", "torchao_no_clipping": "torchao",
                   "auto_round": "auto-round"}.get(grid, grid)
        scales = re.search("scales=[a-z0-9]+", text)
        yield library, "int" + (f" {scales[0]}" if scales else ""), text, by_torch(run)
    for library, text, run in formats_float.cases():
        yield library, text.split()[0].removeprefix("format="), text, run
    for text, name in (("format=fp8_e4m3 group_size=cast", "float8_e4m3fn"),
                       ("format=fp8_e5m2 group_size=cast", "float8_e5m2")):
        yield "ml_dtypes", text.split()[0].removeprefix("format=") + " beyond its range", text, \
            formats_float.ml_dtypes_cast(name)


# ---- why they differ ----

# (library, a pattern of the format, tensors, why)
REASONS = [
    ("ggml", "iq4_xs", ("extremes",),
     "overflow: fourth powers of 10^12 leave float32; 0 there, NaN here, which a trial reports"),
    ("ggml", "gguf_nvfp4", ("extremes",),
     "overflow: beyond the largest value all errors round to the same number; ggml takes the first code, 0, this the outermost"),
    ("bitsandbytes", "fp4", (),
     "tie rule and thresholds of its CPU code; these are its CUDA code's"),
    ("bitsandbytes", ".* double_quant", ("tails", "subnormals"),
     "order of the sum that the mean of absmax is taken from"),
    ("bitsandbytes", ".* double_quant", ("ties", "weight"),
     "table by which its CPU code looks up codes of absmax (its CUDA code searches, as this does); of fp4 also ties and thresholds"),
    ("auto-round", "int scales=float16", ("extremes",),
     "overflow of float16 scales: NaN there, the largest float16 here"),
    ("auto-round", "int scales=bfloat16", ("extremes",),
     "zero point 256 of 8 bits, kept there, 255 here, as a file has it"),
    ("torchao", "fp8_.*", ("zeros",),
     "a group of zeros: its scale is 0 there, and its values NaN; zeros here"),
    ("torchao", "mxfp.*", ("subnormals",),
     "reciprocal: blocks whose scale is 2^-127 are divided by 2^-126, or by 1, there"),
    ("ml_dtypes", ".* beyond its range", ("ties", "extremes"),
     "overflow: infinity or NaN there, the largest here"),
]


def reason(library, name, kind):
    for who, pattern, kinds, why in REASONS:
        if who == library and re.fullmatch(pattern, name) and (not kinds or kind in kinds):
            return why
    return None


# ---- counting ----

def ours(program, text, x):
    data = np.ascontiguousarray(x, np.float32)
    if "importance=" in text:
        data = np.concatenate([data.ravel(), formats_ggml.importance_of(x.shape[1])])
    done = subprocess.run([program, text, *map(str, x.shape)], input=data.tobytes(),
                          capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{text}: {done.stderr.decode()}")
    return np.frombuffer(done.stdout, np.float32).reshape(x.shape)


def differences(mine, theirs):
    """Values that are not equal, and of these such with another code or scale."""
    mine, theirs = mine.astype(np.float64), np.asarray(theirs, np.float64)
    other = ~((mine == theirs) | (np.isnan(mine) & np.isnan(theirs)))
    with np.errstate(invalid="ignore"):
        near = np.isfinite(theirs) & (np.abs(mine - theirs) <= ANOTHER_CODE * np.maximum(np.abs(mine), np.abs(theirs)))
    return other, other & ~near


class Row:
    def __init__(self):
        self.settings, self.values, self.other, self.codes = 0, 0, 0, 0
        self.why = collections.Counter()


def compare(program):
    rows = collections.defaultdict(Row)
    unexplained = []
    inputs = tensors()
    for library, name, text, run in cases():
        row = rows[library, name]
        row.settings += 1
        for kind, x in inputs.items():
            with np.errstate(all="ignore"):
                other, codes = differences(ours(program, text, x), run(x))
            row.values += x.size
            row.other += int(other.sum())
            row.codes += int(codes.sum())
            if other.any():
                why = reason(library, name, kind)
                at = np.unravel_index(np.argmax(other), x.shape)
                if not why:
                    unexplained.append(f"{library} | {text} | {kind}: {other.sum()} values, {codes.sum()} codes;"
                                       f" first [{at[0]},{at[1]}] of {x[at]:.9g}: ours"
                                       f" {ours(program, text, x)[at]:.9g}, theirs {run(x)[at]:.9g}")
                else:
                    row.why[why] += int(other.sum())
        print(library, text, row.other, file=sys.stderr, flush=True)
    if unexplained:
        sys.exit("\n".join(unexplained))
    return rows


def table_of_libraries(rows):
    yield "| library | format | settings | values | other values | other codes | why |"
    yield "|---|---|---:|---:|---:|---:|---|"
    for (library, name), row in rows.items():
        why = "; ".join(f"{text} ({count:,})" for text, count in row.why.items())
        yield (f"| {library} | {name} | {row.settings} | {row.values:,} | {row.other:,} | {row.codes:,} "
               f"| {why} |")


# ---- what GPTQ adds ----

def table_of_gptq(path):
    import h5py
    errors = collections.defaultdict(dict)
    with h5py.File(path) as file:
        values = {(v["trial"], v["name"]): v["value"] for v in file["values"][:]}
        for trial in file["trials"][:]:
            algorithm, recipe = trial["algorithm"].decode(), trial["recipe"].decode()
            if algorithm in ("rtn", "gptq"):
                layers = file[f"trial/{trial['id'].decode()}/layers"][:]
                errors[recipe.split(" ", 1)[1]][algorithm] = (
                    values[trial["id"], b"bits_per_weight"], layers["relative_output_error"])
    yield "| weights | bits/weight | error of rtn % | error of gptq % | ratio | linears with less, of all |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, by in errors.items():
        if len(by) == 2:
            (bits, rtn), (same, gptq) = by["rtn"], by["gptq"]
            assert bits == same and rtn.shape == gptq.shape
            assert gptq.mean() < rtn.mean(), f"{name}: GPTQ leaves more than rounding to nearest"
            yield (f"| {name} | {bits:.2f} | {100 * rtn.mean():.3g} | {100 * gptq.mean():.3g} | "
                   f"{gptq.mean() / rtn.mean():.2f} | {(gptq < rtn).sum()} of {rtn.size} |")


def put(text, name, lines):
    """The text with the table of this name replaced."""
    head, rest = text.split(f"<!-- {name} -->\n", 1)
    return f"{head}<!-- {name} -->\n" + "\n".join(lines) + "\n<!-- end -->" + rest.split("<!-- end -->", 1)[1]


def main():
    program, results = sys.argv[1:3]
    file = pathlib.Path(README)
    text = put(file.read_text(encoding="utf-8"), "what GPTQ adds", table_of_gptq(results))
    text = put(text, "libraries", table_of_libraries(compare(program)))
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
