#!/usr/bin/env python3
"""An importance matrix of a model with experts and a head of its own, by llama.cpp's tool: imatrix_experts.gguf.

    imatrix.py LLAMA_CPP LLAMA_IMATRIX FOLDER

LLAMA_CPP is the folder of llama.cpp's source (its converter and gguf-py). FOLDER receives a random Mixtral of one block with the
embedded tokenizer, as transformers saves it, and its GGUF file in F32. Printed are the counts and the first mean squares of some
entries, as gguf-py reads them, which tests/unit/test_imatrix.c has.
"""
import os
import runpy
import shutil
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
datasets = os.path.join(here, "..", "..", "datasets")
OUT = os.path.join(here, "imatrix_experts.gguf")


def make_model(folder):
    import torch
    from transformers import MixtralConfig, MixtralForCausalLM

    torch.manual_seed(0)
    config = MixtralConfig(vocab_size=4096, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
                           num_key_value_heads=1, head_dim=16, num_local_experts=4, num_experts_per_tok=2,
                           max_position_embeddings=256, tie_word_embeddings=False, bos_token_id=0, eos_token_id=0)
    MixtralForCausalLM(config).float().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(datasets, "tiny", name), folder)


def main():
    source, tool, folder = map(os.path.abspath, sys.argv[1:4])
    sys.path[:0] = [source, os.path.join(source, "gguf-py")]
    model, file = os.path.join(folder, "model"), os.path.join(folder, "model.gguf")
    make_model(model)
    import conversion.base

    conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2" # which the embedded one cuts as
    sys.argv = ["convert_hf_to_gguf.py", model, "--outfile", file, "--outtype", "f32"]
    runpy.run_path(os.path.join(source, "convert_hf_to_gguf.py"))["main"]()
    flags = ["-c", "64", "-b", "64", "--chunks", "4", "-t", "1", "--no-repack", "-ctk", "f32", "-ctv", "f32", "-fa", "off"]
    subprocess.run([tool, "-m", file, "-f", "calibration.txt", "-o", OUT, "--process-output", *flags], check=True,
                   cwd=os.path.join(datasets, "commons"))
    import gguf

    tensors = {tensor.name: tensor.data.astype("float64") for tensor in gguf.GGUFReader(OUT).tensors}
    for name in ("blk.0.ffn_up_exps.weight", "blk.0.ffn_down_exps.weight", "output.weight"):
        counts, sums = tensors[name + ".counts"].ravel(), tensors[name + ".in_sum2"]
        print(name, sums.shape, counts, [float(row[0] / n) for row, n in zip(sums.reshape(len(counts), -1), counts)])


if __name__ == "__main__":
    main()
