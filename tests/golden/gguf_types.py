#!/usr/bin/env python3
"""Writes tests/golden/gguf_types.gguf: a tensor [4][512] of every type of blocks, and what it decodes to.

    gguf_types.py

Two rows are noise as ggml's encoders (ggml_quantize_chunk of libggml-python) make it, two are blocks of random
bytes, so that every code and scale occurs; blocks that decode to a number that is not finite are drawn anew.
gguf_types.json has the CRC-32 of the values by gguf-py, and by libggml where gguf-py lacks a type. Needs gguf,
libggml-python and numpy; PROVENANCE.md names the versions.
"""
import ctypes
import importlib.util
import json
import pathlib
import zlib

import gguf
import numpy as np


def library():
    root = pathlib.Path(importlib.util.find_spec("libggml").origin).parent
    lib = ctypes.CDLL(str(sorted(root.rglob("libggml-base.so*"))[0]))
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
                                        ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    return lib


LIBRARY = library()
ROOT = pathlib.Path(__file__).parent
ROWS, COLUMNS = 4, 512
PLAIN = {"F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64", "Q8_1", "Q8_K"}


class Traits(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("values", ctypes.c_int64), ("interleave", ctypes.c_int64),
                ("bytes", ctypes.c_size_t), ("quantized", ctypes.c_bool), ("decode", ctypes.c_void_p)]


def decoded(kind, blocks):
    try:
        with np.errstate(all="ignore"):
            return gguf.quants.dequantize(blocks, kind).astype("<f4").reshape(len(blocks), -1)
    except NotImplementedError:
        pass
    LIBRARY.ggml_get_type_traits.restype = ctypes.POINTER(Traits)
    traits = LIBRARY.ggml_get_type_traits(int(kind)).contents
    decode = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(traits.decode)
    values = gguf.GGML_QUANT_SIZES[kind][0]
    out = np.zeros((len(blocks), blocks.shape[1] // gguf.GGML_QUANT_SIZES[kind][1] * values), "<f4")
    for i, row in enumerate(np.ascontiguousarray(blocks)):
        decode(row.ctypes.data, out[i].ctypes.data, out.shape[1])
    return out


def encoded(kind, rng):
    weight = np.ascontiguousarray(rng.standard_normal((2, COLUMNS)) * 0.1, np.float32)
    importance = np.ascontiguousarray(rng.random(COLUMNS) + 0.1, np.float32)
    values, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros((2, COLUMNS // values * size), np.uint8)
    got = LIBRARY.ggml_quantize_chunk(int(kind), weight.ctypes.data, out.ctypes.data, 0, 2, COLUMNS,
                                      importance.ctypes.data)
    assert got == out.size
    return out


def drawn(kind, rng):
    values, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (2 * COLUMNS // values, size), dtype=np.uint8)
    while True:
        bad = ~np.isfinite(decoded(kind, blocks)).all(axis=1)
        if not bad.any():
            return blocks.reshape(2, -1)
        blocks[bad] = rng.integers(0, 256, (bad.sum(), size), dtype=np.uint8)


def main():
    writer, rows = gguf.GGUFWriter(ROOT / "gguf_types.gguf", "llama"), {}
    for kind in gguf.GGMLQuantizationType:
        if kind.name in PLAIN:
            continue
        rng = np.random.default_rng(int(kind))
        data = np.concatenate([encoded(kind, rng), drawn(kind, rng)])
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        rows[kind.name] = zlib.crc32(decoded(kind, data).tobytes())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (ROOT / "gguf_types.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
