#!/usr/bin/env python3
"""Small tokenizers of the model families, as transformers' own save_pretrained writes them.

    saved_tokenizers.py save OUT   run with transformers 5.24.0, and with 4.57.1: writes
                                   OUT/<version>/<family>/...
    saved_tokenizers.py ids OUT    with 5.24.0: writes saved_tokenizers.json.gz beside this script

Each family's pipeline is a published one, trained on datasets/commons (see make_tokenizers.py), and
goes through the class and the options that the family's repositories name. The .json.gz holds the
contents of files as they were written, and by version and family which of them make up its folder, and
for each text of tokenizers/expected.json how many
ids AutoTokenizer of 5.24.0 gives and their CRC-32 as little-endian 32-bit integers.
"""
import gzip
import json
import pathlib
import shutil
import struct
import sys
import zlib

import transformers
from make_tokenizers import (LLAMA3, QWEN2, TEXTS, bloom, byte_level, falcon, gemma, gpt2, llama2, llama3, mistral,
                             neox, phi2, plain, qwen2, sentencepiece_bpe, special, tekken, template)
from tokenizers import Regex, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).resolve().parent
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
          r"|\s+(?!\S)|\s+")
SIZE = 300


def split_bytes(pattern, first=(), normalizer=None):
    return byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), first, SIZE, normalizer)


def digits_bytes(first, normalizer=None):
    return byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
        first, SIZE, normalizer)


def cohere():
    tokenizer = digits_bytes(["<PAD>", "<UNK>", "<CLS>", "<SEP>", "<MASK_TOKEN>", "<BOS_TOKEN>", "<EOS_TOKEN>"],
                             normalizers.NFC())
    tokenizer.add_special_tokens([special("<|END_OF_TURN_TOKEN|>")])
    tokenizer.post_processor = template(["<BOS_TOKEN>"], [], tokenizer)
    return tokenizer


def starcoder2():
    return digits_bytes(["<|endoftext|>", "<fim_prefix>", "<repo_name>"])


def cl100k():
    tokenizer = split_bytes(CL100K)
    tokenizer.add_special_tokens([special("<|endoftext|>"), special("<|im_start|>")])
    tokenizer.add_tokens([plain("   "), plain("|||EMAIL_ADDRESS|||", normalized=False)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def glm4():
    tokenizer = split_bytes(LLAMA3)
    tokenizer.add_special_tokens([special("<|endoftext|>"), special("[gMASK]"), special("<sop>")])
    tokenizer.add_tokens([plain("<think>", normalized=False)])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False), template(["[gMASK]", "<sop>"], [], tokenizer)])
    return tokenizer


def exaone4():
    return split_bytes(QWEN2, ["[BOS]", "[PAD]", "[|endofturn|]", "[UNK]"], normalizers.NFC())


def seed_oss():
    tokenizer = split_bytes(QWEN2, ["<seed.bos>", "<seed.pad>", "<seed.eos>"])
    tokenizer.post_processor = template(["<seed.bos>"], [], tokenizer)
    return tokenizer


def nemotron():
    tokenizer = sentencepiece_bpe(
        ["<unk>", "<s>", "</s>"],
        normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]), None,
        fuse_unk=True)
    tokenizer.add_special_tokens([special(t) for t in ("<unk>", "<s>", "</s>", "<extra_id_0>")])
    return tokenizer


def phi3():
    tokenizer = llama2()
    tokenizer.add_tokens([plain("</s>", rstrip=True, normalized=False)])
    tokenizer.add_special_tokens([special("<|endoftext|>"), special("<|user|>", rstrip=True)])
    return tokenizer


FAST = "PreTrainedTokenizerFast"
S = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
END = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
IMAGES = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>"}

