#!/usr/bin/env python3
"""Perplexity with keys and values in the types of llama.cpp's cache, as llama-perplexity prints it and as bitsweep predicts it.

    llama_cache.py PROGRAM LLAMA_PERPLEXITY MODEL.gguf FOLDER [--windows 16] [--tokens 256]

MODEL.gguf has plain weights. PROGRAM writes its results into FOLDER. Both measure the first windows of the embedded evaluation
text, with the cache's Hadamard matrices and without them; differences of more than 1e-3 fail, of iq4_nl of more than 2e-3: a
cache's blocks of it are written without the search for a scale that those of files have.
"""
import argparse
import json
import os
import re
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
TEXT = os.path.join(here, "..", "..", "datasets", "commons", "evaluation.txt")
TYPES = ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl")
FLAGS = ["-fa", "on", "-t", "1", "--no-warmup", "--no-repack"]


def theirs(arguments, keys, values, turned):
    size = str(arguments.tokens)
    command = [arguments.perplexity, "-m", arguments.model, "-f", TEXT, "-c", size, "-b", size, "--chunks", str(arguments.windows),
               "-ctk", keys, "-ctv", values, *FLAGS]
    environment = dict(os.environ, LLAMA_ATTN_ROT_DISABLE=str(int(not turned)))
    for _ in range(9): # its log may lose its last lines as it ends
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        found = re.search(r"PPL = ([0-9.]+)", done.stdout + done.stderr)
        if found or done.returncode:
            break
    if not found:
        sys.exit(" ".join(command) + "\n" + done.stderr[-2000:])
    return float(found.group(1))


def ours(arguments, cells):
    config, results = os.path.join(arguments.folder, "cache.yaml"), os.path.join(arguments.folder, "cache.h5")
    with open(config, "w") as file:
        file.write(f"model: {os.path.abspath(arguments.model)}\nevaluation:\n  perplexity: [{{text: {TEXT}, protocol: llama.cpp, "
                   f"tokens: {arguments.tokens}, windows: {arguments.windows}}}]\n  layer_error: {{windows: 0}}\nsweep:\n")
        for keys, values, turned in cells:
            plain = f", {'key' if keys == 'f32' else 'value'}: {{format: none}}" if keys != values else ""
            block = values if keys == "f32" else keys
            file.write(f"  - {{algorithm: rtn, weights: none, compute: as llama.cpp, "
                       f"kv_cache: {{format: {block}, hadamard: {str(turned).lower()}{plain}}}}}\n")
    for command in (["run", "--quiet", "--plots", "none", "--output", results, config], ["table", "--format", "json", results]):
        done = subprocess.run([arguments.program, *command], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
    rows = [row for row in json.loads(done.stdout)["trials"] if row["label"] != "unquantized"]
    return [row["perplexity"] for row in rows]


def main():
    parser = argparse.ArgumentParser()
    for name in ("program", "perplexity", "model", "folder"):
        parser.add_argument(name)
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=256)
    arguments = parser.parse_args()
    os.makedirs(arguments.folder, exist_ok=True)
    cells = [(block, block, turned) for block in TYPES for turned in (True, False)]
    cells += [(keys, values, turned) for keys, values in (("f32", "q4_0"), ("q4_0", "f32")) for turned in (True, False)]
    failed = False
    for (keys, values, turned), own in zip(cells, ours(arguments, cells)):
        want = theirs(arguments, keys, values, turned)
        apart = abs(own / want - 1)
        failed |= apart > (2e-3 if "iq4_nl" in (keys, values) else 1e-3)
        print(f"-ctk {keys} -ctv {values}{'' if turned else ', not turned'}: {want:.4f}, here {own:.4f}, {apart:.1e} apart", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
