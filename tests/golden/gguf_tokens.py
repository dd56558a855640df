#!/usr/bin/env python3
"""Writes tests/golden/gguf_spm.gguf and gguf_bpe.gguf, tokenizers alone, and gguf_tokens.json: ids of texts by
the libraries that made them.

    gguf_tokens.py

SentencePiece (BPE, bytes where no piece spells a text, the pieces of Llama: a blank in front) and the tokenizers
library (byte-level BPE that cuts as SmolLM's does) are trained on the embedded calibration text; the metadata are
those that llama.cpp's converter writes of such models. The first 60 tokens of bpe make a seed for fuzzing, too.
Needs gguf, sentencepiece and tokenizers; PROVENANCE.md names the versions.
"""
import io
import json
import pathlib

import gguf
import numpy as np
import sentencepiece
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).parent
TEXT = (ROOT.parents[1] / "datasets/commons/calibration.txt").read_text()[:60000]
TEXTS = ["Hello world", " two  blanks\n\nand a line", "it's 12345 or ½, naïve café", "日本語 and 🎉", "<|end|>x<|end|>", "",
         "a", "   ", TEXT[20000:20400]]


def write(name, keys, arrays, tensors=()):
    writer = gguf.GGUFWriter(ROOT / name, "llama")
    for key, value in keys.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, str: writer.add_string, float: writer.add_float32}
        add[type(value)](key, value)
    for key, value in arrays.items():
        writer.add_array(key, value)
    for tensor, value in tensors:
        writer.add_tensor(tensor, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def pieces():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.split("\n")), model_writer=model, model_type="bpe", vocab_size=700,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        user_defined_symbols=["<|end|>"], num_threads=1, minloglevel=2)
    sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    kinds = [2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 1
             for i in range(sp.vocab_size())]
    kinds[sp.piece_to_id("<|end|>")] = 4
    write("gguf_spm.gguf", {"tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default",
                            "tokenizer.ggml.bos_token_id": sp.bos_id(), "tokenizer.ggml.eos_token_id": sp.eos_id(),
                            "tokenizer.ggml.unknown_token_id": sp.unk_id(), "tokenizer.ggml.add_bos_token": True},
          {"tokenizer.ggml.tokens": [sp.id_to_piece(i) for i in range(sp.vocab_size())],
           "tokenizer.ggml.scores": [sp.get_score(i) for i in range(sp.vocab_size())],
           "tokenizer.ggml.token_type": kinds})
    # sentencepiece puts the blank in front of a text alone, llama.cpp and transformers after a special token too
    return [[sp.bos_id()] + sp.encode(text) for text in TEXTS if "<|end|>" not in text and text]


def bytes_of(vocab_size, name, tensors=()):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=vocab_size, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[AddedToken("<|end|>", special=True)]))
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    merges = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    sizes = {"llama.block_count": 1, "llama.context_length": 64, "llama.embedding_length": 4,
             "llama.feed_forward_length": 4, "llama.attention.head_count": 2,
             "llama.attention.layer_norm_rms_epsilon": 1e-5} if tensors else {}
    write(name, {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.eos_token_id": 0,
                 "tokenizer.ggml.bos_token_id": 0, **sizes},
          {"tokenizer.ggml.tokens": [text for text, _ in vocab], "tokenizer.ggml.merges": merges,
           "tokenizer.ggml.token_type": [3] + [1] * (len(vocab) - 1)}, tensors)
    return [tokenizer.encode(text).ids for text in TEXTS]


def main():
    ids = {"spm": pieces(), "bpe": bytes_of(600, "gguf_bpe.gguf")}
    ids["texts"] = TEXTS
    (ROOT / "gguf_tokens.json").write_text(json.dumps(ids) + "\n")
    matrix, vector = np.full((4, 4), 0.5, np.float32), np.ones(4, np.float32)
    names = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    tensors = [(f"blk.0.{name}.weight", matrix) for name in names]
    tensors += [("blk.0.attn_norm.weight", vector), ("blk.0.ffn_norm.weight", vector), ("output_norm.weight", vector),
                ("token_embd.weight", np.full((270, 4), 0.25, np.float16))]
    bytes_of(270, "../fuzz/seeds/gguf/model", tensors)


if __name__ == "__main__":
    main()