# name: the class that repositories name, model_type, pipeline, options
FAMILIES = {
    "llama2": ("LlamaTokenizer", "llama", llama2, S),
    "llama2 legacy": ("LlamaTokenizer", "llama", llama2, {**S, "legacy": True}),
    "llama2 no prefix": ("LlamaTokenizer", "llama", llama2, {**S, "add_prefix_space": False}),
    "llama2 pad": ("LlamaTokenizer", "llama", llama2, {**S, "pad_token": "<left>"}),
    "llama3": (FAST, "llama", llama3, {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}),
    "llama3 split": (FAST, "llama", llama3, {"bos_token": "<|begin_of_text|>", "split_special_tokens": True}),
    "smollm2": ("GPT2Tokenizer", "llama", starcoder2, END),
    "smollm2 prefix": ("GPT2Tokenizer", "llama", starcoder2, {**END, "add_prefix_space": True}),
    "smollm3": (FAST, "smollm3", llama3, {"eos_token": "<|end_of_text|>"}),
    "mistral": ("LlamaTokenizer", "mistral", mistral, S),
    "mistral eos": ("LlamaTokenizer", "mistral", mistral, {**S, "add_eos_token": True}),
    "ministral": (FAST, "ministral", tekken, S),
    "gemma": ("GemmaTokenizer", "gemma", gemma, {}),
    "gemma3": ("GemmaTokenizer", "gemma3_text", gemma, {"extra_special_tokens": IMAGES}),
    "phi": ("CodeGenTokenizer", "phi", phi2, END),
    "phi3": ("LlamaTokenizer", "phi3", phi3, {**S, "eos_token": "<|endoftext|>"}),
    "phi4": ("GPT2Tokenizer", "phi3", cl100k, END),
    "olmo": ("GPTNeoXTokenizer", "olmo", neox, {}),
    "olmo2": ("GPT2Tokenizer", "olmo2", cl100k, END),
    "granite": ("GPT2Tokenizer", "granite", starcoder2, END),
    "stablelm": ("GPTNeoXTokenizer", "stablelm", neox, {}),
    "cohere": ("CohereTokenizer", "cohere", cohere, {}),
    "cohere2": ("CohereTokenizer", "cohere2", cohere, {"pad_token": "<left>"}),
    "starcoder2": ("GPT2Tokenizer", "starcoder2", starcoder2, END),
    "glm4": (FAST, "glm4", glm4, {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}),
    "nemotron": (FAST, "nemotron", nemotron, {"bos_token": "<s>", "eos_token": "</s>"}),
    "exaone4": ("GPT2Tokenizer", "exaone4", exaone4,
                {"bos_token": "[BOS]", "eos_token": "[|endofturn|]", "unk_token": "[UNK]", "pad_token": "[PAD]"}),
    "seed_oss": (FAST, "seed_oss", seed_oss, {"bos_token": "<seed.bos>", "eos_token": "<seed.eos>"}),
    "gptj": ("GPT2Tokenizer", "gptj", gpt2, END),
    "mpt": ("GPTNeoXTokenizer", "mpt", neox, {}),
    "mpt bos": ("GPTNeoXTokenizer", "mpt", neox, {"add_bos_token": True}),
    "bloom": ("BloomTokenizer", "bloom", bloom, S),
    "falcon": (FAST, "falcon", falcon, {"eos_token": "<|endoftext|>"}),
    "opt": ("GPT2Tokenizer", "opt", gpt2, {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>"}),
    "gpt2": ("GPT2Tokenizer", "gpt2", gpt2, {}),
    "gpt2 split": ("GPT2Tokenizer", "gpt2", gpt2, {"split_special_tokens": True}),
    "gpt_neox": ("GPTNeoXTokenizer", "gpt_neox", neox, {}),
    "qwen2": ("Qwen2Tokenizer", "qwen2", qwen2, {}),
    "qwen2 extra": ("Qwen2Tokenizer", "qwen2", qwen2, {"additional_special_tokens": ["<left>", "<think>"]}),
    "qwen2 misnamed": ("LlamaTokenizer", "qwen2", qwen2, {}),
    "qwen3": ("Qwen2Tokenizer", "qwen3", qwen2, {"add_prefix_space": True}),
}


# what 4.57 wants a SentencePiece model for
NEW_ONLY = {"llama2 no prefix"}


def save(out):
    folder = out / transformers.__version__
    for family, (name, model_type, make, options) in FAMILIES.items():
        if family in NEW_ONLY and transformers.__version__ < "5":
            continue
        raw = folder / "raw"
        raw.mkdir(parents=True)
        (raw / "tokenizer.json").write_text(make().to_str())
        (raw / "tokenizer_config.json").write_text(json.dumps({**options, "tokenizer_class": name}))
        (raw / "config.json").write_text(json.dumps({"model_type": model_type}))
        AutoTokenizer.from_pretrained(str(raw)).save_pretrained(str(folder / family))
        shutil.copy(raw / "config.json", folder / family)
        shutil.rmtree(raw)


def digest(ids):
    return [len(ids), zlib.crc32(struct.pack(f"<{len(ids)}i", *ids))]


def write_ids(out):
    saved, contents = {}, {}
    for version in sorted(p.name for p in out.iterdir()):
        for family in FAMILIES:
            folder = out / version / family
            if not folder.exists():
                continue
            tokenizer = AutoTokenizer.from_pretrained(str(folder))
            files = {p.name: contents.setdefault(p.read_text(), len(contents))
                     for p in sorted(folder.iterdir()) if p.suffix in (".json", ".txt")}
            ids = {name: digest(tokenizer(text)["input_ids"]) for name, text in TEXTS.items()}
            saved.setdefault(version, {})[family] = {"files": files, "ids": ids}
    text = json.dumps({"transformers": transformers.__version__, "contents": list(contents), "saved": saved},
                      separators=(",", ":"))
    (HERE / "saved_tokenizers.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    {"save": save, "ids": write_ids}[sys.argv[1]](pathlib.Path(sys.argv[2]))
