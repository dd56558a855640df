#!/usr/bin/env python3
"""What ggml's own encoders make of fixed tensors and of the embedded model's weights: a checksum of
the bytes of the file and one of the decoded values, for each type, with and without importance.

pip install libggml-python gguf numpy; then from the repository's top
    python tests/golden/formats_ggml.py > tests/golden/formats_ggml.json"""
import ctypes
import glob
import importlib.util
import json
import os
import zlib

import gguf
import numpy as np

ROWS, COLUMNS, PRINTED = 6, 768, 256
TYPES = ("Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS TQ1_0 TQ2_0 MXFP4 "
         "NVFP4").split()
OWN = {"MXFP4": "gguf_mxfp4", "NVFP4": "gguf_nvfp4"}
WITHOUT_IMPORTANCE = {"Q8_0", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4"}
LAYERS = (3,)
LINEARS = ("self_attn.k_proj self_attn.o_proj mlp.down_proj").split()


class Numbers:
    """24 bits at a time: s = 6364136223846793005 s + 1442695040888963407 modulo 2^64, the upper 24."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.state >> 40

    def normal(self):
        """About normal, of deviation 2^24: whole, so that every product by a power of two is exact."""
        return sum(self.next() for _ in range(12)) - 6 * 2**24


def value_of(name, numbers, i, j):
    """A value of a tensor; all powers of two and sums are exact in float32."""
    normal, bits = numbers.normal() // 2**4, numbers.next()
    plain = np.float32(normal) * np.float32(2.0**-24)
    if name == "normal":
        return plain
    if name == "heavy":
        return plain * np.float32(2.0 ** (bits % 64 // 8 * (bits % 8 == 0)))
    if name == "zeros":
        empty = i == 1 or (i == 2 and j < 256) or (i == 3 and j // 32 % 2) or bits % 3 == 0
        return np.float32(0) if empty else plain
    if name == "ties":
        return np.float32((bits % 17 - 8) * 0.25)
    if name == "one sign":
        return np.float32(abs(plain) + np.float32(0.5)) * np.float32(-1 if i % 2 else 1)
    if name == "extreme":
        return plain * np.float32(2.0 ** (bits % 61 - 45))
    assert name == "tiny"
    return plain * np.float32(2.0 ** -(40 + 15 * i))


TENSORS = "normal heavy zeros ties extreme tiny".split() + ["one sign"]


def tensor(name):
    numbers = Numbers(TENSORS.index(name) + 1)
    return np.array([[value_of(name, numbers, i, j) for j in range(COLUMNS)] for i in range(ROWS)],
                    np.float32)


def importance_of(columns):
    numbers = Numbers(99)
    return np.array([0 if j % 7 == 3 else numbers.next() // 2**8 + 1 for j in range(columns)],
                    np.float32) * np.float32(2.0**-16)


def library():
    root = os.path.dirname(importlib.util.find_spec("libggml").origin)
    lib = ctypes.CDLL(sorted(glob.glob(os.path.join(root, "**", "libggml-base.so*"),
                                       recursive=True))[0])
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                                        ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                                        ctypes.c_void_p]
    return lib


LIBRARY = library()


def encode(kind, weight, importance):
    kind = gguf.GGMLQuantizationType[kind]
    weight = np.ascontiguousarray(weight, np.float32)
    rows, columns = weight.shape
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros(rows * (columns // elements) * size, np.uint8)
    got = LIBRARY.ggml_quantize_chunk(int(kind), weight.ctypes.data, out.ctypes.data, 0, rows,
                                      columns, None if importance is None else
                                      importance.ctypes.data)
    assert got == out.size
    return out, gguf.quants.dequantize(out.reshape(rows, -1), kind).reshape(weight.shape)


def checksums(kind, weight, importance):
    """CRC-32 of the bytes, and of the decoded values, of which a zero has no sign."""
    data, values = encode(kind, weight, importance)
    values = values.astype("<f4") + np.float32(0)
    return [zlib.crc32(data.tobytes()), zlib.crc32(values.tobytes())], values


def weights_of_model():
    """The linears' weights, which the file holds in bfloat16."""
    with open("datasets/tiny/model.safetensors", "rb") as file:
        data = file.read()
    length = int.from_bytes(data[:8], "little")
    for layer in LAYERS:
        for linear in LINEARS:
            row = json.loads(data[8:8 + length])[f"model.layers.{layer}.{linear}.weight"]
            start, end = row["data_offsets"]
            assert row["dtype"] == "BF16"
            upper = np.frombuffer(data[8 + length + start:8 + length + end], "<u2")
            yield f"{layer}.{linear}", (upper.astype(np.uint32) << 16).view(
                np.float32).reshape(row["shape"])


def main():
    rows = []
    inputs = {name: tensor(name) for name in TENSORS}
    models = dict(weights_of_model())
    for kind in TYPES:
        row = {"format": OWN.get(kind, kind.lower()), "printed": None, "tensors": {}, "model": {}}
        for name, weight in list(inputs.items()) + list(models.items()):
            importance = importance_of(weight.shape[1])
            plain, values = checksums(kind, weight, None)
            weighed, _ = checksums(kind, weight, importance)
            assert kind not in WITHOUT_IMPORTANCE or plain == weighed
            row["tensors" if name in inputs else "model"][name] = plain + weighed
            if name == "normal":
                row["printed"] = [float(v) for v in values[0, :PRINTED]]
        rows.append(row)
    print('{"rows": [')
    print(",\n".join(json.dumps(row) for row in rows))
    print("]}")


if __name__ == "__main__":
    main()
