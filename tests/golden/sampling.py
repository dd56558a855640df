#!/usr/bin/env python3
"""Golden windows: what the authors' own loaders of GPTQ and AWQ cut from our texts.

This script only drives that code. It gives datautils.py and calib_data.py our documents in place of
the hub's data sets and the embedded tokenizer in place of a model's, and stores the token ids of the
windows they return. The commits read:

    IST-DASLab/gptq            2d65066    --gptq DIR    (the directory that holds datautils.py)
    mit-han-lab/llm-awq        d6e797a    --awq DIR     (the directory that holds awq/)

    sampling.py --gptq DIR --awq DIR --out sampling.json

Needs Python 3 with torch, transformers, tokenizers, numpy and xxhash. With --datasets the shuffle is
done by the library `datasets` itself; without it by numpy, as that library does it.

The documents: the contexts of datasets/commons/endings.jsonl, then the pieces of calibration.txt and
evaluation.txt (parted by two empty lines), each piece with a no-break space and a blank before it and
a newline after it, so that stripping has something to do. Every case is run with the tokenizer as it
is, which adds nothing, and with one that puts <|endoftext|> before a text ("special").
"""
import argparse
import importlib.util
import json
import os
import struct
import sys
import types

import numpy
import transformers
import xxhash
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

SEEDS = (0, 1, 2)
KEPT = 16  # ids that are stored of each window's start; the digest is of all


def documents(commons):
    with open(os.path.join(commons, "endings.jsonl"), encoding="utf-8") as lines:
        found = [json.loads(line)["context"] for line in lines]
    for name in ("calibration.txt", "evaluation.txt"):
        with open(os.path.join(commons, name), encoding="utf-8", newline="") as file:
            found += ["\u00a0 " + piece + "\n" for piece in file.read().split("\n\n\n")]
    return found


class Rows:
    """As much of a data set as the loaders touch; every column is the documents."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key):
        if isinstance(key, str):
            return self.rows
        return Rows(self.rows[key]) if isinstance(key, slice) else {"text": self.rows[key]}

    def __iter__(self):
        return ({"text": row} for row in self.rows)

    def shuffle(self, seed):
        order = numpy.random.default_rng(seed).permutation(len(self.rows))
        return Rows([self.rows[i] for i in order])


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record(case, special, seed, tokens, windows, **settings):
    ids = [[int(i) for i in window.flatten()] for window in windows]
    assert all(len(window) == tokens for window in ids)
    flat = [i for window in ids for i in window]
    packed = struct.pack("<2i", len(ids), tokens) + struct.pack("<%di" % len(flat), *flat)
    return {"case": case, "special": special, "seed": seed, "windows": len(ids), "tokens": tokens,
            **settings, "digest": xxhash.xxh3_128_hexdigest(packed), "starts": [window[:KEPT] for window in ids[:KEPT]]}


def pieces(ids, tokens):
    return [ids[:, i:i + tokens] for i in range(0, ids.shape[1], tokens)]


def run(args, rows, tokenizer, special, gptq, awq):
    found = []
    for seed in SEEDS:
        train, _ = gptq.get_wikitext2(16, seed, 128, "")
        found.append(record("gptq", special, seed, 128, [window for window, _ in train]))
        train, validation = gptq.get_c4(16, seed, 200, "")
        found.append(record("gptq_documents", special, seed, 200, [window for window, _ in train]))
    found.append(record("c4_evaluation", special, 0, 200, pieces(validation.input_ids, 200)))
    for seed in SEEDS + (42,):
        shuffled = rows.shuffle(seed)
        # The seed is written into their code; our rows take it from here instead.
        awq.load_dataset = lambda *_, **__: types.SimpleNamespace(shuffle=lambda seed: shuffled)
        blocks = awq.get_calib_dataset(tokenizer=tokenizer, n_samples=80, block_size=512)
        found.append(record("awq", special, seed, 512, blocks, documents=80))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gptq", required=True)
    parser.add_argument("--awq", required=True)
    parser.add_argument("--commons", default="datasets/commons")
    parser.add_argument("--model", default="datasets/tiny")
    parser.add_argument("--datasets", action="store_true")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    texts = documents(args.commons)
    rows = Rows(texts)
    if args.datasets:
        import datasets
        rows = datasets.Dataset.from_dict({"text": texts})
    plain = Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
    begun = Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
    begun.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", pair="<|endoftext|> $A <|endoftext|>:1 $B:1",
        special_tokens=[("<|endoftext|>", 0)])

    hub = types.ModuleType("datasets")
    hub.load_dataset = lambda *_, **__: Rows(texts)
    sys.modules["datasets"] = hub
    gptq = load("datautils", os.path.join(args.gptq, "datautils.py"))
    awq = load("calib_data", os.path.join(args.awq, "awq", "utils", "calib_data.py"))

    cases = []
    for special, made in ((False, plain), (True, begun)):
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made)
        transformers.AutoTokenizer.from_pretrained = lambda *_, **__: tokenizer
        cases += run(args, rows, tokenizer, special, gptq, awq)
    stream = "\n\n".join(texts).encode()
    with open(args.out, "w", encoding="utf-8") as out:
        out.write('{"text_digest": "%s", "documents": %d,\n' % (
            xxhash.xxh3_128_hexdigest(stream), len(texts)))
        out.write('"post_processor": %s,\n"cases": [\n' % json.dumps(
            json.loads(begun.to_str())["post_processor"]))
        out.write(",\n".join(json.dumps(case) for case in cases))
        out.write("\n]}\n")


if __name__ == "__main__":
    main()
