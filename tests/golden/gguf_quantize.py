#!/usr/bin/env python3
"""What llama-quantize makes of the embedded model: a checksum for each mix.

    gguf_quantize.py LLAMA_QUANTIZE MODEL.gguf

writes tests/golden/gguf_quantize.json. LLAMA_QUANTIZE is llama.cpp's program; MODEL.gguf is the embedded model in
F32 (`bitsweep export --set plain=f32 --as gguf`). The checksum is the CRC-32 of all tensors' bytes, one tensor after
the other in order of their names.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import zlib

from gguf import GGUFReader

MIXES = ["q4_0", "q4_k_m", "iq4_xs"]


def checksum(path):
    crc = 0
    for tensor in sorted(GGUFReader(path).tensors, key=lambda t: t.name):
        crc = zlib.crc32(tensor.data.tobytes(), crc)
    return crc


def main():
    program, model = sys.argv[1:]
    sums = {}
    with tempfile.TemporaryDirectory() as folder:
        for mix in MIXES:
            path = f"{folder}/{mix}.gguf"
            subprocess.run([program, model, path, mix, "1"], check=True, capture_output=True)
            sums[mix] = checksum(path)
    out = pathlib.Path(__file__).parent / "gguf_quantize.json"
    out.write_text(json.dumps(sums, indent=1) + "\n")


main()
