#!/usr/bin/env python3
"""Golden perplexities of each protocol, by transformers in float32.

    protocols.py --out protocols.json

Needs Python 3 with torch, transformers and tokenizers. The text is the first TEXT_BYTES bytes of
datasets/commons/evaluation.txt, the model datasets/tiny. A protocol is written out as the program it
is named after has it, one window at a time, without padding; log-probabilities are taken in float64
from the float32 logits. With "bos" the text begins with <|endoftext|>, as by a tokenizer that adds
it, and the protocol llama.cpp puts it at the start of every window.

"loop" is, for information, what the loop of Hugging Face's page on fixed-length models prints: there
the mean of a window is weighted by its scored tokens less one.
"""
import argparse
import json
import math
import re

import torch
import transformers
from tokenizers import Tokenizer

TEXT_BYTES = 3659  # up to a newline, which protocol llama.cpp drops
BOS = 0


def losses(model, ids, positions):
    """NLL of the token after each of these positions of one window."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    rows = torch.log_softmax(logits, -1)
    return [-float(rows[p, ids[p + 1]]) for p in positions]


def gptq(model, ids, tokens):
    found = []
    for i in range(len(ids) // tokens):
        found += losses(model, ids[i * tokens:(i + 1) * tokens], range(tokens - 1))
    return found, None


def llama_cpp(model, ids, tokens, bos):
    found = []
    for i in range(len(ids) // tokens):
        window = ids[i * tokens:(i + 1) * tokens]
        if bos is not None:
            window = [bos] + window[1:]
        found += losses(model, window, range(tokens // 2, tokens - 1))
    return found, None


def sliding(model, ids, tokens, stride):
    found, total, weight, before = [], 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + tokens, len(ids))
        window = ids[begin:end]
        # Labels before the last end - before are masked; a label is predicted one position earlier.
        scored = range(max(before - begin, 1) - 1, end - begin - 1)
        values = losses(model, window, scored)
        found += values
        if values:
            total += sum(values) / len(values) * (end - before - 1)
            weight += end - before - 1
        before = end
        if end == len(ids):
            break
    return found, math.exp(total / weight)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--model", default="datasets/tiny")
    parser.add_argument("--text", default="datasets/commons/evaluation.txt")
    args = parser.parse_args()
    with open(args.text, "rb") as file:
        text = file.read(TEXT_BYTES).decode()
    tokenizer = Tokenizer.from_file(args.model + "/tokenizer.json")
    model = transformers.LlamaForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    model.eval()

    def encode(part, bos):
        ids = tokenizer.encode(part, add_special_tokens=False).ids
        return ([BOS] if bos else []) + ids

    dropped = text[:-1] if text.endswith("\n") else text
    rows = []
    for bos in (False, True):
        whole, short = encode(text, bos), encode(dropped, bos)
        for name, tokens, stride, found in (
                ("gptq", 128, 128, gptq(model, whole, 128)),
                ("llama.cpp", 128, 128, llama_cpp(model, short, 128, BOS if bos else None)),
                ("llama.cpp", 97, 97, llama_cpp(model, short, 97, BOS if bos else None)),
                ("sliding", 128, 48, sliding(model, whole, 128, 48)),
                ("sliding", 256, 255, sliding(model, whole, 256, 255)),
                ("sliding", 128, 128, sliding(model, whole, 128, 128))):
            values, loop = found
            mean = sum(values) / len(values)
            used = dropped if name == "llama.cpp" else text
            every = mean * len(encode(used, False))
            rows.append({
                "protocol": name, "bos": bos, "tokens": tokens, "stride": stride,
                "scored": len(values), "perplexity": math.exp(mean),
                "word_perplexity": math.exp(every / len(re.split(r"\s+", used))),
                "byte_perplexity": math.exp(every / len(used.encode())),
                "bits_per_byte": every / len(used.encode()) / math.log(2), "loop": loop})
    with open(args.out, "w", encoding="utf-8") as out:
        out.write('{"text_bytes": %d, "rows": [\n' % TEXT_BYTES)
        out.write(",\n".join(json.dumps(row) for row in rows))
        out.write("\n]}\n")


if __name__ == "__main__":
    main()
